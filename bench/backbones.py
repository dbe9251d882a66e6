"""Backbones by name: ``torchvision/resnet50``, ``timm/mobilenetv4_conv_small``, ``splitbench/small_resnet``.

A backbone comes with its own preprocessing: that of torchvision's weights, timm's data configuration or the embedded
model's, of which a sweep may replace single fields.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import timm
import timm.data
import torch
import torchvision
from torch import Tensor, nn

from splitbench.bench import weight_files
from splitbench.bench.errors import UserError, nearest
from splitbench.bench.preprocessing import Normalize, Preprocessing
from splitbench.bench.split import Halves, split


@dataclass(frozen=True)
class Backbone:
    """A pretrained model in evaluation mode, its preprocessing, and a digest of its weights."""

    name: str
    model: nn.Module
    preprocessing: Preprocessing
    weights: str

    def whole(self) -> nn.Module:
        """Pixels (uint8, (B, 3, H, W)) to predictions."""
        return nn.Sequential(Normalize(self.preprocessing.mean, self.preprocessing.std), self.model)

    def split(self, at: str, example: Tensor) -> Halves:
        """Head from pixels to the cut, tail from the cut to predictions. Raises UserError for an unknown split point.

        ``example`` is a small batch of pixels.
        """
        normalize = Normalize(self.preprocessing.mean, self.preprocessing.std).to(example.device)
        if at == "input":
            return split(nn.Sequential(normalize, self.model), at, example)
        head, tail = split(self.model, at, normalize(example))
        return Halves(_Normalized(normalize, head), tail)


class _Normalized(nn.Module):
    """A head that begins with pixels."""

    def __init__(self, normalize: Normalize, head: nn.Module) -> None:
        super().__init__()
        self.normalize = normalize
        self.head = head
        self.cut_tensors: int = head.cut_tensors  # type: ignore[assignment]
        self.roles: tuple[str, ...] = head.roles  # type: ignore[assignment]
        self.how: str = head.how  # type: ignore[assignment]

    def forward(self, pixels: Tensor) -> tuple[Any, ...]:
        """Pixels to what crosses the split point."""
        out: tuple[Any, ...] = self.head(self.normalize(pixels))
        return out


Built = tuple[nn.Module, Preprocessing]
Builder = Callable[[str, dict[str, Any], str | None], Built]
"""(model's name, constructor's arguments, hub weights' name or None) -> model and its preprocessing."""


def _torchvision(name: str, args: dict[str, Any], hub: str | None) -> Built:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UserError(f"unknown backbone torchvision/{name}{nearest(name, known)}")
    kinds = torchvision.models.get_model_weights(name)
    chosen = kinds.DEFAULT
    if hub not in (None, "default"):
        if hub not in kinds.__members__:
            raise UserError(f"torchvision/{name} has no weights {hub!r}: there are {', '.join(kinds.__members__)}")
        chosen = kinds[hub]
    preset = chosen.transforms()
    (size,) = preset.resize_size
    (crop,) = preset.crop_size
    preprocessing = Preprocessing(
        resize=size,
        crop=crop,
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
    return torchvision.models.get_model(name, weights=None if hub is None else chosen, **args), preprocessing


def _timm(name: str, args: dict[str, Any], hub: str | None) -> Built:
    if not timm.is_model(name):
        raise UserError(f"unknown backbone timm/{name}{nearest(name.split('.')[0], timm.list_models())}")
    if hub not in (None, "default"):
        raise UserError(f"timm/{name}: weights {hub!r} not found; timm's variants are named as timm/{name}.TAG")
    model = timm.create_model(name, pretrained=hub is not None, **args)
    config = timm.data.resolve_data_config(model=model)
    _, height, width = config["input_size"]
    resize = int(height / config["crop_pct"]), int(width / config["crop_pct"])
    preprocessing = Preprocessing(
        # "squash" and "border" both bring the whole picture into a fixed shape; only the latter would keep its ratio.
        resize=resize[0] if config["crop_mode"] == "center" and height == width else resize,
        crop=height if height == width else (height, width),
        interpolation=config["interpolation"] if config["interpolation"] != "random" else "bicubic",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )
    return model, preprocessing


def _embedded(name: str, args: dict[str, Any], hub: str | None) -> Built:
    known = import_module("splitbench.bench.models").EMBEDDED
    if name not in known:
        raise UserError(f"unknown backbone splitbench/{name}{nearest(name, known)}")
    embedded = known[name]
    model = embedded.build(**args)
    if hub is not None:
        weight_files.load(model, embedded.weights, f"splitbench/{name}")
    return model, Preprocessing.model_validate(embedded.preprocessing)


_SOURCES: dict[str, Builder] = {"torchvision": _torchvision, "timm": _timm, "splitbench": _embedded}


def build(
    name: str,
    args: dict[str, Any],
    weights: str,
    overrides: dict[str, Any],
    folder: Path | None = None,
    device: torch.device | str = "cpu",
) -> Backbone:
    """The backbone called ``name``, ready to be split.

    ``weights`` is ``default`` (a file of the model's name in ``folder`` if there is one, else the hub's), ``none``
    (random, always the same), one of torchvision's names (``IMAGENET1K_V1``), or a file, in ``folder`` or by path.

    Raises:
        UserError: unknown name, arguments that do not fit, weights that are missing, damaged or another model's.
    """
    source, _, short = name.partition("/")
    if source not in _SOURCES:
        sources = ", ".join(f"{known}/" for known in _SOURCES)
        raise UserError(f"unknown backbone {name!r}: names begin with {sources} as in torchvision/resnet50")
    path = _weights_file(short, weights, folder)
    hub = None if path is not None or weights == "none" else weights
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            model, preprocessing = _SOURCES[source](short, args, hub)
        except (TypeError, ValueError, AssertionError) as error:
            raise UserError(f"{name}: `args` do not fit its constructor or weights ({error})") from None
        except (OSError, RuntimeError) as error:
            if hub is None:
                raise UserError(f"{name}: it cannot be built ({error})") from None
            raise UserError(
                f"{name}: its weights could not be downloaded ({str(error).splitlines()[0]}). Without internet, put "
                f"{short}.safetensors or .pth into a folder and give it by WEIGHTS= (--weights)"
            ) from None
    if path is not None:
        weight_files.load(model, path, name)
    model = model.eval().requires_grad_(False).to(device)
    return Backbone(name, model, preprocessing.changed(overrides), weight_files.digest(model.state_dict()))


def _weights_file(short: str, weights: str, folder: Path | None) -> Path | None:
    if weights == "none":
        return None
    if Path(weights).suffix in weight_files.SUFFIXES:
        return folder / weights if folder is not None and (folder / weights).is_file() else Path(weights)
    if weights == "default" and folder is not None:
        if not folder.is_dir():
            raise UserError(f"weights folder not found: {folder}")
        files = (folder / f"{short}{suffix}" for suffix in weight_files.SUFFIXES)
        return next((path for path in files if path.is_file()), None)
    return None

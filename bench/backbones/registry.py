"""Backbones by name: ``torchvision/resnet50``, ``timm/mobilenetv4_conv_small``, ``splitbench/small_resnet``.

One's own are named by import path, ``my_package.my_module:factory`` (:mod:`splitbench.bench.backbones.user_models`).

A backbone comes with its preprocessing: that of torchvision's weights, of timm's data configuration at the size
that timm tests at, or of the registry of the bundled networks (:mod:`splitbench.bench.backbones.zoo`). A sweep
may replace single fields.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from splitbench.bench.backbones import backbone_names, named_weights, timm_config, user_models
from splitbench.bench.backbones.classifiers import Classifier
from splitbench.bench.backbones.detectors import Detector
from splitbench.bench.backbones.detectors.frozen import freeze
from splitbench.bench.backbones.preprocessing import Preprocessing
from splitbench.bench.backbones.zoo import NETWORKS
from splitbench.bench.split import SplitModel
from splitbench.bench.split.detectors import is_torchvisions
from splitbench.bench.utils import weight_files
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import user_code
from splitbench.datasets.base import Dataset


class Backbone(Protocol):
    """A pretrained model of any task in evaluation mode, with what it needs to be run on images and to be split."""

    @property
    def name(self) -> str:
        """As in a sweep."""
        ...

    @property
    def model(self) -> nn.Module:
        """The model itself, whose weights the ledger takes for the backbone's."""
        ...

    @property
    def weights(self) -> str:
        """A digest of its weights."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may mislead about it, a sentence each; they stand in every row over it."""
        ...

    @property
    def category_names(self) -> Mapping[int, str]:
        """The ids of a detector's categories with their names, empty where unknown; nothing for classifiers."""
        ...

    @property
    def has_loss(self) -> bool:
        """Whether its tail can be trained by the task's loss."""
        ...

    @property
    def recipe(self) -> dict[str, Any]:
        """What is done to an image before the model sees it: a part of a cell's key."""
        ...

    @property
    def input(self) -> str:
        """The size of the model's input, and how images are brought to it, for tables: ``3x224x224, resize 256``."""
        ...

    def pixels(self, image: Image.Image) -> Tensor:
        """Return what the head is given of a decoded image: uint8, (3, H, W)."""
        ...

    def group(self, dataset: Dataset, index: int) -> Hashable:
        """Images of equal groups make one batch without padding."""
        ...

    def together(self, images: Sequence[Tensor]) -> Any:
        """Batch the pixels of several images: a tensor (B, 3, H, W), or a list of tensors where sizes differ."""
        ...

    def alike(self, images: Sequence[Tensor]) -> list[list[int]]:
        """Group indices of pixels that one training step can process at once: all where the network pads."""
        ...

    def whole(self) -> nn.Module:
        """Return the uncompressed model as a module from a batch of pixels to predictions."""
        ...

    def split(self, at: str, example: Any) -> SplitModel:
        """Cut the model: the head takes pixels, the tail returns predictions.

        Args:
            at: The split point.
            example: A small batch of pixels.

        Raises:
            UserError: Unknown split point, or the model cannot be cut there.
        """
        ...

    def example(self, images: Sequence[Image.Image] = ()) -> Any:
        """Return what the model itself is given of some images; noise of its usual size for none."""
        ...


Built = tuple[nn.Module, Preprocessing | None]
Builder = Callable[[dict[str, Any], str, bool], Built]
"""(constructor's arguments, the weights' name, whether to get them from the hub) -> model; preprocessing,
None for detectors. The weights' name is ``default``, or one of torchvision's."""


def _torchvision(name: str, args: dict[str, Any], weights: str, download: bool) -> Built:
    chosen = named_weights.of_torchvision(name, weights)
    hub = chosen if download else None
    if name in torchvision.models.list_models(module=torchvision.models.detection):
        model = torchvision.models.get_model(name, weights=hub, **{"weights_backbone": None} | args)
        # Its class indices are COCO's category ids; 0 is the background, and ids that COCO left out are "N/A".
        names = ["" if name == "N/A" else name for name in chosen.meta["categories"]]
        model.categories = tuple(range(1, args.get("num_classes", len(names))))
        model.category_names = tuple(names[1:]) if len(model.categories) == len(names) - 1 else ()
        return model, None
    model = torchvision.models.get_model(name, weights=hub, **args)
    return model, preprocessing_of(chosen.transforms())


def preprocessing_of(preset: Any) -> Preprocessing:
    """Return what a transform of torchvision's weights (``ImageClassification``) does to an image."""
    (size,) = preset.resize_size
    (crop,) = preset.crop_size
    return Preprocessing(
        resize=size,
        crop=crop,
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def _timm(name: str, args: dict[str, Any], weights: str, download: bool) -> Built:
    if weights != named_weights.DEFAULT:
        raise named_weights.unknown(
            f"timm/{name}", weights, f"give a file, `default` or `none`; variants are named as timm/{name}.TAG"
        )
    model = timm.create_model(name, pretrained=download, **args)
    return model, timm_config.preprocessing_of(model, args)


def _zoo(name: str, args: dict[str, Any], weights: str, download: bool) -> Built:
    network = NETWORKS[name]
    if weights != named_weights.DEFAULT:
        raise named_weights.unknown(f"splitbench/{name}", weights, "give a file, `default` or `none`")
    if download and network.weights is None:
        raise named_weights.missing(f"splitbench/{name}", name)
    model = network.build(**args)
    if download and network.weights is not None:
        weight_files.load(model, network.weights, f"splitbench/{name}")
    return model, network.preprocessing


def _user_model(path: str, overrides: dict[str, Any]) -> Builder:
    factory = user_models.find(path)  # here, since an import may draw random numbers, and only the first one does

    def builder(args: dict[str, Any], weights: str, download: bool) -> Built:
        if weights != named_weights.DEFAULT:
            raise named_weights.unknown(path, weights, "give `weights: FILE` or `weights: none`")
        if download:
            raise named_weights.missing(path, path.rpartition(":")[2])
        return user_models.build(path, factory, args, overrides)

    return builder


_BUILDERS: Mapping[str, Callable[..., Built]] = {"torchvision": _torchvision, "timm": _timm, "splitbench": _zoo}
"""What makes a model of each source, given its name there and a ``Builder``'s arguments."""


def version_of(name: str) -> int:
    """Return the version of what a backbone computes: that of a bundled network, 1 for all others."""
    source, _, short = name.partition("/")
    return NETWORKS[short].version if source == "splitbench" else 1


def _builder(name: str, overrides: dict[str, Any]) -> tuple[Builder, str]:
    """Return what builds a backbone, and the model's name there, which its weights file has too."""
    if user_code.is_import_path(name):
        return _user_model(name, overrides), name.rpartition(":")[2]
    source, _, short = name.partition("/")
    return partial(_BUILDERS[source], short), short


def _at_training_resolution(name: str, model: nn.Module, args: dict[str, Any]) -> Preprocessing:
    if not name.startswith("timm/"):
        raise UserError(f"{name}: `resolution: train` is for timm's models; give `resize` and `crop` instead")
    return timm_config.preprocessing_of(model, args, "train")


def _changed(name: str, default: Preprocessing, overrides: dict[str, Any]) -> Preprocessing:
    chosen = default.changed(overrides)
    if chosen.has_border and not default.has_border:
        raise UserError(
            f"{name}: preprocessing: the crop is larger than what it is cut from, so that images get a black border "
            f"({chosen}): give both, `resize` and `crop`"
        )
    return chosen


def build(
    name: str,
    args: dict[str, Any],
    weights: str,
    overrides: dict[str, Any],
    *,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
    weights_key: str = "",
) -> Backbone:
    """Return the backbone called ``name``, ready to be split.

    Args:
        name: ``torchvision/...``, ``timm/...``, ``splitbench/...``, or the import path of a user's model.
        args: Keyword arguments of the model.
        weights: ``default`` or one of torchvision's names (``IMAGENET1K_V1``): a file in ``folder`` with the model's
            name or that of torchvision's hub, where there is one, else the hub's. Or ``none``: random. Or a file, in
            ``folder`` or by path.
        overrides: Fields of the preprocessing to replace.
        folder: Where weights files lie.
        device: Where the backbone runs.
        seed: Seed of random weights.
        weights_key: Which of a file's state dicts to load.

    Raises:
        UserError: Unknown name, arguments that do not fit, weights that are missing, damaged or another model's.
    """
    backbone_names.check(name)
    builder, short = _builder(name, overrides)
    path = named_weights.file_of(name, short, weights, folder)
    wanted = weights if named_weights.is_name(weights) else named_weights.DEFAULT
    download = named_weights.is_name(weights) and path is None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model, preprocessing = builder(args, wanted, download)
        except (TypeError, ValueError, AssertionError) as error:
            raise UserError(f"{name}: `args` do not fit its constructor or weights ({error})") from None
        except (OSError, RuntimeError, HTTPException) as error:
            if not download:
                raise UserError(f"{name}: it cannot be built ({error})") from None
            reason = (str(error) or type(error).__name__).splitlines()[0]
            files = " or ".join(named_weights.file_names(name, short, weights))
            raise UserError(
                f"{name}: its weights could not be downloaded ({reason}). Without internet, put {files} into a folder "
                "and give it by --weights"
            ) from None
    if path is not None:
        stored = weight_files.without_prefixes(weight_files.read(path, weights_key), model.state_dict())
        if is_torchvisions(model):
            freeze(model, short, stored, "num_classes" in args)
        weight_files.put(model, stored, path, name)
    model = model.eval().requires_grad_(False).to(device)
    digest = weight_files.digest(model.state_dict())
    if preprocessing is not None:
        if overrides.get("resolution") == "train":
            preprocessing = _at_training_resolution(name, model, args)
        return Classifier(name, model, _changed(name, preprocessing, overrides), digest)
    if overrides:
        raise UserError(
            f"{name} resizes and normalizes by itself: leave `preprocessing` out, and set `args` where it can"
        )
    return Detector(name, model, digest)

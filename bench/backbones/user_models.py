"""User-defined backbones, named by import path (``my_package.my_module:factory``; see ``utils/plugins/user_code.py``).

What the path names is called with the sweep's ``args`` and returns an ``nn.Module``: a detector as
:mod:`splitbench.bench.backbones.detectors` describes it, or a classifier of images (B, 3, H, W), whose preprocessing
must be given, in the sweep or by an attribute of the model:

    class Small(nn.Module):
        preprocessing = {"resize": None, "crop": 32, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

What a sweep says replaces single fields of the attribute's. With ``weights: none`` the model stays as its factory makes
it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from splitbench.bench.backbones import timm_config
from splitbench.bench.backbones.detectors import is_detector
from splitbench.bench.backbones.preprocessing import Preprocessing
from splitbench.bench.utils.errors import UserError, format_error
from splitbench.bench.utils.plugins import user_code
from splitbench.bench.utils.validation_errors import format_validation_error

_NEEDED = ("resize", "crop", "mean", "std")


def find(name: str) -> Callable[..., Any]:
    """Return what makes the model. Raises UserError where no such name can be imported and called."""
    return user_code.imported(name, _callable)


def _callable(made: Any, name: str) -> Callable[..., Any]:
    if isinstance(made, nn.Module) or not callable(made):
        raise UserError(f"{name} is of type {type(made).__name__}, not a function or class that makes a model")
    factory: Callable[..., Any] = made
    return factory


def build(
    name: str, factory: Callable[..., Any], args: dict[str, Any], overrides: dict[str, Any]
) -> tuple[nn.Module, Preprocessing | None]:
    """Return a model, and its preprocessing with ``overrides``; None for a detector, which preprocesses images itself.

    Raises:
        UserError: the factory makes no model of ``args``, or one that cannot be cut, stored or run; or the
            preprocessing is not given.
    """
    try:
        model = factory(**args)
    except Exception as error:
        raise UserError(f"{name}: it cannot be built from `args`: {format_error(error)}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"{name} returns something of type {type(model).__name__}, not a torch.nn.Module")
    problem = _unusable(model)
    if problem:
        raise UserError(f"{name}: {problem}")
    return model, None if is_detector(model) else _preprocessing(name, model, overrides)


def _unusable(model: nn.Module) -> str:
    """Return why a model cannot be cut, stored or run, and what to change; empty where nothing is wrong."""
    if isinstance(model, torch.jit.ScriptModule):
        return (
            "it is TorchScript (torch.jit.script or trace), which cannot be cut: return the Python module that it was "
            "made from; a part of a model may be TorchScript, and is kept whole"
        )
    compiled = [place for place, module in model.named_modules() if hasattr(module, "_orig_mod")]
    if compiled:
        return f"{compiled[0] or 'it'} is wrapped by torch.compile, which cannot be traced: return it uncompiled"
    tensors = [*model.named_parameters(), *model.named_buffers()]
    lazy = [place for place, tensor in tensors if is_lazy(tensor)]
    if lazy:
        return f"{lazy[0]} has no shape yet (a lazy layer): run the model once on an image in the factory"
    empty = [place for place, tensor in tensors if tensor.is_meta]
    if empty:
        return f"{empty[0]} is on the device meta, without values: make it on the CPU"
    others = {place: value for place, value in model.state_dict().items() if not _is_plain(value)}
    if others:
        place, value = next(iter(others.items()))
        return (
            f"its state dict holds {place} ({type(value).__name__}), which is no plain tensor and would be in no "
            "digest, ledger or training: return the float model of a quantized one (methods quantize what crosses), "
            "keep other state in buffers, and leave out get_extra_state"
        )
    return ""


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and type(value) in (Tensor, nn.Parameter)
        and value.layout == torch.strided
        and not value.is_quantized
    )


def _preprocessing(name: str, model: nn.Module, overrides: dict[str, Any]) -> Preprocessing:
    given = getattr(model, "preprocessing", {})
    if not isinstance(given, Mapping):
        raise UserError(f"{name}: its attribute `preprocessing` is of type {type(given).__name__}, not a dict")
    fields = dict(given) | overrides
    missing = [field for field in _NEEDED if field not in fields]
    if missing:
        raise UserError(
            f"{name}: how its input is made is not given: {', '.join(missing)} missing. Give them in the sweep (to "
            f"`splitbench splits`, by --preprocessing), {_example(model)}, or as the model's attribute `preprocessing`"
        )
    try:
        return Preprocessing.model_validate(fields)
    except ValidationError as error:
        raise UserError(format_validation_error(error, f"{name}: preprocessing", Preprocessing)) from None


def _example(model: nn.Module) -> str:
    """Preprocessing as a sweep has it: for a network of timm's what its configuration says, which may not be meant."""
    if not getattr(model, "pretrained_cfg", None):
        return "as in `{resize: null, crop: 32, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}`"
    fields = timm_config.preprocessing_of(model, {}).model_dump(mode="json", include={*_NEEDED, "interpolation"})
    text = yaml.safe_dump(fields, default_flow_style=True, sort_keys=False, width=1000).strip()
    return f"as timm tests its pretrained weights: `{text}`"

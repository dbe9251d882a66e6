"""Weights from files, without executing what is in them, and a digest of their content.

Trainers wrap a state dict in many ways; what is understood here: safetensors, and whatever ``torch.save`` wrote that
holds nothing but tensors and plain values, with the state dict at any depth (``state_dict``, ``model``, ``net``,
``ema`` ...) and with the prefixes that wrappers put before names (``module.``, ``_orig_mod.``, ``model.``). A file with
several state dicts is never guessed at: its reader says which one is meant.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from splitbench.bench.utils.errors import UserError

SUFFIXES = (".safetensors", ".pth", ".pt", ".pth.tar", ".ckpt", ".bin")
"""Endings of weights files, in lower case; upper case will do, too."""

_PREFIXES = ("module.", "_orig_mod.", "model.")  # DataParallel's, torch.compile's, Lightning's
_HARMLESS = ("argparse.Namespace", "numpy.")  # what trainers leave beside weights: options, and numpy's scalars
_REFUSED = re.compile(r"GLOBAL ([\w.]+) was not an allowed global|Unsupported (?:global|class): (?:GLOBAL )?([\w.]+)")


def is_weights_file(name: str) -> bool:
    """Return whether a name ends as weights files do."""
    return name.lower().endswith(SUFFIXES)


def read(path: Path, key: str = "") -> dict[str, Tensor]:
    """Read the state dict in a file.

    Args:
        path: a file with one of ``SUFFIXES``.
        key: which state dict, where the file holds several: ``state_dict_ema``, or ``model.ema`` for a nested one.

    Raises:
        UserError: no such file, another type of file, a damaged one, one that holds objects other than tensors and
            plain values, several state dicts and no ``key``, none called ``key``, or NaN among the weights.
    """
    content = _content(path)
    state_dicts = dict(_state_dicts(content))
    if not state_dicts:
        raise UserError(f"{path}: expected a state dict (names to tensors){_beside_tensors(content)}")
    weights = _chosen(path, key, state_dicts)
    broken = [name for name, x in weights.items() if x.is_floating_point() and bool(x.isnan().any())]
    if broken:
        raise UserError(
            f"{path}: NaN in {len(broken)} of {len(weights)} tensors ({_first(broken)}): the training that wrote it "
            "diverged, or it is damaged"
        )
    return weights


def _content(path: Path) -> Any:
    if not path.is_file():
        raise UserError(
            f"weights file not found: {path}; paths are relative to the current folder or to the folder of --weights"
        )
    if not is_weights_file(path.name):
        raise UserError(f"{path}: expected a weights file ending in {', '.join(SUFFIXES)}")
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        return torch.load(path, "cpu", weights_only=True)
    except SafetensorError as error:
        raise UserError(f"{path}: damaged or not a safetensors file ({error})") from None
    except Exception as error:  # torch.load raises a dozen kinds for damaged files
        raise UserError(f"{path}: {_reason(path, error)}") from None


def _reason(path: Path, error: Exception) -> str:
    """Why torch cannot load a file without executing what is in it, and how to come by one that it can."""
    refused = _REFUSED.search(str(error))
    what = (refused[1] or refused[2]) if refused else ""
    if what.startswith(_HARMLESS):
        return (
            f"it holds more than tensors ({what}). Save its weights alone, once: load the file with "
            "`weights_only=False`, if you trust it, since this executes what is in it, and "
            "`torch.save(content['state_dict'], 'weights.pth')`"
        )
    if what:
        return (
            f"it holds more than tensors ({what}), and loading that could execute code: ask whoever made the file for "
            "its state dict alone"
        )
    if "TorchScript" in str(error):
        return "it is a TorchScript archive, not a state dict: save the `state_dict()` of the module instead"
    return f"damaged, or holds more than tensors ({str(error).splitlines()[0] if str(error) else type(error).__name__})"


def _state_dicts(content: Any, place: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Return all state dicts in a file's content, by the keys that lead to them; ``""`` for the content itself."""
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return
    if content and all(isinstance(value, Tensor) for value in content.values()):
        # A generator's state or a scaler's scale are no weights.
        if any(value.is_floating_point() and value.ndim > 0 for value in content.values()):
            yield place, dict(content)
        return
    for key, value in content.items():
        yield from _state_dicts(value, f"{place}.{key}" if place else key)


def _beside_tensors(content: Any) -> str:
    """Return what stands among the tensors of a mapping and is none, as in a quantized model's or an extra state."""
    if isinstance(content, Mapping) and any(isinstance(value, Tensor) for value in content.values()):
        others = [f"{key}: {type(value).__name__}" for key, value in content.items() if not isinstance(value, Tensor)]
        return f", but {len(others)} of its {len(content)} values are none ({_first(others)})"
    inner = content.values() if isinstance(content, Mapping) else ()
    return next((text for text in map(_beside_tensors, inner) if text), "")


def _chosen(path: Path, key: str, state_dicts: Mapping[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    if key:
        if key not in state_dicts:
            raise UserError(
                f"{path} holds no weights called {key!r}: there are {', '.join(state_dicts) or 'none by name'}"
            )
        return state_dicts[key]
    if len(state_dicts) > 1:
        raise UserError(
            f"{path} holds {len(state_dicts)} sets of weights ({', '.join(state_dicts)}): say which one by "
            f"`weights: {{file: {path.name}, key: {next(iter(state_dicts))}}}`"
        )
    return next(iter(state_dicts.values()))


def load(model: nn.Module, path: Path, name: str) -> None:
    """Put a file's weights into ``model``, in the model's types.

    Raises:
        UserError: as :func:`read` and :func:`put`.
    """
    put(model, read(path), path, name)


def put(model: nn.Module, weights: dict[str, Tensor], path: Path, name: str) -> None:
    """Put the weights of the file ``path`` into ``model``. Names that the model's modules know as old ones will do.

    Raises:
        UserError: names or shapes that do not fit, with the first few.
    """
    expected = model.state_dict()
    weights = without_prefixes(weights, expected)
    shapes = {
        key: f"{key} {tuple(weights[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in weights and weights[key].shape != value.shape
    }
    try:
        result = model.load_state_dict({key: x for key, x in weights.items() if key not in shapes}, strict=False)
    except RuntimeError as error:  # other shapes behind old names
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{path} holds the weights of another model than {name}: {reason}") from None
    # Files from before PyTorch 0.4.1 have no batch counters, and inference does not need them.
    missing = [key for key in result.missing_keys if key not in shapes and not key.endswith("num_batches_tracked")]
    faults = [
        f"{len(names)} {what} ({_first(names)})"
        for what, names in (
            ("missing", missing),
            ("unexpected", result.unexpected_keys),
            ("of another shape", [*shapes.values()]),
        )
        if names
    ]
    if faults:
        raise UserError(f"{path} holds the weights of another model than {name}: {'; '.join(faults)}")


def without_prefixes(weights: dict[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Take off the prefixes that wrappers put before every name, as long as none of the names is expected as it is.

    ``_orig_mod.``, which ``torch.compile`` puts before a submodule's name, goes wherever it stands.
    """
    renamed = {key.replace("._orig_mod.", "."): value for key, value in weights.items()}
    while renamed and not any(key in expected for key in renamed):
        prefix = next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in renamed)), None)
        if prefix is None:
            break
        renamed = {key.removeprefix(prefix): value for key, value in renamed.items()}
    return renamed


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def digest(tensors: dict[str, Tensor]) -> str:
    """Return a digest of names, types, shapes and contents, in order of names: equal wherever the weights are equal."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(content(tensor))
    return total.hexdigest()[:16]


def content(tensor: Tensor) -> bytes:
    """Return a tensor's elements as bytes, whatever its type and device."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

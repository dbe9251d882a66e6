"""Weights from files, without executing what is in them, and a digest of their content."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from splitbench.bench.utils.errors import UserError

SUFFIXES = (".safetensors", ".pth", ".pt")


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors or .pth file.

    Raises:
        UserError: no such file, another type of file, a damaged one, or one that holds more than tensors.
    """
    if not path.is_file():
        raise UserError(
            f"weights file not found: {path}; paths are relative to the current folder or to WEIGHTS= (--weights)"
        )
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: expected a weights file ending in {', '.join(SUFFIXES)}")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except SafetensorError as error:
        raise UserError(f"{path}: damaged or not a safetensors file ({error})") from None
    except Exception as error:  # torch.load raises a dozen kinds for damaged files
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: damaged, or holds more than tensors ({reason})") from None
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path}: expected a state dict (names to tensors)")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def load(model: nn.Module, path: Path, name: str) -> None:
    """Put a file's weights into ``model``, in the model's own types.

    Raises:
        UserError: as :func:`read` and :func:`put`.
    """
    put(model, read(path), path, name)


def put(model: nn.Module, weights: dict[str, Tensor], path: Path, name: str) -> None:
    """Put the weights of the file ``path`` into ``model``. Names that the model's own modules know as old ones will do.

    Raises:
        UserError: names or shapes that do not fit, with the first few.
    """
    expected = model.state_dict()
    shapes = {
        key: f"{key} {tuple(weights[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in weights and weights[key].shape != value.shape
    }
    try:
        told = model.load_state_dict({key: x for key, x in weights.items() if key not in shapes}, strict=False)
    except RuntimeError as error:  # other shapes behind old names
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{path} holds the weights of another model than {name}: {reason}") from None
    # Files from before PyTorch 0.4.1 have no batch counters, and inference does not need them.
    missing = [key for key in told.missing_keys if key not in shapes and not key.endswith("num_batches_tracked")]
    faults = [
        f"{len(found)} {what} ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})"
        for what, found in (
            ("missing", missing),
            ("unexpected", told.unexpected_keys),
            ("of another shape", [*shapes.values()]),
        )
        if found
    ]
    if faults:
        raise UserError(f"{path} holds the weights of another model than {name}: {'; '.join(faults)}")


def digest(tensors: dict[str, Tensor]) -> str:
    """A digest of names, types, shapes and contents, in order of names: equal wherever the weights are equal."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(content(tensor))
    return total.hexdigest()[:16]


def content(tensor: Tensor) -> bytes:
    """A tensor's elements as bytes, whatever its type and device."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

"""Call a user's detector and check its outputs against the protocol; faults are reported in a sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from splitbench.bench.backbones.trivial_splits import Found
from splitbench.bench.utils.errors import UserError, format_error
from splitbench.methods.base import MethodError

_PARTS = ("boxes", "labels", "scores")


def prepared(model: nn.Module, images: Sequence[Tensor]) -> Tensor:
    """Images (3, H, W) to a batch (B, C, h, w).

    Raises:
        UserError: ``prepare`` fails or returns something else, or brings images into different shapes.
    """
    with user_errors(model, "prepare"):
        made = [cast(Any, model).prepare(image) for image in images]
    for image in made:
        if not isinstance(image, Tensor) or image.ndim != 3 or not image.is_floating_point():
            raise _wrong(model, "prepare", "a float tensor (C, h, w)", image)
    if len({image.shape for image in made}) > 1:
        shapes = " and ".join(sorted({str(tuple(image.shape)) for image in made}))
        raise UserError(f"{type(model).__name__}.prepare brings these images into several shapes: {shapes}")
    return torch.stack(made)


def detections(model: nn.Module, raw: Any, sizes: Sequence[tuple[int, int]]) -> list[Found]:
    """Return what ``forward`` returned to detections.

    Raises:
        UserError: ``detections`` fails, or returns something else.
    """
    with user_errors(model, "detections"):
        outputs = cast(Any, model).detections(raw, sizes)
    if not isinstance(outputs, list | tuple) or len(outputs) != len(sizes):
        raise _wrong(model, "detections", f"a list with one dict for each of {len(sizes)} images", outputs)
    for entry in outputs:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(part), Tensor) for part in _PARTS):
            raise _wrong(model, "detections", "dicts of tensors `boxes`, `labels` and `scores`", entry)
        count = len(entry["boxes"]) if entry["boxes"].ndim else 0
        shapes = [tuple(entry[part].shape) for part in _PARTS]
        if shapes != [(count, 4), (count,), (count,)]:
            given = ", ".join(map(str, shapes))
            raise UserError(
                f"{type(model).__name__}.detections must give boxes, labels and scores of the shapes (N, 4), (N,) and "
                f"(N,), not {given}"
            )
        if entry["labels"].is_floating_point() or entry["labels"].dtype == torch.bool:
            raise _wrong(model, "detections", "category ids, whole numbers, as `labels`", entry["labels"])
        unknown = sorted({*entry["labels"].tolist()} - {*cast(Any, model).categories})
        if unknown:
            raise UserError(
                f"{type(model).__name__}.detections gives categories that are not in its `categories`: "
                f"{', '.join(map(str, unknown[:3]))}{', ...' if len(unknown) > 3 else ''}; `labels` are category ids"
            )
        if bool((entry["scores"] < 0).any()):
            raise UserError(f"{type(model).__name__}.detections gives scores below 0")
    return list(outputs)


def _wrong(model: nn.Module, method: str, expected: str, given: Any) -> UserError:
    if isinstance(given, Tensor):
        actual = f"{str(given.dtype).removeprefix('torch.')} {tuple(given.shape)}"
    elif isinstance(given, dict):
        actual = f"a dict of {', '.join(f'{key}: {type(value).__name__}' for key, value in given.items()) or 'nothing'}"
    else:
        actual = f"a {type(given).__name__}" + (f" of {len(given)}" if isinstance(given, list | tuple) else "")
    return UserError(f"{type(model).__name__}.{method} must give {expected}, not {actual}")


@contextmanager
def user_errors(model: nn.Module, method: str) -> Iterator[None]:
    """Report errors of the detector with their line of code. Lack of memory is not the detector's fault."""
    try:
        yield
    except (torch.OutOfMemoryError, MethodError, UserError):
        raise
    except Exception as error:
        raise UserError(f"{type(model).__name__}.{method} failed: {format_error(error)}") from error

"""Calls a detector of one's own, and holds what it gives to the protocol: its faults are told in a sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from splitbench.bench.backbones.trivial_splits import Found
from splitbench.bench.utils.errors import UserError, format_error
from splitbench.methods.base import MethodError

_PARTS = ("boxes", "labels", "scores")


def prepared(model: nn.Module, pictures: Sequence[Tensor]) -> Tensor:
    """Images (3, H, W) to a batch (B, C, h, w).

    Raises:
        UserError: ``prepare`` fails, or gives something else; images that it does not bring into one shape.
    """
    with telling(model, "prepare"):
        made = [cast(Any, model).prepare(picture) for picture in pictures]
    for one in made:
        if not isinstance(one, Tensor) or one.ndim != 3 or not one.is_floating_point():
            raise _wrong(model, "prepare", "a float tensor (C, h, w)", one)
    if len({one.shape for one in made}) > 1:
        shapes = " and ".join(sorted({str(tuple(one.shape)) for one in made}))
        raise UserError(f"{type(model).__name__}.prepare brings these images into several shapes: {shapes}")
    return torch.stack(made)


def detections(model: nn.Module, raw: Any, sizes: Sequence[tuple[int, int]]) -> list[Found]:
    """Return what ``forward`` returned to detections.

    Raises:
        UserError: ``detections`` fails, or gives something else than it must.
    """
    with telling(model, "detections"):
        found = cast(Any, model).detections(raw, sizes)
    if not isinstance(found, list | tuple) or len(found) != len(sizes):
        raise _wrong(model, "detections", f"a list with one dict for each of {len(sizes)} images", found)
    for one in found:
        if not isinstance(one, dict) or not all(isinstance(one.get(part), Tensor) for part in _PARTS):
            raise _wrong(model, "detections", "dicts of tensors `boxes`, `labels` and `scores`", one)
        count = len(one["boxes"]) if one["boxes"].ndim else 0
        shapes = [tuple(one[part].shape) for part in _PARTS]
        if shapes != [(count, 4), (count,), (count,)]:
            given = ", ".join(map(str, shapes))
            raise UserError(
                f"{type(model).__name__}.detections must give boxes, labels and scores of the shapes (N, 4), (N,) and "
                f"(N,), not {given}"
            )
        if one["labels"].is_floating_point() or one["labels"].dtype == torch.bool:
            raise _wrong(model, "detections", "category ids, whole numbers, as `labels`", one["labels"])
        unknown = sorted({*one["labels"].tolist()} - {*cast(Any, model).categories})
        if unknown:
            raise UserError(
                f"{type(model).__name__}.detections tells categories that are not in its `categories`: "
                f"{', '.join(map(str, unknown[:3]))}{', ...' if len(unknown) > 3 else ''}; `labels` are category ids"
            )
        if bool((one["scores"] < 0).any()):
            raise UserError(f"{type(model).__name__}.detections gives scores below 0")
    return list(found)


def _wrong(model: nn.Module, method: str, expected: str, given: Any) -> UserError:
    if isinstance(given, Tensor):
        told = f"{str(given.dtype).removeprefix('torch.')} {tuple(given.shape)}"
    elif isinstance(given, dict):
        told = f"a dict of {', '.join(f'{key}: {type(value).__name__}' for key, value in given.items()) or 'nothing'}"
    else:
        told = f"a {type(given).__name__}" + (f" of {len(given)}" if isinstance(given, list | tuple) else "")
    return UserError(f"{type(model).__name__}.{method} must give {expected}, not {told}")


@contextmanager
def telling(model: nn.Module, method: str) -> Iterator[None]:
    """What goes wrong within is told with the line where it did. Lack of memory is no fault of the detector's."""
    try:
        yield
    except (torch.OutOfMemoryError, MethodError, UserError):
        raise
    except Exception as error:
        raise UserError(f"{type(model).__name__}.{method} failed: {format_error(error)}") from error

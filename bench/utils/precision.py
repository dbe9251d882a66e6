"""The network's precision: float32, or autocast to half of it where operations allow it.

Only heads and tails run under autocast. Codecs are given float32 and return it, so that what they do does not depend on
it; what they return goes back to the precision in which the network gave it, before the tail.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

Precision = Literal["float32", "bfloat16", "float16"]
T = TypeVar("T")
_HALF = (torch.bfloat16, torch.float16)


@contextmanager
def running(device: torch.device, precision: Precision) -> Iterator[None]:
    """What a network runs in."""
    if precision == "float32":
        yield
        return
    with torch.autocast(device.type, getattr(torch, precision), cache_enabled=False):
        yield


@contextmanager
def coding() -> Iterator[None]:
    """What a codec runs in, whatever is around it."""
    devices = [name for name in ("cpu", "cuda") if torch.is_autocast_enabled(name)]
    with ExitStack() as stack:
        for name in devices:
            stack.enter_context(torch.autocast(name, enabled=False))
        yield


def halved() -> bool:
    """Whether autocast is on, in this thread."""
    return any(torch.is_autocast_enabled(name) for name in ("cpu", "cuda"))


def widened(values: T) -> T:
    """Half-precision tensors, in whatever collections, as float32; all else as it is."""
    result: T = tree_map_only(Tensor, lambda x: x.float() if x.dtype in _HALF else x, values)
    return result


def narrowed(values: Sequence[Any], like: Sequence[Any]) -> tuple[Any, ...]:
    """Floating-point tensors in the precision of those that they stand for."""
    return tuple(
        x.to(y.dtype) if isinstance(x, Tensor) and isinstance(y, Tensor) and y.dtype in _HALF else x
        for x, y in zip(values, like, strict=True)
    )

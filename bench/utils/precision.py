"""The network's precision: float32, or autocast to a half-precision type where operations allow it.

Only heads and tails run under autocast. Codecs are given float32 and return it, so that they do not depend on the
precision; what they return is converted back to the head's precision before the tail.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from splitbench.bench.utils.precisions import Precision

T = TypeVar("T")
_HALF_PRECISION = (torch.bfloat16, torch.float16)
_DEVICES = ("cpu", "cuda")


@contextmanager
def network_precision(device: torch.device, precision: Precision) -> Iterator[None]:
    """Run heads and tails in this precision."""
    if precision == "float32":
        yield
        return
    with torch.autocast(device.type, getattr(torch, precision), cache_enabled=False):
        yield


@contextmanager
def codec_precision() -> Iterator[None]:
    """Run codecs without autocast, whatever the context."""
    with ExitStack() as stack:
        for name in filter(torch.is_autocast_enabled, _DEVICES):
            stack.enter_context(torch.autocast(name, enabled=False))
        yield


def autocasting() -> bool:
    """Return whether autocast is on in this thread."""
    return any(map(torch.is_autocast_enabled, _DEVICES))


def autocast_state() -> tuple[Any, ...]:
    """Return what autocast does in this thread: equal where it does the same."""
    return tuple(torch.is_autocast_enabled(name) and torch.get_autocast_dtype(name) for name in _DEVICES)


def to_float32(values: T) -> T:
    """Convert half-precision tensors, in any nesting of collections, to float32; leave all else as it is."""
    result: T = tree_map_only(Tensor, lambda x: x.float() if x.dtype in _HALF_PRECISION else x, values)
    return result


def like_precision(values: Sequence[Any], originals: Sequence[Any]) -> tuple[Any, ...]:
    """Convert tensors to the precision of the half-precision tensors that they replace, pair by pair."""
    return tuple(
        x.to(y.dtype) if isinstance(x, Tensor) and isinstance(y, Tensor) and y.dtype in _HALF_PRECISION else x
        for x, y in zip(values, originals, strict=True)
    )

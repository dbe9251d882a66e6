"""Choosing a quantizer's ranges, and coding them where they are sent with the image.

A range's ends travel as bfloat16 (float32's upper 16 bits), rounded away from zero so that nothing is clipped by the
rounding: 2 bytes per group for ``high``, and 2 more for ``-low`` where any value is negative, which the otherwise
unused sign bit of the first ``high`` says.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from splitbench.methods.base import BitstreamError, Cut, MethodError
from splitbench.methods.coding.quantization import laplace_clip
from splitbench.methods.coding.quantization.laplace_clip import Moments
from splitbench.methods.coding.quantization.linear import (
    LARGEST,
    Granularity,
    Range,
    Rounding,
    extent,
    grouped,
    squared_error,
)

Clip = Literal["none", "mse", "model"]

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Shares of the full range that ``clip: mse`` tries."""

_FLAG = 0x8000


def rounded(ends: Range) -> Range:
    """Return the ends as they travel: bfloat16, rounded away from zero."""
    return Range(-_rounded_up(ends.low.abs()), _rounded_up(ends.high))


def _rounded_up(x: Tensor) -> Tensor:
    bits = (x.contiguous().view(torch.int32) + 0xFFFF) & ~0xFFFF
    return bits.view(torch.float32)


def to_bytes(ends: Range) -> list[bytes]:
    """Return each image's ends, rounded before by :func:`rounded`, as bytes."""
    high, low = (_upper_halves(x.abs()) for x in (ends.high, ends.low))  # abs: -0.0 has a sign bit
    streams = []
    for image in range(len(high)):
        with_low = bool(low[image].any())
        row = high[image].copy()
        row[0] |= _FLAG if with_low else 0
        streams.append(row.tobytes() + (low[image].tobytes() if with_low else b""))
    return streams


def _upper_halves(x: Tensor) -> "np.ndarray[tuple[int, int], np.dtype[np.uint16]]":
    return (x.contiguous().cpu().numpy().view(np.uint32) >> 16).astype("<u2")


def from_bytes(data: memoryview, groups: int) -> tuple[Range, int]:
    """One image's ends, shape (1, groups), from the beginning of ``data``, and the bytes that they took.

    Raises:
        BitstreamError: too few bytes, or ends that are not finite numbers.
    """
    if len(data) < 2 * groups:
        raise BitstreamError("damaged bitstream: it ends within the quantizer's ranges")
    high = np.frombuffer(data[: 2 * groups], "<u2").copy()
    with_low = bool(high[0] & _FLAG)
    high[0] &= _FLAG - 1
    used = 4 * groups if with_low else 2 * groups
    if len(data) < used:
        raise BitstreamError("damaged bitstream: it ends within the quantizer's ranges")
    low = np.frombuffer(data[2 * groups : used], "<u2") if with_low else np.zeros_like(high)
    ends = np.stack([high, low]).astype(np.uint32) << 16
    values = torch.from_numpy(ends.view(np.float32))
    if not bool(((values >= 0) & (values <= LARGEST * 1.01)).all()):
        raise BitstreamError("damaged bitstream: a quantizer's range is not a finite number")
    return Range(-values[1:2], values[0:1]), used


def of_images(groups: Tensor, top: int, clip: Clip, rounding: Rounding) -> Range:
    """Return the ranges of every image for groups (B, G, N), rounded as they are sent."""
    full = extent(groups)
    if clip == "none":
        return rounded(full)
    if clip == "model":
        return rounded(laplace_clip.limits(Moments.of(groups), full, top, rounding))
    candidates = [rounded(full.narrowed(share)) for share in SHARES]
    errors = torch.stack([squared_error(groups, ends, top, rounding) for ends in candidates])
    return _chosen(candidates, errors.argmin(0))


def fitted(
    cuts: Callable[[], Iterable[Cut]], granularity: Granularity, top: int, clip: Clip, rounding: Rounding
) -> list[Range]:
    """One range (1, G) per tensor of the cut from all images that ``cuts()`` yields, called once, or twice to clip.

    Raises:
        MethodError: ``cuts`` is empty.
    """
    full: list[Range] = []
    for cut in cuts():
        here = [extent(grouped(x, granularity)) for x in cut]
        low = [ends.low.amin(0, keepdim=True) for ends in here]
        high = [ends.high.amax(0, keepdim=True) for ends in here]
        if full:
            low = [torch.minimum(a.low, b) for a, b in zip(full, low, strict=True)]
            high = [torch.maximum(a.high, b) for a, b in zip(full, high, strict=True)]
        full = [Range(a, b) for a, b in zip(low, high, strict=True)]
    if not full:
        raise MethodError("no calibration images: name some in the sweep's `calibration`")
    if clip == "none":
        return full
    if clip == "model":
        moments = functools.reduce(_added, (_moments(cut, granularity) for cut in cuts()))
        return [laplace_clip.limits(m, ends, top, rounding) for m, ends in zip(moments, full, strict=True)]
    candidates = [[ends.narrowed(share) for share in SHARES] for ends in full]
    errors = [torch.stack([torch.zeros_like(ends.low) for ends in row]) for row in candidates]
    for cut in cuts():
        for row, error, x in zip(candidates, errors, cut, strict=True):
            groups = grouped(x, granularity)
            for share, ends in enumerate(row):
                error[share] += squared_error(groups, ends, top, rounding).sum(0, keepdim=True)
    return [_chosen(row, error.argmin(0)) for row, error in zip(candidates, errors, strict=True)]


def _moments(cut: Cut, granularity: Granularity) -> list[Moments]:
    return [Moments.of(grouped(x, granularity)).together() for x in cut]


def _added(a: list[Moments], b: list[Moments]) -> list[Moments]:
    return [x + y for x, y in zip(a, b, strict=True)]


def _chosen(candidates: list[Range], index: Tensor) -> Range:
    """For each (image, group) the candidate of the given index."""
    low = torch.stack([ends.low for ends in candidates])
    high = torch.stack([ends.high for ends in candidates])
    return Range(low.gather(0, index[None])[0], high.gather(0, index[None])[0])

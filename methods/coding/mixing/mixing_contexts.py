"""Contexts that decisions are mixed in, each a number that a few small values make up.

    channel     and what is predicted             how this channel is
    predicted   and activity of the neighbours    2 W + 2 N + NW + NE + WW + NN
    predicted   and mean of the channel so far    how this image's channel is
    predicted   and W and N
    gradient    W + N - NW, the other neighbours, and what earlier channels had at this place

Each value is an interval of what it is counted from; limits are fitted so that intervals are asked about equally often.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitbench.methods.coding.context.neighbours import LARGEST
from splitbench.methods.coding.mixing.mixing_predictors import ONE

Levels = npt.NDArray[np.uint8]
Limits = npt.NDArray[np.int32]

MAGNITUDES, ACTIVITIES, MEANS, PLACES, PREDICTED = 6, 16, 12, 12, 24
"""The number of intervals of each."""

MEAN_ONE = 1024
"""What means are multiples of a part of."""

FINEST = 4096
"""Predictions and means are looked up with 12 bits."""

_CHANNEL_CONTEXTS = 2048
_MOST_PER_CHANNEL = 8
SHARED = (PREDICTED * ACTIVITIES, PREDICTED * MEANS, PREDICTED * MAGNITUDES**2, MAGNITUDES**2 * PLACES)
"""Sizes of the contexts that all channels share."""


def per_channel(channels: int) -> int:
    """Contexts that each channel has for itself."""
    return max(1, min(_MOST_PER_CHANNEL, _CHANNEL_CONTEXTS // channels))


def shift(top: int, one: int) -> int:
    """By how much a multiple of 1 / one of magnitudes up to ``top`` is shifted to be looked up."""
    return max(0, (top * one).bit_length() - FINEST.bit_length() + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Highest values of each interval but the last, ascending int32."""

    magnitudes: Limits
    activities: Limits
    means: Limits
    places: Limits
    predicted: Limits

    def lookups(self) -> tuple[Levels, ...]:
        """Return the interval of every value that there can be, in the order above."""
        sizes = (LARGEST + 1, 8 * LARGEST + 1, FINEST, FINEST, FINEST)
        limits = (getattr(self, one.name) for one in fields(self))
        return tuple(
            np.searchsorted(limit, np.arange(size), side="left").astype(np.uint8)
            for limit, size in zip(limits, sizes, strict=True)
        )

    def sound(self) -> bool:
        """Return whether the limits are in order, and no more than there are intervals."""
        most = (MAGNITUDES, ACTIVITIES, MEANS, PLACES, PREDICTED)
        limits = [getattr(self, one.name) for one in fields(self)]
        return all(
            limit.dtype == np.int32 and limit.ndim == 1 and len(limit) < count and bool((np.diff(limit) > 0).all())
            for limit, count in zip(limits, most, strict=True)
        )

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the limits as tensors to store."""
        return {one.name: torch.from_numpy(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Intervals":
        """Return the intervals that :meth:`to_tensors` gave."""
        return cls(*(tensors[one.name].numpy() for one in fields(cls)))


def fitted(magnitudes: Levels, predicted: "npt.NDArray[np.int64]", top: int) -> Intervals:
    """Intervals for magnitudes of calibration images (B, C, H, W), and for what is predicted at some places (C, N)."""
    some = magnitudes[:: -(-len(magnitudes) // 16)]
    exact = MEAN_ONE >> shift(top, MEAN_ONE)
    means = magnitudes.mean((2, 3)) * exact
    places = magnitudes.mean(1) * exact
    looked_up = np.maximum(predicted, 0) >> shift(top, ONE)
    return Intervals(
        _limits(some[some > 0], MAGNITUDES - 1, shares=(0.45, 0.7, 0.85, 0.95)),
        _limits(_activities(some), ACTIVITIES),
        _limits(means, MEANS),
        _limits(places, PLACES),
        _limits(looked_up, PREDICTED),
    )


def _limits(values: "npt.NDArray[np.generic]", count: int, shares: tuple[float, ...] = ()) -> Limits:
    """Limits of intervals that hold these shares of values, or all the same; two thirds follow from values above 0."""
    flat = np.asarray(values, np.float64).ravel()
    positive = flat[flat > 0]
    if len(positive) == 0:
        return np.zeros(1, np.int32)
    if shares:
        chosen = np.append(np.quantile(positive, shares, method="lower"), 0)
    else:
        above = 2 * (count - 1) // 3
        chosen = np.concatenate(
            [
                np.quantile(positive, np.arange(1, above + 1) / (above + 1), method="lower"),
                np.quantile(flat, np.arange(1, count - above) / (count - above), method="lower"),
            ]
        )
    return np.unique(chosen.astype(np.int32))[: count - (0 if shares else 1)]


def _activities(magnitudes: Levels) -> "npt.NDArray[np.int32]":
    padded = np.pad(magnitudes.astype(np.int32), ((0, 0), (0, 0), (2, 0), (2, 1)))
    near = 2 * padded[:, :, 2:, 1:-2] + 2 * padded[:, :, 1:-1, 2:-1] + padded[:, :, 1:-1, 1:-2]
    far = padded[:, :, 1:-1, 3:] + padded[:, :, 2:, :-3] + padded[:, :, :-2, 2:-1]
    return np.asarray(near + far, np.int32)

"""What is known of a symbol before it is refined: its coarse symbol, and its neighbours' magnitudes.

A coarse symbol q stands for an interval, which is divided in three: it becomes 3q - 1, 3q or 3q + 1. Which of them is
the *choice* 0, 1 or 2, in the order of their magnitudes. What a choice's probabilities follow from:

    row        the channel where q is 0; elsewhere whether |q| is 1, for all channels together
    activity   a weighted sum of magnitudes at the four sides, at the four corners, and at the same place of the
               channels before and behind. They are refined where that is decoded before; elsewhere 3|q|, the middle

Three and not two, since 0 stays in the middle of its interval only so: every layer is a quantizer of even steps. With
bit planes the interval of 0 is twice as wide as others. Contexts are chosen as those of bit planes are (EBCOT; Taubman,
2000).
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.coding.context.neighbours import LARGEST, Maps

WEIGHTS = ((2, 1, 0), (3, 2, 0), (2, 1, 2), (2, 0, 1), (0, 0, 1))
"""Weights of sides, corners and channels that fitting chooses among."""

CHOICES = 3


def coarser(symbols: Maps, times: int) -> Maps:
    """Return the symbols of intervals that are 3**times as wide."""
    width: int = 3**times
    return np.asarray(np.sign(symbols) * ((np.abs(symbols) + width // 2) // width), np.int32)


def choices(coarse: Maps, fine: Maps) -> Maps:
    """Return the choice that was made at every place, 0 to 2."""
    return np.asarray((fine - 3 * coarse) * np.where(coarse < 0, -1, 1) + 1, np.int32)


def rows(coarse: Maps) -> Maps:
    """Return the row of every place of maps (C, H, W), below C + 2."""
    channel = np.arange(len(coarse), dtype=np.int32)[:, None, None]
    return np.where(coarse == 0, channel, len(coarse) + (np.abs(coarse) > 1)).astype(np.int32)


def most(weights: npt.NDArray[np.int64]) -> int:
    """Return the largest activity that there can be."""
    return int(weights @ np.array([4, 4, 2])) * LARGEST


@njit(nogil=True, cache=True, inline="always")
def magnitude(symbol):  # type: ignore[no-untyped-def]
    """What a refined symbol counts in the activity of its neighbours."""
    return min(abs(np.int64(symbol)), LARGEST)


@njit(nogil=True, cache=True, inline="always")
def activity(known, before, behind, i, j, weights):  # type: ignore[no-untyped-def]
    """The activity at a place.

    ``known`` holds the magnitudes of its channel, (H + 2, W + 2), with zeros around; ``before`` and ``behind`` those of
    the channels next to it, (H, W).
    """
    sides = known[i, j + 1] + known[i + 1, j] + known[i + 1, j + 2] + known[i + 2, j + 1]
    corners = known[i, j] + known[i, j + 2] + known[i + 2, j] + known[i + 2, j + 2]
    return weights[0] * sides + weights[1] * corners + weights[2] * (before[i, j] + behind[i, j])


@njit(nogil=True, cache=True)
def expected(coarse, channel):  # type: ignore[no-untyped-def]
    """The magnitudes of a channel before it is refined, (H, W); zeros for one that is not there."""
    result = np.zeros(coarse.shape[1:], np.int64)
    if channel < coarse.shape[0]:
        for i in range(coarse.shape[1]):
            for j in range(coarse.shape[2]):
                result[i, j] = magnitude(3 * np.int64(coarse[channel, i, j]))
    return result


@njit(nogil=True, cache=True)
def activities(coarse, fine, weights):  # type: ignore[no-untyped-def]
    """The activity at every place of maps (C, H, W), int32."""
    result = np.empty(coarse.shape, np.int32)
    known = np.zeros((coarse.shape[1] + 2, coarse.shape[2] + 2), np.int64)
    before, behind = np.zeros(coarse.shape[1:], np.int64), expected(coarse, 0)
    for c in range(coarse.shape[0]):
        known[1:-1, 1:-1] = behind
        behind = expected(coarse, c + 1)
        for i in range(coarse.shape[1]):
            for j in range(coarse.shape[2]):
                result[c, i, j] = activity(known, before, behind, i, j, weights)
                known[i + 1, j + 1] = magnitude(fine[c, i, j])
        before[:] = known[1:-1, 1:-1]
    return result

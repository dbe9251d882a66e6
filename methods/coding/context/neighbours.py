"""How active the neighbourhood of a symbol is, from symbols that are decoded before it.

Maps are read channel by channel, each in raster order. The *activity* at a place is a weighted sum of magnitudes |s| of
five causal neighbours:

    NW N NE        in the same channel: west, north, north-west and north-east;
    W  x           and P, the same place in the channel before

Places outside the map count as 0, and magnitudes are cut off at ``LARGEST``. A *class* is an interval of activities.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

LARGEST = 255
"""Magnitudes above count as this; so does an escape, whose value is decoded later."""

CLASSES = 8

Maps = npt.NDArray[np.int32]
"""Symbols of one tensor of one image, (C, H, W)."""

WEIGHTS = ((2, 2, 1, 1, 0), (2, 2, 1, 1, 2), (2, 1, 0, 0, 0), (1, 2, 0, 0, 0), (0, 0, 0, 0, 1), (2, 0, 0, 0, 1))
"""Weights of W, N, NW, NE and P that fitting chooses among: maps, maps with like neighbouring channels, and so on."""


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Weights of the five neighbours, and the highest activity of each class but the last, in ascending order."""

    weights: tuple[int, ...]
    limits: tuple[int, ...]

    def lookup(self) -> npt.NDArray[np.uint8]:
        """Return the class of every activity that there can be."""
        activities = np.arange(sum(self.weights) * LARGEST + 1)
        return np.searchsorted(np.array(self.limits), activities, side="left").astype(np.uint8)


@njit(nogil=True, cache=True, inline="always")
def magnitude(symbol):  # type: ignore[no-untyped-def]
    """What a symbol counts in the activity of its neighbours."""
    return min(abs(np.int64(symbol)), LARGEST)  # int32's lowest has no absolute value in int32


@njit(nogil=True, cache=True, inline="always")
def activity(west, north, north_west, north_east, before, weights):  # type: ignore[no-untyped-def]
    """The activity of a place from the neighbours' magnitudes; weights are a tuple."""
    row = weights[0] * west + weights[1] * north + weights[2] * north_west + weights[3] * north_east
    return row + weights[4] * before


@njit(nogil=True, cache=True)
def activities(maps, weights):  # type: ignore[no-untyped-def]
    """The activity at every place of maps (C, H, W), int32."""
    result = np.empty(maps.shape, np.int32)
    above, here = np.zeros(maps.shape[2] + 2, np.int64), np.zeros(maps.shape[2] + 2, np.int64)
    chosen = weights[0], weights[1], weights[2], weights[3], weights[4]
    for c in range(maps.shape[0]):
        above[:] = 0
        for i in range(maps.shape[1]):
            for j in range(maps.shape[2]):
                before = magnitude(maps[c - 1, i, j]) if c > 0 and weights[4] > 0 else 0
                result[c, i, j] = activity(here[j], above[j + 1], above[j], above[j + 2], before, chosen)
                here[j + 1] = magnitude(maps[c, i, j])
            above, here = here, above
    return result

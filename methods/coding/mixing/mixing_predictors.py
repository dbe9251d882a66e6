"""How large a symbol will be, predicted from symbols that are decoded before it: what context mixing lives on.

A channel's magnitudes are predicted by a linear function of its causal neighbours W, N, NW and NE and of the same place
in up to 16 earlier channels: those whose *innovations*, what the neighbours leave unexplained, go along best with its
own, chosen one after another by orthogonal matching pursuit (Pati et al., 1993). Coefficients are integers of 1/64,
found by ridge regression on calibration images.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Numbers = npt.NDArray[np.float32]

NEIGHBOURS = 4
ONE = 64
"""What coefficients and predictions are multiples of a part of."""

_MOST = 16  # earlier channels
_PLACES = 8192  # of all calibration images that coefficients follow from
_RIDGE = 0.002
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Predictors:
    """Predictors of C channels.

    Attributes:
        coefficients: Of W, N, NW, NE and the earlier channels, int8, (C, 4 + K).
        constants: Added to them, int16, (C,).
        earlier: The earlier channels, uint16, (C, K); C itself stands for none.
    """

    coefficients: npt.NDArray[np.int8]
    constants: npt.NDArray[np.int16]
    earlier: npt.NDArray[np.uint16]


def fitted(magnitudes: "npt.NDArray[np.uint8]", room: int) -> tuple[Predictors, npt.NDArray[np.int64]]:
    """Fit predictors to calibration images.

    Args:
        magnitudes: Of the images' symbols, (B, C, H, W).
        room: Bytes that they take at most, where that is enough for one earlier channel each.

    Returns:
        The predictors, and what they predict at some places of each channel, (C, N).
    """
    channels = magnitudes.shape[1]
    targets, neighbours = _sample(magnitudes)
    innovations = targets - _projected(targets, neighbours.mean(0))
    count = max(1, min(_MOST, (room // channels - NEIGHBOURS - 2) // 3))
    earlier = _chosen(_correlations(innovations), count)
    behind = np.concatenate([targets, np.zeros((1, targets.shape[1]), np.float32)])
    coefficients = np.empty((channels, NEIGHBOURS + earlier.shape[1]), np.int8)
    constants = np.empty(channels, np.int16)
    predicted = np.empty(targets.shape, np.int64)
    for c in range(channels):
        known = np.concatenate([neighbours[:, c], behind[earlier[c]], np.ones((1, targets.shape[1]), np.float32)])
        solved = _ridge(known, targets[c]) * ONE
        coefficients[c] = np.round(solved[:-1]).clip(-128, 127)
        constants[c] = np.round(solved[-1]).clip(-(2**15), 2**15 - 1)
        predicted[c] = np.round(coefficients[c] @ known[:-1]) + constants[c]
    return Predictors(coefficients, constants, earlier), predicted


def _sample(magnitudes: "npt.NDArray[np.uint8]") -> tuple[Numbers, Numbers]:
    """Magnitudes (C, N) at places drawn from all images, and those of their neighbours (4, C, N)."""
    channels = magnitudes.shape[1]
    padded = np.pad(magnitudes, ((0, 0), (0, 0), (1, 0), (1, 1)))
    shifted = (padded[:, :, 1:, :-2], padded[:, :, :-1, 1:-1], padded[:, :, :-1, :-2], padded[:, :, :-1, 2:])
    places = magnitudes.size // channels
    drawn = np.random.default_rng(_SEED).permutation(places)[:_PLACES]
    rows = [x.transpose(1, 0, 2, 3).reshape(channels, -1)[:, drawn].astype(np.float32) for x in (magnitudes, *shifted)]
    return rows[0], np.stack(rows[1:])


def _projected(x: Numbers, y: Numbers) -> Numbers:
    """Return what y explains of x, row by row."""
    variance = np.maximum(y.var(1), 1e-6)
    covariance = ((x - x.mean(1, keepdims=True)) * (y - y.mean(1, keepdims=True))).mean(1)
    return np.asarray((covariance / variance)[:, None] * y, np.float32)


def _correlations(x: Numbers) -> Numbers:
    centred = x - x.mean(1, keepdims=True)
    centred /= np.maximum(np.sqrt((centred**2).sum(1, keepdims=True)), 1e-6)
    return np.asarray(centred @ centred.T, np.float32)


def _ridge(known: Numbers, wanted: Numbers) -> "npt.NDArray[np.float64]":
    """Coefficients of least squares, kept small where they matter little."""
    gram = known @ known.T / known.shape[1] + _RIDGE * np.eye(len(known))
    return np.asarray(np.linalg.solve(gram.astype(np.float64), known @ wanted / known.shape[1]))


@njit(nogil=True, cache=True)
def _chosen(correlations: Any, count: int) -> Any:
    """Return the ``count`` earlier channels that explain most of each channel, one after another."""
    channels = len(correlations)
    earlier = np.full((channels, count), channels, np.uint16)
    basis = np.empty((count, channels), np.float32)
    for c in range(1, channels):
        left = correlations[c, :c].copy()  # correlation with what those chosen before do not explain
        for k in range(min(count, c)):
            best = -1
            for p in range(c):
                used = False
                for m in range(k):
                    used = used or earlier[c, m] == p
                if not used and (best < 0 or abs(left[p]) > abs(left[best])):
                    best = p
            direction = correlations[best, :c].copy()
            for m in range(k):
                direction -= basis[m, best] * basis[m, :c]
            length = direction[best]
            if length < 1e-3:  # no more than what the others explain
                break
            basis[k, :c] = direction / np.sqrt(length)
            left -= basis[k, :c] * (left[best] / np.sqrt(length))
            earlier[c, k] = best
    return earlier

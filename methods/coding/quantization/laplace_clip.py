"""Clipping limits that follow from two moments of a tensor (Cohen, Choi and Bajic, 2021).

"Lightweight compression of intermediate neural network features for collaborative intelligence" (IEEE Open Journal of
Circuits and Systems) models what a layer returns as an asymmetric Laplace distribution, and takes the limits with the
least expected squared error: clipping's and that of N levels between. Behind an activation either side of 0 is taken
here for an exponential distribution of some mass, which ReLU makes of theirs; rate and mass follow from the side's mean
and mean square:

    E[x; x > 0] = mass / rate,    E[x**2; x > 0] = 2 mass / rate**2
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from splitbench.methods.coding.quantization.linear import Range, Rounding, dequantize, quantize

_FARTHEST = 14.0  # of the points at which the model's error is computed, and of limits, in 1 / rate
_POINTS = 448
_LIMITS = tuple(0.25 * k for k in range(2, int(_FARTHEST / 0.25) + 1))


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over values of groups (B, G): of x and of x**2 below and above 0, (2, B, G) each, and how many there are."""

    first: Tensor
    second: Tensor
    count: int

    @classmethod
    def of(cls, groups: Tensor) -> "Moments":
        """Return those of values (B, G, N)."""
        sides = torch.stack([(-groups).clamp_min(0), groups.clamp_min(0)]).double()
        return cls(sides.sum(-1), sides.square().sum(-1), groups.shape[-1])

    def together(self) -> "Moments":
        """Return those of all images together, (2, 1, G)."""
        images = self.first.shape[1]
        return Moments(self.first.sum(1, keepdim=True), self.second.sum(1, keepdim=True), self.count * images)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.first + other.first, self.second + other.second, self.count + other.count)


def limits(moments: Moments, full: Range, top: int, rounding: Rounding) -> Range:
    """Return the ranges (B, G) with the least error that the model expects of levels 0 to ``top``, within full ones."""
    mean, square = moments.first / max(moments.count, 1), moments.second / max(moments.count, 1)
    rate = torch.where(square > 0, 2 * mean / square.clamp_min(1e-60), torch.ones_like(mean))
    mass = mean * rate
    points = (torch.arange(_POINTS, device=rate.device) + 0.5) * (_FARTHEST / _POINTS)
    weights = torch.exp(-points) * (_FARTHEST / _POINTS)
    values = (points / rate[..., None]).float()
    values = torch.cat([-values[0], values[1]], -1)  # (B, G, points of both sides)
    probable = torch.cat([mass[0, ..., None] * weights, mass[1, ..., None] * weights], -1)
    best, least = full, torch.full_like(full.high, torch.inf).double()
    for limit in _LIMITS:
        reach = (limit / rate).float()
        ends = Range(torch.maximum(-reach[0], full.low), torch.minimum(reach[1], full.high))
        error = dequantize(quantize(values, ends, top, rounding), ends, top).sub_(values).double().square_()
        expected = (error * probable).sum(-1)
        better = expected < least
        best = Range(torch.where(better, ends.low, best.low), torch.where(better, ends.high, best.high))
        least = torch.minimum(expected, least)
    return best

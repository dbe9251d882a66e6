"""Linear quantization with an exact zero, per tensor or per channel.

A range [low, high] with low <= 0 <= high is divided into ``top`` equal steps between the levels 0 to ``top``, which is
2**bits - 1 for a whole number of bits; the zero point is the level nearest to 0, moved onto it exactly (as in Jacob et
al., CVPR 2018, eq. 1), so that zeros stay zeros:

    step  = (high - low) / top
    zero  = round(-low / step)
    level = clip(round(x / step) + zero, 0, top)        x' = (level - zero) * step

With ``rounding: deadzone`` magnitudes are rounded up from 2/3 of a step on instead of 1/2, as in H.264's reference
encoder for intra blocks: more levels are zero and the others smaller, for a little more distortion.

Both sides compute step and zero from the same low and high in float32, so they agree exactly.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from splitbench.methods.base import MethodError

_SMALLEST_STEP = 1e-30  # far above float32's subnormal numbers, where x / step would lose its meaning
LARGEST = 1e38  # of a range's ends, so that their difference is finite in float32

Granularity = Literal["tensor", "channel"]
Rounding = Literal["nearest", "deadzone"]
_DEAD_ZONE_OFFSET = 1 / 3


@dataclass(frozen=True, slots=True)
class Range:
    """Ends of the quantized range, shape (B, G): one row per image, one column per group (G is 1 or the channels)."""

    low: Tensor
    high: Tensor

    def steps(self, top: int) -> tuple[Tensor, Tensor]:
        """Step and zero point, each (B, G), float32. Too narrow a range gets step 1: all its values become 0."""
        # By a tensor: CUDA multiplies by the reciprocal of a plain number, and the decoder runs on the CPU.
        step = (self.high - self.low) / torch.full_like(self.high, top)
        step = torch.where(step >= _SMALLEST_STEP, step, torch.ones_like(step))
        return step, torch.round(-self.low / step)

    def narrowed(self, share: float) -> "Range":
        """Return the same range times ``share``: values outside are clipped."""
        return Range(self.low * share, self.high * share)


def grouped(x: Tensor, granularity: Granularity) -> Tensor:
    """Return a tensor (B, C, ...) as float32 groups (B, G, N): one group, or one per channel (axis 1)."""
    groups = x.shape[1] if granularity == "channel" and x.dim() > 1 else 1
    return x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups).float()


def extent(groups: Tensor) -> Range:
    """Return the smallest range with all values of each group and 0. Raises MethodError for NaN and infinite values."""
    if groups.shape[-1] == 0:
        nothing = groups.new_zeros(groups.shape[:2])
        return Range(nothing, nothing)
    low, high = torch.aminmax(groups, dim=-1)  # NaN if any value is
    if not bool(torch.isfinite(low).all() & torch.isfinite(high).all()):
        raise MethodError("a quantizer cannot code NaN or infinite values: the cut has some")
    return Range(low.clamp(-LARGEST, 0), high.clamp(0, LARGEST))


def quantize(groups: Tensor, ends: Range, top: int, rounding: Rounding = "nearest") -> Tensor:
    """Levels (B, G, N) as uint8."""
    step, zero = ends.steps(top)
    steps = groups / step[..., None]
    if rounding == "nearest":
        steps.round_()
    else:
        steps = torch.sign(steps) * torch.floor(steps.abs() + _DEAD_ZONE_OFFSET)
    return steps.add_(zero[..., None]).clamp_(0, top).to(torch.uint8)


def dequantize(levels: Tensor, ends: Range, top: int) -> Tensor:
    """Values (B, G, N), float32, of levels (B, G, N)."""
    step, zero = ends.steps(top)
    return levels.float().sub_(zero[..., None]).mul_(step[..., None])  # in place: memory takes longer than arithmetic


def squared_error(groups: Tensor, ends: Range, top: int, rounding: Rounding = "nearest") -> Tensor:
    """Sum of squared errors of quantizing, (B, G)."""
    return (dequantize(quantize(groups, ends, top, rounding), ends, top) - groups).square_().sum(-1)


def fold(levels: Tensor, ends: Range, top: int) -> Tensor:
    """Levels as symbols: 0 is the zero point, then its neighbours by distance. A bijection on 0 .. top.

    Around zero point z, with m = min(z, top - z): levels at distance d <= m become 2d - 1 (above) and 2d (below);
    those farther away, all on one side, become d + m.
    """
    _, zero = ends.steps(top)
    if not bool(zero.any()):
        return levels
    zero = zero[..., None].to(torch.int16)
    both = torch.minimum(zero, top - zero)
    offset = levels.to(torch.int16) - zero
    distance = offset.abs()
    near = 2 * distance - (offset > 0).to(torch.int16)
    return torch.where(distance <= both, near, distance + both).to(torch.uint8)


def unfold(symbols: Tensor, ends: Range, top: int) -> Tensor:
    """Return the inverse of :func:`fold`."""
    _, zero = ends.steps(top)
    if not bool(zero.any()):
        return symbols
    zero = zero[..., None].to(torch.int16)
    both = torch.minimum(zero, top - zero)
    symbol = symbols.to(torch.int16)
    near = torch.where(symbol % 2 == 1, (symbol + 1) // 2, -(symbol // 2))
    side = torch.where(2 * zero < top, 1, -1).to(torch.int16)
    return (torch.where(symbol <= 2 * both, near, side * (symbol - both)) + zero).to(torch.uint8)

"""Entropy-constrained levels: designed on calibration images for few bits, in place of even ones.

Cohen, Choi and Bajic ("Lightweight compression of neural network feature tensors for collaborative intelligence", ICME
2020) take such a quantizer for cuts (Chou, Lookabaugh and Gray, 1989). A value x gets the level i with the least

    (x - value[i])**2 + rate_weight * step**2 * bits[i]

so that thresholds lie nearer to levels that take more bits; values become the means of what they stand for, bits follow
from how often levels come, and so on in turns (Lloyd's algorithm). It starts from as many even levels of the same
range, whose step ``step`` is. The level of 0 stays 0, and 0 stays at it, however rare it is.

Means are nearer to 0 than what they stand for, which networks take worse than the error itself: at the end values are
scaled so that the mean square is the calibration images', within the range: what becomes 0 is made up for, too. (The
authors keep the outermost ones at the limits.) Even levels stay where the design would gain nothing over them.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor

from splitbench.methods.base import Context, Cut, TensorSpec
from splitbench.methods.coding.quantization import quantizer
from splitbench.methods.coding.quantization.linear import Granularity, Range, grouped
from splitbench.methods.coding.quantization.quantizer import Quantizer

_REVISION = 1  # of what is designed, in the keys of cells
_RATE_WEIGHT = 0.1
_BINS = 4096  # of a range, in which values are counted
_ROUNDS = 20
_RAREST = 1e-9  # share of what never comes
_BELOW = 1e-37  # the nearest threshold below 0, a normal number in float32


class Settings(quantizer.Settings):
    """The quantizer's settings; ``levels`` are even, or designed with ``rate_weight`` for that of a bit."""

    range: Literal["image", "calibrated"] = "calibrated"
    levels: Literal["even", "designed"] = "even"
    rate_weight: float = Field(_RATE_WEIGHT, gt=0, allow_inf_nan=False)

    _before: ClassVar[dict[str, Any]] = {"levels": "even"}

    @model_validator(mode="after")
    def _possible(self) -> "Settings":
        if self.levels == "designed" and (self.range != "calibrated" or self.rounding != "nearest"):
            raise ValueError(
                "`levels: designed` is for `range: calibrated`, and thresholds take the place of `rounding`"
            )
        if self.levels == "even" and self.rate_weight != _RATE_WEIGHT:
            raise ValueError("`rate_weight` is for `levels: designed`")
        return self

    def coding_revision(self) -> int:
        """See the base class."""
        return _REVISION if self.levels == "designed" else 0

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is as it was before there was a choice, so that keys stay."""
        dumped: dict[str, Any] = serialize(self)
        if self.levels == "even":
            dumped.pop("rate_weight", None)
        return {key: value for key, value in dumped.items() if (key, value) not in self._before.items()}


@dataclass(frozen=True, slots=True)
class DesignedRange(Range):
    """A range (1, G) with the values of its levels, (G, N), and the thresholds between them, (G, N - 1)."""

    values: Tensor
    thresholds: Tensor


@dataclass(frozen=True)
class DesignedQuantizer(Quantizer):
    """A quantizer whose ranges are all ``DesignedRange``."""

    def stored(self) -> dict[str, Tensor]:
        """Return the fitted ranges and levels, as both sides store them."""
        named = super().stored()
        for index, ends in enumerate(map(_designed, self.fitted or ())):
            named |= {f"values.{index}": ends.values, f"thresholds.{index}": ends.thresholds}
        return named

    def levels(self, x: Tensor, ends: Range) -> Tensor:
        """Levels (B, G, N), uint8."""
        groups, thresholds = grouped(x, self.settings.granularity), _designed(ends).thresholds
        rows = groups.movedim(1, 0).flatten(1).contiguous()
        levels = torch.searchsorted(thresholds, rows).to(torch.uint8)
        return levels.reshape(groups.shape[1], len(groups), groups.shape[2]).movedim(0, 1)

    def values(self, levels: Tensor, ends: Range, spec: TensorSpec) -> Tensor:
        """Return the tensor (B, ...) of levels (B, G, N), as the network gave it."""
        table = _designed(ends).values
        values = table.expand(len(levels), *table.shape).gather(2, levels.long()).reshape(len(levels), *spec.shape)
        return values.to(spec.dtype) if spec.dtype.is_floating_point else values.round().to(spec.dtype)


def fit(settings: Settings, context: Context) -> Quantizer:
    """Fit ranges, and levels where they are not even. Raises MethodError where calibration images are missing."""
    even = Quantizer.fit(settings, context)
    if settings.levels == "even" or even.fitted is None:
        return even
    counts = _counts(context.calibration, even.fitted, settings.granularity)
    designed = [_design(*each, settings) for each in zip(even.fitted, counts, strict=True)]
    known = [
        DesignedRange(ends.low.cpu(), ends.high.cpu(), ends.values.cpu(), ends.thresholds.cpu()) for ends in designed
    ]
    return DesignedQuantizer(settings, [*designed], known)


def _designed(ends: Range) -> DesignedRange:
    assert isinstance(ends, DesignedRange)  # noqa: S101 - the quantizer was fitted with no others
    return ends


def _counts(cuts: Callable[[], Iterable[Cut]], ranges: Sequence[Range], granularity: Granularity) -> list[Tensor]:
    """Count the values of all images for each tensor, (G, bins): those beyond a range in its outermost bins."""
    counts = [torch.zeros(ends.low.shape[1], _BINS, dtype=torch.int64, device=ends.low.device) for ends in ranges]
    for cut in cuts():
        for x, ends, sums in zip(cut, ranges, counts, strict=True):
            width = _width(ends)[..., None]
            bins = ((grouped(x, granularity) - ends.low[..., None]) / width).clamp(0, _BINS - 1).long()
            rows = bins + torch.arange(len(sums), device=bins.device)[:, None] * _BINS
            sums += torch.bincount(rows.flatten(), minlength=sums.numel()).view_as(sums)
    return counts


def _width(ends: Range) -> Tensor:
    return ((ends.high - ends.low) / _BINS).clamp_min(1e-37)


def _design(ends: Range, counted: Tensor, settings: Settings) -> DesignedRange:
    """Return the levels of one tensor. All is done on the CPU, whose sums do not depend on any order."""
    of_groups = (ends.low, ends.high, _width(ends), *ends.steps(settings.top))
    low, high, width, step, level_of_0 = (x[0].cpu().double()[:, None] for x in of_groups)
    counts, zero = counted.cpu().double(), level_of_0.long()
    points = low + (torch.arange(_BINS) + 0.5) * width
    even = (torch.arange(settings.top + 1) - zero) * step
    side = torch.sign(torch.arange(_BINS) - torch.floor(-low / width))  # of 0, by bins: 0 for the one with it
    weight = settings.rate_weight * step.square()
    values, bits = even, torch.zeros_like(even)
    for _ in range(_ROUNDS):
        places = _cheapest(points, values, weight * bits, side, zero)
        mass = torch.zeros_like(values).scatter_add_(1, places, counts)
        sums = torch.zeros_like(values).scatter_add_(1, places, counts * points)
        bits = -torch.log2((mass / mass.sum(1, keepdim=True).clamp_min(1)).clamp_min(_RAREST))
        used = (mass > 0).scatter_(1, zero, True)
        values = torch.where(mass > 0, sums / mass.clamp_min(1), values).scatter_(1, zero, 0)
        values = _in_order(values, used)
    thresholds = _around_zero(_thresholds(values, weight * bits, used), zero)
    places = torch.searchsorted(thresholds, points)
    scaled = (values * _scale(values, points, places, counts)).clamp(low, high)

    halves = _around_zero((even[:, 1:] + even[:, :-1]) / 2, zero)
    even_error, even_bits = _measured(even, points, torch.searchsorted(halves, points), counts)
    error, rate = _measured(values, points, places, counts)
    scaled_error, _ = _measured(scaled, points, places, counts)
    worse = error + weight * rate > even_error + weight * even_bits
    worse |= (scaled_error > even_error) & (rate > even_bits)
    scaled = torch.where(worse, even.clamp(low, high), scaled)
    thresholds = torch.where(worse, halves, thresholds)
    device = ends.low.device
    return DesignedRange(ends.low, ends.high, scaled.float().to(device), thresholds.float().to(device))


def _scale(values: Tensor, points: Tensor, places: Tensor, counts: Tensor) -> Tensor:
    """Return what values (G, N) are scaled by, (G, 1), so that the mean square of the points is kept."""
    energy = (counts * points.square()).sum(1, keepdim=True)
    kept = (counts * values.gather(1, places).square()).sum(1, keepdim=True)
    return torch.where(kept > 0, energy / kept.clamp_min(1e-300), torch.ones_like(kept)).sqrt()


def _measured(values: Tensor, points: Tensor, places: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of squared errors and the entropy in bits of points at their places, each (G, 1)."""
    error = (counts * (points - values.gather(1, places)).square()).sum(1, keepdim=True)
    mass = torch.zeros_like(values).scatter_add_(1, places, counts)
    return error, torch.xlogy(mass, mass.sum(1, keepdim=True) / mass.clamp_min(1)).sum(1, keepdim=True) / math.log(2)


def _in_order(values: Tensor, used: Tensor) -> Tensor:
    """Move levels that nothing falls to between the used ones beside them: only these have kept their order."""
    least = torch.where(used, values, -torch.inf).cummax(1).values
    most = torch.where(used, values, torch.inf).flip(1).cummin(1).values.flip(1)
    return torch.minimum(torch.maximum(values, least), most).cummax(1).values


def _around_zero(thresholds: Tensor, zero: Tensor) -> Tensor:
    """Return thresholds (G, N - 1) between which 0 falls to its level."""
    below = torch.arange(thresholds.shape[1]) < zero
    return torch.where(below, thresholds.clamp_max(-_BELOW), thresholds.clamp_min(0)).contiguous()


def _cheapest(points: Tensor, values: Tensor, costs: Tensor, side: Tensor, zero: Tensor) -> Tensor:
    """Return for each point (G, bins) the level on its side of 0 with the least squared error and cost.

    A point whose ``side`` is 0 has that of ``zero`` (G, 1) alone.
    """
    least, places = torch.full_like(points, torch.inf), zero.expand(points.shape)
    for level in range(values.shape[1]):
        cost = (points - values[:, level, None]).square() + costs[:, level, None]
        better = (cost < least) & (((level - zero) * side > 0) | (level == zero))
        places = torch.where(better, level, places)
        least = torch.where(better, cost, least)
    return places


def _thresholds(values: Tensor, costs: Tensor, used: Tensor) -> Tensor:
    """Return where the next used level is as cheap as the last one, (G, N - 1); levels between get nothing."""
    count = values.shape[1]
    index = torch.arange(count).expand_as(values)
    before = torch.where(used, index, -1).cummax(1).values[:, :-1]
    behind = torch.where(used, index, count).flip(1).cummin(1).values.flip(1)[:, 1:]
    lower, upper = before.clamp_min(0), behind.clamp_max(count - 1)
    a, b = values.gather(1, lower), values.gather(1, upper)
    even = (a + b) / 2 + (costs.gather(1, upper) - costs.gather(1, lower)) / (2 * (b - a)).clamp_min(1e-300)
    edges = torch.where(before < 0, -torch.inf, torch.where(behind >= count, torch.inf, even))
    return edges.cummax(1).values

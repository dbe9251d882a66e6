"""Clipping by a model of two moments: the limits with the least error where the model holds, on either side."""

import pytest
import torch

from splitbench.methods.coding.quantization import ranges
from splitbench.methods.coding.quantization.laplace_clip import Moments, limits
from splitbench.methods.coding.quantization.linear import extent, squared_error


def drawn(seed, images=1, count=40_000):
    """Values of a layer after ReLU: 70 % zeros, and an exponential distribution of rate 2."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.empty(images, 1, count).exponential_(2.0, generator=generator)
    return values * (torch.rand(values.shape, generator=generator) < 0.3)


@pytest.mark.parametrize("rounding", ["nearest", "deadzone"])
@pytest.mark.parametrize("top", [1, 3, 7, 15])
def test_no_other_limit_has_a_smaller_error_where_the_model_holds(top, rounding):
    groups = drawn(0)
    full = extent(groups)
    chosen = limits(Moments.of(groups), full, top, rounding)
    assert float(chosen.low) == 0 < float(chosen.high) < float(full.high)
    error = float(squared_error(groups, chosen, top, rounding))
    others = [float(squared_error(groups, full.narrowed(0.02 * k), top, rounding)) for k in range(2, 51)]
    assert error < 1.02 * min(others)


def test_both_sides_of_zero_have_limits():
    """A side of half the scale has half the limit."""
    positive, negative = drawn(1), drawn(2)
    groups = torch.cat([positive, -negative / 2], -1)
    chosen = limits(Moments.of(groups), extent(groups), 15, "nearest")
    assert float(-chosen.low / chosen.high) == pytest.approx(0.5, rel=0.05)


def test_limits_are_never_beyond_the_values():
    groups = torch.tensor([[[0.0, 0, 0, 1, 1]]])
    chosen = limits(Moments.of(groups), extent(groups), 255, "nearest")
    assert (float(chosen.low), float(chosen.high)) == (0, 1)


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_tensors_of_one_value_have_finite_limits(value):
    groups = torch.full((2, 3, 4), value)
    chosen = limits(Moments.of(groups), extent(groups), 7, "nearest")
    assert bool(torch.isfinite(chosen.low).all() & torch.isfinite(chosen.high).all())


def test_calibration_images_count_alike_in_whatever_batches():
    groups = drawn(3, images=6, count=500)
    whole = ranges.fitted(lambda: [(groups,)], "tensor", 7, "model", "nearest")
    parts = ranges.fitted(lambda: [(groups[:2],), (groups[2:],)], "tensor", 7, "model", "nearest")
    assert float(whole[0].high) == pytest.approx(float(parts[0].high), rel=1e-6)

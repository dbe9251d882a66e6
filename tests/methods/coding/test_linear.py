"""Quantization and the coding of its ranges."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.quantization import linear, ranges

ends = st.floats(0, 2.0**126, width=32)
TOPS = st.integers(1, 255)
"""The highest level: any number of levels, not only powers of two."""


def one_range(low: float, high: float) -> linear.Range:
    return linear.Range(torch.tensor([[-low]]), torch.tensor([[high]]))


@given(ends, ends, TOPS)
def test_folding_is_a_bijection_that_sends_the_zero_point_to_zero(low, high, top):
    levels = torch.arange(top + 1, dtype=torch.uint8).reshape(1, 1, -1)
    span = one_range(low, high)
    symbols = linear.fold(levels, span, top)
    assert sorted(symbols.flatten().tolist()) == list(range(top + 1))
    assert torch.equal(linear.unfold(symbols, span, top), levels)
    _, zero = span.steps(top)
    assert symbols.flatten()[int(zero)] == 0


@given(ends, ends, TOPS, st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=1, max_size=20))
def test_quantizing_keeps_zero_and_errs_by_at_most_a_step_inside_the_range(low, high, top, values):
    span = one_range(low, high)
    x = torch.tensor([0.0, *values]).clamp(-low, high).reshape(1, 1, -1)
    levels = linear.quantize(x, span, top)
    decoded = linear.dequantize(levels, span, top)
    step, _ = span.steps(top)
    assert decoded[0, 0, 0] == 0
    # Half a step from rounding, half from moving the zero point onto a level, and float32's own rounding.
    assert bool(((decoded - x).abs() <= step * 1.001 + 1e-30).all())


@given(st.lists(st.tuples(ends, ends), min_size=1, max_size=6))
def test_sent_ranges_arrive_and_hold_the_true_ones(pairs):
    low, high = (torch.tensor([[pair[i] for pair in pairs]]) for i in (0, 1))
    sent = ranges.rounded(linear.Range(-low, high))
    assert bool((sent.low <= -low).all()) and bool((sent.high >= high).all())
    assert bool((sent.high <= high * (1 + 2**-7) + 1e-38).all())
    (data,) = ranges.to_bytes(sent)
    arrived, used = ranges.from_bytes(memoryview(data + b"rest"), len(pairs))
    assert used == len(data) == (4 if bool(low.any()) else 2) * len(pairs)
    assert torch.equal(arrived.low, sent.low) and torch.equal(arrived.high, sent.high)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0", np.array([np.inf], "<f4").tobytes()[2:] * 2])
def test_damaged_ranges_are_refused(data):
    with pytest.raises(BitstreamError):
        ranges.from_bytes(memoryview(data), 2)


def test_clipping_lowers_the_squared_error():
    x = torch.randn(4, 3, 5000, generator=torch.Generator().manual_seed(0)).relu()
    x[:, :, 0] = 10.0

    def error(clip: ranges.Clip) -> Tensor:
        return linear.squared_error(x, ranges.of_images(x, 7, clip, "nearest"), 7).sum()

    assert error("mse") < 0.8 * error("none")

"""Weights as differences from others: nothing is lost, and near weights become small numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from splitbench.bench.training.methods.differences import add, subtract

BITS = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=6, max_size=6)


def float16(bits):
    return torch.tensor(bits, dtype=torch.int16).view(torch.float16).reshape(2, 3)


@given(BITS, BITS)
def test_every_float16_comes_back_whatever_it_is_subtracted_from(bits, base):
    base = {"a.weight": float16(base)}
    restored = add(subtract({"own.weight": float16(bits)}, base), base)
    assert restored["own.weight"].dtype == torch.float16
    assert restored["own.weight"].view(torch.int16).tolist() == float16(bits).view(torch.int16).tolist()


def test_differences_count_the_values_between():
    values = torch.tensor([[1.0, -1.0, 0.0, -0.0]]).half()
    steps = torch.tensor([[1.0 + 2**-10, -1.0 - 2**-10, -0.0, 2**-24]]).half()
    (folded,) = subtract({"own.w": steps}, {"w": values}).values()
    assert folded.tolist() == [[2, 1, 1, 4]]  # one above, one below, one below (zero), two above (zero, then 2^-24)


def test_the_nearest_tensor_of_the_same_shape_is_taken():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(8, 3, generator=generator).half() for _ in range(2))
    near = (second.float() * 1.01).half()
    assert list(subtract({"own.x": near}, {"first": first, "second": second})) == ["own.x|second"]


def test_other_types_and_shapes_are_kept():
    base = {"w": torch.zeros(2, 3).half()}
    weights = {"bias": torch.ones(3), "table": torch.ones(2, 3, dtype=torch.int32), "more": torch.ones(3, 3).half()}
    kept = subtract(weights, base)
    assert kept.keys() == weights.keys()
    assert all(kept[name] is weights[name] for name in weights)


def test_another_base_is_noticed():
    packed = subtract({"own.w": torch.ones(2, 3).half()}, {"w": torch.zeros(2, 3).half()})
    with pytest.raises(KeyError):
        add(packed, {})

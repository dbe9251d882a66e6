"""low-rank: the best approximation of its rank, whatever the layout, and what is sent of it."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import BitstreamError, Context, MethodError, TensorSpec
from splitbench.methods.coding.factors import as_matrix, factorize, from_matrix, matrix_shape

METHOD: Any = METHODS.get("low-rank")


def deployment(cut, calibration, **chosen):
    specs = tuple(TensorSpec(tuple(x.shape[1:]), x.dtype) for x in cut)
    context = Context(torch.nn.Identity(), torch.nn.Identity(), specs, lambda: calibration)
    return METHOD.deploy(METHOD.Settings(**chosen), context), specs


def coded(cut, calibration, **chosen):
    made, specs = deployment(cut, calibration, **chosen)
    streams = made.codec.encode(cut)
    return streams, made.codec.decode([stream.data for stream in streams], specs)


def of_rank(rank, *shape, seed=0):
    """Images (4, C, H, W) of a rank, whose components differ in strength."""
    generator = torch.Generator().manual_seed(seed)
    channels, places = shape[0], int(torch.Size(shape[1:]).numel())
    left = torch.randn(4, channels, rank, generator=generator) * torch.linspace(3, 0.5, rank)
    return (left @ torch.randn(4, rank, places, generator=generator)).reshape(4, *shape)


@given(st.lists(st.integers(1, 6), min_size=0, max_size=4), st.integers(0, 3))
def test_matrices_are_put_back(shape, axis):
    x = torch.arange(torch.Size(shape).numel()).reshape(shape)
    axis = axis % max(1, len(shape))
    matrix = as_matrix(x, axis)
    assert matrix.shape == matrix_shape(tuple(shape), axis)
    assert torch.equal(from_matrix(matrix, tuple(shape), axis), x)


@pytest.mark.parametrize(("shape", "axis"), [((24, 24, 32), 0), ((20, 20, 35), 0), ((4, 6, 8), 2), ((6, 12), 0)])
def test_channels_are_where_the_spec_says(shape, axis):
    # (24, 24, 32) by itself would be taken for channels last.
    rest = shape[:axis] + shape[axis + 1 :]
    x = of_rank(3, shape[axis], *rest).movedim(1, axis + 1)
    spec = TensorSpec(shape, torch.float32, axis=axis)
    context = Context(torch.nn.Identity(), torch.nn.Identity(), (spec,), lambda: [(x,)])
    codec = METHOD.deploy(METHOD.Settings(rank=3, bits=12), context).codec
    (decoded,) = codec.decode([stream.data for stream in codec.encode((x,))], (spec,))
    assert float((decoded - x).square().mean() / x.square().mean()) < 1e-4


def test_tables_hold_no_components_that_cannot_be():
    cut = (of_rank(4, 8, 5, 5),)
    sizes = {}
    for rank in (8, 64):
        made, _ = deployment(cut, [cut], rank=rank)
        sizes[rank] = sum(x.nbytes for x in made.device_tables.values())
    assert sizes[8] == sizes[64]


def test_whole_numbers_stay_within_their_type():
    x = (of_rank(6, 8, 6, 6) > 0).to(torch.uint8) * 255
    _, decoded = coded((x,), [(x,)], rank=4)
    assert float((decoded[0].float() - x.float()).abs().gt(128).float().mean()) < 0.2
    far = torch.randn(2, 4, 6, 6).sign() * torch.finfo(torch.float32).max
    assert bool(torch.isfinite(coded((far,), [(far,)], rank=2)[1][0]).all())


@pytest.mark.parametrize("rank", [1, 3, 8, 20])
def test_factors_are_nearly_the_best_of_their_rank(rank):
    matrix = of_rank(12, 12, 5, 7)[0].reshape(12, 35)
    left, right = factorize(matrix, rank, iterations=4)
    assert left.shape == (rank, 12) and right.shape == (rank, 35)
    error = (matrix - left.T @ right).square().sum()
    best = torch.linalg.svdvals(matrix)[rank:].square().sum()
    assert error <= 1.02 * best + 1e-4 * matrix.square().sum()
    strengths = left.square().sum(1) * right.square().sum(1)
    assert (strengths[:-1] >= strengths[1:] * 0.999).all()  # the strongest first
    assert torch.allclose(left[:8].norm(dim=1), right[:8].norm(dim=1), rtol=1e-3)


def test_a_cut_of_that_rank_comes_back_up_to_the_quantizer():
    cut = (of_rank(3, 10, 6, 6),)
    _, exact = coded(cut, [cut], rank=3, bits=12)
    _, coarse = coded(cut, [cut], rank=3, bits=4)
    _, less = coded(cut, [cut], rank=2, bits=12)
    errors = [float((x[0] - cut[0]).square().mean() / cut[0].square().mean()) for x in (exact, coarse, less)]
    assert errors[0] < 1e-4 < errors[1]
    assert errors[0] < errors[2] < 0.5


def test_bytes_grow_with_the_rank_and_calibration_saves_some():
    cut, calibration = (of_rank(8, 16, 8, 8),), (of_rank(8, 16, 8, 8, seed=1),)
    sizes = [sum(len(s.data) for s in coded(cut, [calibration], rank=rank)[0]) for rank in (1, 2, 4, 8)]
    assert sizes == sorted(sizes) and sizes[-1] > 3 * sizes[0]
    entries = 4 * 8 * (16 + 64)
    assert sizes[-1] < entries * 6 / 8  # tables by component spend less than 6 bits on an entry


def test_what_was_never_negative_is_cut_off_at_zero():
    cut = (of_rank(6, 9, 4, 4).relu(),)
    assert float(coded(cut, [cut], rank=2)[1][0].min()) == 0
    assert float(coded((cut[0] - 1,), [(cut[0] - 1,)], rank=2)[1][0].min()) < 0


@given(st.integers(0, 2**31), st.lists(st.integers(1, 7), min_size=0, max_size=3), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_any_shape_scale_and_rank(seed, shape, rank):
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed)) * 10.0 ** (seed % 13 - 6)
    _, decoded = coded((x,), [(x,)], rank=rank, bits=8)
    assert decoded[0].shape == x.shape and bool(torch.isfinite(decoded[0]).all())
    _, zero = coded((x * 0,), [(x,)], rank=rank)
    assert not zero[0].any()


def test_matrix_products_are_counted():
    made, _ = deployment(cut := (of_rank(8, 16, 8, 8)[:1],), [cut], rank=4, iterations=2)
    # Two products each iteration, one before, one after, each with eight spare vectors; and small ones.
    products = 16 * 64 * (4 + 8) * (2 * 2 + 2)
    assert products <= count_macs(made.codec.encode, cut) <= 1.3 * products


def test_mistakes_are_sentences():
    cut = (of_rank(2, 4, 3, 3),)
    with pytest.raises(MethodError, match="no calibration images"):
        deployment(cut, [], rank=1)
    made, specs = deployment(cut, [cut], rank=1)
    with pytest.raises(MethodError, match="NaN or infinite"):
        made.codec.encode((cut[0] * float("nan"),))
    stream = made.codec.encode(cut)[0].data
    far = b"\xff\xff\x7f\x7f" + stream[4:]  # the largest step
    assert bool(torch.isfinite(made.codec.decode([far], specs)[0]).all())
    for damaged in (b"", stream[:3], b"\0\0\0\0" + stream[4:], b"\0\0\xc0\x7f" + stream[4:]):
        with pytest.raises(BitstreamError, match="damaged bitstream"):
            made.codec.decode([damaged], specs)

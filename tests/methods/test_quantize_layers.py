"""quantize-layers: prefixes decode to what quantize-context does at their step, and damaged layers are refused."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import Bitstream, BitstreamError, Context, MethodError, Prefix, TensorSpec
from splitbench.methods.coding.context import layered_coder, refinement_tables
from splitbench.methods.coding.context.layered_coder import LayeredCoder
from splitbench.methods.coding.context.refinement_coder import RefinementCoder
from splitbench.methods.coding.context.refinement_contexts import activities, choices, coarser, rows
from splitbench.methods.coding.entropy.probability_tables import TOTAL
from splitbench.methods.coding.layers import divided, layered
from splitbench.methods.quantize_layers import LAYERS

METHOD = METHODS.get("quantize-layers")
SHAPES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6)), min_size=1, max_size=3)


def context_of(cut, specs=None):
    specs = specs or tuple(TensorSpec(tuple(x.shape[1:]), x.dtype) for x in cut)
    return Context(nn.Identity(), nn.Identity(), specs, calibration=lambda: [tuple(x.roll(1) for x in cut)])


def a_cut():
    torch.manual_seed(0)
    return (torch.randn(3, 6, 15, 17).relu(), torch.randn(3, 9, 40), torch.randn(3, 5))


@given(st.integers(-243, 243), st.integers(0, 3), st.integers(0, 3))
def test_coarser_intervals_nest_and_have_their_symbol_in_the_middle(symbol, times, more):
    maps = np.array(symbol, np.int32)
    coarse = coarser(maps, times)
    assert abs(int(coarse) * 3**times - symbol) <= 3**times // 2
    assert coarser(coarse, more) == coarser(maps, times + more)
    assert coarser(-maps, times) == -coarse
    if times == 1:
        assert 0 <= choices(coarse[None, None, None], maps[None, None, None]).item() <= 2


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_any_symbols_come_back_from_every_prefix(shapes, seed):
    rng = np.random.default_rng(seed)

    def draw(shape):
        return rng.integers(-81, 82, shape).astype(np.int32)

    tables = [layered_coder.fit(shape[0], 3, LAYERS, partial(map, draw, [shape] * 3)) for shape in shapes]
    coder, symbols = LayeredCoder(tables), [draw(shape) for shape in shapes]
    symbols[0].flat[0] = 2**20  # beyond all tables
    layers = coder.encode(symbols)
    for count in range(1, LAYERS + 1):
        decoded = coder.decode([memoryview(data) for data in layers[:count]], shapes)
        assert all(np.array_equal(x, coarser(y, LAYERS - count)) for x, y in zip(decoded, symbols, strict=True))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.integers(1, 6))
def test_layers_are_found_in_every_prefix(layers, count):
    stream = layered(layers, side=len(layers[0]) // 2)
    prefix = Bitstream.of_layers(stream.layers[:count])
    assert stream.data.startswith(prefix.data)
    assert [bytes(layer) for layer in divided(prefix.data, 6)] == layers[:count]
    assert prefix.side == len(layers[0]) // 2 and prefix.payload + prefix.side == sum(map(len, layers[:count]))


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x00\x05abc", b"\x80\x00", b"\x81", b"\xff" * 6, b"\x00" * 5])
def test_what_is_no_row_of_layers_is_refused(data):
    with pytest.raises(BitstreamError, match="damaged bitstream"):
        divided(data, LAYERS)


@pytest.mark.parametrize("settings", [{}, {"range": "image", "granularity": "channel"}, {"bits": 3.3, "clip": "mse"}])
def test_truncating_all_layers_decodes_to_what_the_rate_point_of_the_prefix_does(settings):
    cut = a_cut()
    context = context_of(cut)
    codecs = [METHOD.deploy(METHOD.Settings(layers=k, **settings), context).codec for k in METHOD.rates]
    whole = codecs[-1].encode(cut)
    assert all(len(stream.layers) == LAYERS for stream in whole)
    for codec in codecs:
        streams = codec.encode(cut)
        cut_off = [stream.data[: len(prefix.data)] for stream, prefix in zip(whole, streams, strict=True)]
        assert cut_off == [prefix.data for prefix in streams]
        expected = codec.decode([stream.data for stream in streams], context.specs)
        assert all(map(torch.equal, codecs[-1].decode(cut_off, context.specs), expected))


@pytest.mark.parametrize(("layers", "bits"), [(1, 2), (2, 3.32), (3, 4.81), (4, 6.36)])
def test_every_prefix_is_quantized_as_by_quantize_context_with_its_step(layers, bits):
    cut = (a_cut()[0],)  # no value is negative, so that both have the same zero point
    context, other = context_of(cut), METHODS.get("quantize-context")
    decoded = []
    for method, rate in ((METHOD, {"layers": layers}), (other, {"bits": bits})):
        codec = method.deploy(method.Settings(**rate), context).codec
        decoded.append(codec.decode([stream.data for stream in codec.encode(cut)], context.specs)[0])
    assert torch.allclose(decoded[0], decoded[1], atol=1e-5)
    assert 3 ** (layers - 1) + 1 < len(decoded[0].unique()) <= 3**layers + 1


def smooth_maps(rng, shape, scale):
    channels, height, width = shape
    coarse = rng.normal(size=(channels, -(-height // 4), -(-width // 4)))
    fine = coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width] + 0.1 * rng.normal(size=shape)
    return np.clip(np.round(scale * fine), 0, 81).astype(np.int32)


def test_neighbours_on_all_sides_save_what_channels_alone_cannot():
    rng = np.random.default_rng(0)
    images = [smooth_maps(rng, (16, 16, 16), 20) for _ in range(24)]
    pairs = [(coarser(maps, 2), coarser(maps, 1)) for maps in images]
    (tables,) = refinement_tables.fit(16, lambda: pairs[:16])
    coder = RefinementCoder([tables])
    counts = np.zeros((18, 3))
    for coarse, fine in pairs[16:]:
        np.add.at(counts, (rows(coarse), choices(coarse, fine)), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    by_row = -(counts * np.log2(np.where(counts > 0, shares, 1))).sum() / 8
    assert sum(len(coder.encode([coarse], [fine])) for coarse, fine in pairs[16:]) < 0.95 * by_row


def test_tables_add_up_and_leave_no_choice_out():
    rng = np.random.default_rng(1)
    images = [smooth_maps(rng, (4, 8, 8), 2) for _ in range(3)]
    for tables in refinement_tables.fit(4, lambda: [[coarser(maps, 1), maps] for maps in images]):
        assert (tables.frequencies.astype(int).sum(1) == TOTAL).all() and (tables.frequencies > 0).all()
        assert tables.rows.shape == (6, len(tables.limits) + 1) and (tables.rows < len(tables.frequencies)).all()


def test_activity_takes_refined_neighbours_before_and_coarse_ones_behind():
    coarse = np.arange(-9, 9, dtype=np.int32).reshape(2, 3, 3)
    fine = 3 * coarse + 1
    sides = abs(fine[0, 0, 1]) + abs(fine[0, 1, 0]) + 3 * (abs(coarse[0, 1, 2]) + abs(coarse[0, 2, 1]))
    corners = abs(fine[0, 0, 0]) + abs(fine[0, 0, 2]) + 3 * (abs(coarse[0, 2, 0]) + abs(coarse[0, 2, 2]))
    assert activities(coarse, fine, np.array([2, 1, 0]))[0, 1, 1] == 2 * sides + corners
    assert activities(coarse, fine, np.array([0, 0, 1]))[0, 1, 1] == 3 * abs(coarse[1, 1, 1])
    assert activities(coarse, fine, np.array([0, 0, 1]))[1, 1, 1] == abs(fine[0, 1, 1])


def test_a_symbol_beyond_the_interval_at_the_end_of_the_range_is_refused():
    cut = (a_cut()[0],)
    context = context_of(cut)
    codec: Any = METHOD.deploy(METHOD.Settings(layers=1), context).codec
    maps = np.full((1, *context.specs[0].shape), 4, np.int32)  # 4 * 27 = 108, where the range ends at 81
    data = layered([codec.codec.coder.encode([27 * maps[0]])[0]]).data
    with pytest.raises(BitstreamError, match="no level of the quantizer"):
        codec.decode([data], context.specs)


def test_a_stream_of_too_few_layers_is_no_prefix():
    class Flat:
        def encode(self, cut):
            return [Bitstream(b"abc")] * len(cut[0])

        def decode(self, streams, specs):
            raise AssertionError

    with pytest.raises(MethodError, match="has 0 layers, of which 2 are to be sent"):
        Prefix(Flat(), 2).encode((torch.zeros(1, 2),))


def test_more_layers_than_there_are_are_refused_by_name():
    with pytest.raises(ValueError, match="layers"):
        METHOD.Settings(layers=LAYERS + 1)

"""quantize-lossless: what quantize-rle decodes to, and floats to the bit, from streams that cannot ask for memory."""

import bz2
import importlib.util
import lzma
import tracemalloc
import zlib
from typing import get_args

import numpy as np
import pytest
import torch
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from splitbench.bench.tools import conformance
from splitbench.bench.tools.conformance.samples import Case
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import BitstreamError, Context, MethodError, TensorSpec
from splitbench.methods.coding.maps import compressors
from splitbench.methods.coding.maps.packing import pack, packed_size, unpack
from splitbench.methods.coding.maps.tiles import tile, tiled_shape, untile

METHOD = METHODS.get("quantize-lossless")
CODERS = get_args(METHOD.Settings.model_fields["coder"].annotation)
OF_BYTES = ("zlib", "zstd", "xz", "bz2")


def coded(cut, name="quantize-lossless", **settings):
    """The decoded cut, and the bitstreams."""
    method = METHODS.get(name)
    specs = tuple(TensorSpec(tuple(x.shape[1:]), x.dtype) for x in cut)
    codec = method.deploy(method.Settings(**settings), Context(nn.Identity(), nn.Identity(), specs)).codec
    streams = codec.encode(cut)
    return codec.decode([stream.data for stream in streams], specs), streams


def feature_maps():
    torch.manual_seed(0)
    smooth = nn.functional.interpolate(torch.randn(3, 40, 4, 4), scale_factor=4, mode="bilinear")
    return (smooth - 0.8).relu()


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("bits", [1, 2.5, 3, 8])
def test_the_cut_is_quantize_rles(coder, bits):
    cut = (feature_maps(), torch.randn(3, 9, 4), torch.randn(3, 5), torch.randn(3, 0), torch.randn(3, 6, 5, 7).relu())
    expected, _ = coded(cut, "quantize-rle", bits=bits)
    decoded, streams = coded(cut, bits=bits, coder=coder)
    assert all(torch.equal(a, b) for a, b in zip(decoded, expected, strict=True))
    assert all(stream.side == 5 * 2 * 2 or stream.side > 0 for stream in streams)


@pytest.mark.parametrize("coder", CODERS)
def test_floats_come_back_to_the_bit(coder):
    cut = (feature_maps(), torch.randint(0, 256, (3, 3, 8, 8)).to(torch.uint8), torch.randn(3, 7) * 1e-30)
    decoded, streams = coded(cut, bits=32, coder=coder)
    assert all(torch.equal(a, b) for a, b in zip(decoded, cut, strict=True))
    assert all(stream.side == 0 for stream in streams)
    halves, _ = coded(cut, bits=16, coder=coder)
    assert all(torch.equal(a, b.half().to(b) if b.is_floating_point() else b) for a, b in zip(halves, cut, strict=True))


def test_bytes_of_one_kind_are_fewer_together_unless_many_values_are_zero():
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(2, 40, 16, 16, generator=generator)
    for cut, shuffled_is_better in ((dense, True), ((dense - 1).relu(), False)):
        sizes = {}
        for packing in ("packed", "planes"):
            decoded, streams = coded((cut,), bits=32, coder="zlib", packing=packing)
            assert torch.equal(decoded[0], cut)
            sizes[packing] = sum(len(stream.data) for stream in streams)
        assert (sizes["planes"] < sizes["packed"]) == shuffled_is_better


def test_float16_refuses_what_it_cannot_hold():
    with pytest.raises(MethodError, match="float16 cannot hold"):
        coded((torch.full((1, 4), 1e6),), bits=16)


@pytest.mark.parametrize("coder", CODERS)
def test_floats_keep_the_contract(coder):
    case = Case({"coder": coder}, (16, 32))
    conformance.check(METHOD, case)
    conformance.check_damaged(METHOD, case)


def test_settings_without_a_meaning_are_refused():
    for settings, message in (
        ({"bits": 12}, "1 to 8, or 16 or 32"),
        ({"bits": 32, "rounding": "deadzone"}, "nothing is quantized"),
        ({"bits": 3, "coder": "png", "packing": "planes"}, "`packing` is for"),
    ):
        with pytest.raises(ValidationError, match=message):
            METHOD.Settings(**settings)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, coder, extra in (
        ("quantize-lossless", {"bits": 3, "coder": "zstd"}, r"pip install 'splitbench\[zstd\]'"),
        ("quantize-lossless", {"bits": 3, "coder": "jpeg-xl"}, r"pip install 'splitbench\[jpeg-xl\]'"),
        ("image", {"quality": 30, "format": "jpeg-xl"}, r"pip install 'splitbench\[jpeg-xl\]'"),
    ):
        with pytest.raises(ValidationError, match=extra):
            METHODS.get(name).Settings(**coder)


@given(
    st.integers(1, 8).flatmap(lambda bits: st.tuples(st.just(bits), st.lists(st.integers(0, 2**bits - 1)))),
    st.sampled_from(["packed", "planes"]),
)
def test_packed_symbols_come_back(symbols, packing):
    bits, values = symbols
    data = pack(np.array(values, np.uint8), bits, packing)
    assert len(data) == packed_size(len(values), bits, packing)
    assert unpack(data, len(values), bits, packing).tolist() == values


def test_packing_by_the_book():
    symbols = np.array([1, 0, 7, 2, 5], np.uint8)
    assert pack(symbols, 3, "packed") == bytes([0x10, 0x72, 0x50])
    assert pack(symbols, 3, "planes") == bytes([0b00101000, 0b00110000, 0b10101000])


@pytest.mark.parametrize(("data", "packing"), [(b"\x10\x78\x50", "packed"), (b"\x10\x72\x51", "packed")])
def test_what_packing_does_not_write_is_refused(data, packing):
    with pytest.raises(BitstreamError, match="no level"):
        unpack(data, 5, 3, packing)


@given(st.tuples(*[st.integers(1, 9)] * 3), st.sampled_from(["grid", "columns", "rows"]))
def test_tiles_come_back(shape, layout):
    maps = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    image = tile(maps, layout)
    assert image.shape == tiled_shape(shape, layout)
    assert np.array_equal(untile(image, shape, layout), maps)


def test_tiles_keep_to_what_a_file_may_hold():
    for shape in ((2048, 20, 20), (64, 160, 160), (3, 16383, 2), (20000, 1, 1)):
        assert max(tiled_shape(shape, "columns")) <= 16383
    with pytest.raises(MethodError, match="too large for an image"):
        tiled_shape((4, 3000, 16000), "grid")


def bomb(name, size):
    """As many zeros as asked for, in a stream that the decoder can read."""
    zeros = bytes(size)
    if name == "zstd":
        sizes = {"write_content_size": True, "write_checksum": False}
        parameters = zstandard.ZstdCompressionParameters(
            format=zstandard.FORMAT_ZSTD1_MAGICLESS, window_log=27, **sizes
        )
        return zstandard.ZstdCompressor(compression_params=parameters).compress(zeros)
    if name == "zlib":
        writer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return writer.compress(zeros) + writer.flush()
    return (
        bz2.compress(zeros)
        if name == "bz2"
        else lzma.compress(zeros, lzma.FORMAT_RAW, filters=compressors._lzma2(4096))
    )


@pytest.mark.parametrize("name", OF_BYTES)
def test_a_decompression_bomb_takes_no_more_memory_than_the_cut(name):
    data = bomb(name, 30_000_000)
    assert len(data) < 30_000
    tracemalloc.start()
    with pytest.raises(BitstreamError):
        compressors.compressor(name).decompress(data, 5000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000


@pytest.mark.parametrize("name", OF_BYTES)
def test_a_compressor_takes_its_own_streams_only(name):
    coder = compressors.compressor(name)
    for data in (b"", b"a", bytes(5000), np.random.default_rng(0).bytes(3000)):
        stream = coder.compress(data)
        assert coder.decompress(stream, len(data)) == data
        for damaged, size in ((stream[:-1], len(data)), (stream + b"x", len(data)), (stream, len(data) + 1)):
            with pytest.raises(BitstreamError, match="damaged bitstream"):
                coder.decompress(damaged, size)

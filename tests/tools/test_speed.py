"""The benchmark measures every codec against zlib in one run, and coders of real cuts against quantize-entropy."""

import pytest
import torch
from torch import nn

from splitbench.bench.tools.speed import codecs, real_cuts
from splitbench.methods.base import Context, TensorSpec


def test_every_coder_is_measured_beside_zlib():
    measured = {measurement.name: measurement for measurement in codecs.measure_codecs(12_000, 1)}
    coders = {name.removesuffix(": bytes against zlib's") for name in measured if name.endswith("bytes against zlib's")}
    assert {
        "quantize-rle rice",
        "quantize-rle huffman",
        "quantize-lossless zlib",
        "quantize-lossless zstd",
        "quantize-lossless xz",
        "quantize-lossless bz2",
        "quantize-lossless png",
        "quantize-lossless webp",
        "quantize-lossless jpeg-xl",
        "quantize-context tables",
        "quantize-context mixing",
        "feature-image jpeg",
        "feature-image webp",
        "feature-image avif",
        "feature-image jpeg-xl",
    } <= coders
    assert measured["quantize-lossless zlib: bytes against zlib's"].values == [1]
    assert len(measured) == 5 * len(coders)
    assert all(value > 0 for measurement in measured.values() for value in measurement.values)


def test_real_cuts_has_real_bytes_beside_ideal_ones_and_times_beside_quantize_entropys():
    cuts = [(codecs._maps(seed, 8),) for seed in (0, 1)]
    specs = (TensorSpec(tuple(cuts[0][0].shape[1:]), torch.float32),)
    context = Context(nn.Identity(), nn.Identity(), specs, calibration=lambda: cuts)
    rows = [line.split(" | ") for line in real_cuts._lines(cuts, 3, context)]
    assert [row[0] for row in rows] == list(real_cuts._CODERS)
    modelled = {row[0]: (float(row[1]), float(row[2])) for row in rows if row[2]}
    assert set(modelled) == {"quantize-context", "quantize-context, mixing"}
    for real, ideal in modelled.values():
        assert real == pytest.approx(ideal, rel=0.02)
    baseline = next(row for row in rows if row[0] == "quantize-entropy")
    assert baseline[4:] == ["1.00", "1.00"]
    assert rows[0][3] == "+0 %"


def test_real_cuts_refuses_coders_that_do_not_decode_to_the_same():
    cut = (codecs._maps(0, 2),)
    specs = (TensorSpec(tuple(cut[0].shape[1:]), torch.float32),)
    context = Context(nn.Identity(), nn.Identity(), specs, calibration=lambda: [cut])
    fine, coarse = (real_cuts._codec("quantize-rle", {}, bits, context) for bits in (4, 2))
    with pytest.raises(RuntimeError, match="different cuts"):
        real_cuts._size(fine, coarse, [cut], specs)

"""The benchmark measures every codec against zlib in one run."""

from splitbench.bench.tools.speed import codecs


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

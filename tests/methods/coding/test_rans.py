"""The decoder of CompressAI's rANS streams: the same values as its own for whole streams, a refusal for all others."""

import numpy as np
import pytest

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.image.rans import PRECISION, Cdfs, RansDecoder

ans = pytest.importorskip("compressai.ans", reason="CompressAI is not installed here")


def tables(seed=0, count=5):
    rng = np.random.default_rng(seed)
    rows = np.zeros((count, 12), np.int32)
    lengths = rng.integers(3, 13, count).astype(np.int32)
    for row, length in zip(rows, lengths, strict=True):
        row[1 : length - 1] = np.sort(rng.choice(np.arange(1, 1 << PRECISION), length - 2, replace=False))
        row[length - 1] = 1 << PRECISION
    return Cdfs(rows, lengths, rng.integers(-6, 3, count).astype(np.int32))


def coded(cdfs, count=400, seed=1):
    rng = np.random.default_rng(seed)
    indexes = rng.integers(0, len(cdfs.lengths), count).astype(np.int32)
    values = rng.integers(-9, 12, count).astype(np.int32)
    values[:5] = 2**26, -(2**26), 70_000, -70_000, 0  # beyond every table
    lists = cdfs.frequencies.tolist(), cdfs.lengths.tolist(), cdfs.offsets.tolist()
    return ans.RansEncoder().encode_with_indexes(values.tolist(), indexes.tolist(), *lists), indexes, values


@pytest.mark.parametrize("seed", range(20))
def test_values_are_compressais(seed):
    cdfs = tables(seed)
    data, indexes, values = coded(cdfs, seed=seed)
    reader = RansDecoder(data)
    found = np.concatenate([reader.values(indexes[:100], cdfs), reader.values(indexes[100:], cdfs)])
    reader.end()
    assert (found == values).all()
    lists = cdfs.frequencies.tolist(), cdfs.lengths.tolist(), cdfs.offsets.tolist()
    assert ans.RansDecoder().decode_with_indexes(data, indexes.tolist(), *lists) == values.tolist()


def test_a_stream_that_ends_early_is_refused_wherever_it_ends():
    cdfs = tables()
    data, indexes, _ = coded(cdfs)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            RansDecoder(data[:length]).values(indexes, cdfs)


def test_a_stream_that_goes_on_is_refused():
    cdfs = tables()
    data, indexes, _ = coded(cdfs)
    reader = RansDecoder(data + bytes(4))
    reader.values(indexes, cdfs)
    with pytest.raises(BitstreamError, match="does not end where its values do"):
        reader.end()


def test_random_bytes_are_refused():
    cdfs, rng = tables(), np.random.default_rng(2)
    for _ in range(300):
        data = rng.choice([rng.integers(0, 256, 2000), np.full(2000, 255), np.zeros(2000)]).astype(np.uint8).tobytes()
        with pytest.raises(BitstreamError):
            reader = RansDecoder(data[: 4 * int(rng.integers(0, 500))])
            reader.values(rng.integers(0, len(cdfs.lengths), 300).astype(np.int32), cdfs)
            reader.end()


@pytest.mark.parametrize(
    ("frequencies", "lengths"),
    [
        ([[0, 5, 65536]], [4]),
        ([[0, 5, 65535]], [3]),
        ([[1, 5, 65536]], [3]),
        ([[0, 5, 5, 65536]], [4]),
        ([[0, 65536]], [2]),
    ],
)
def test_tables_that_would_be_read_amiss_are_refused(frequencies, lengths):
    with pytest.raises(ValueError, match=r"does not rise from 0 to 2\*\*16"):
        Cdfs(np.array(frequencies, np.int32), np.array(lengths, np.int32), np.zeros(1, np.int32))

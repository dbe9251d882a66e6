"""Runs and literals by Huffman codes that are sent: exact for any symbols, fewer bytes than Rice codes where it can."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.entropy.huffman import code_lengths
from splitbench.methods.coding.runs import huffman_runs, zero_runs, zero_runs_decoder


def own(row):
    """The code by Huffman codes, whether or not another is shorter."""
    return huffman_runs._encode(np.asarray(row, np.uint8))


def sparse(rng, count, share, highest, slope=0.5):
    literals = np.minimum(rng.geometric(slope, count), highest)
    return np.where(rng.random(count) < share, 0, literals).astype(np.uint8)


@given(
    st.integers(1, 8).flatmap(
        lambda bits: st.tuples(st.just(bits), st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=200))
    )
)
def test_any_symbols_come_back(given_symbols):
    bits, row = given_symbols
    code, side = own(row)
    symbols, used = huffman_runs.decode(memoryview(code + b"rest"), len(row), bits)
    assert symbols.tolist() == row
    assert used == len(code) and 0 < side < len(code) + 1


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 0.99999, 1.0])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_long_rows_come_back(share, bits):
    row = sparse(np.random.default_rng(0), 300_000, share, 2**bits - 1, 0.03)
    code, _ = own(row)
    symbols, used = huffman_runs.decode(memoryview(code), len(row), bits)
    assert np.array_equal(symbols, row) and used == len(code)


def test_a_code_by_the_book():
    """Tokens 0 (run 0, literal 1) twice, 1 (run 0, larger) and 4 (run 2) once: codes 0, 10, 11; one larger, 3."""
    code, side = own([1, 3, 1, 0, 0])
    assert code == bytes([3, 5, 2, 0x12, 0x00, 0x20, 0x00, 0b01001100])
    assert side == 6


def test_codes_are_limited_to_twelve_bits():
    """Fibonacci numbers as frequencies make the longest codes that there are."""
    counts = [1, 1]
    while len(counts) < 18:
        counts.append(counts[-1] + counts[-2])
    row = np.repeat(np.arange(1, 19, dtype=np.uint8), counts)
    code, _ = own(row)
    assert np.array_equal(huffman_runs.decode(memoryview(code), len(row), 8)[0], row)
    assert (code[1], code[2]) == (2, 17)
    assert max(max(byte >> 4, byte & 15) for byte in code[3:13]) <= 12 < max(code_lengths(counts[1:]))


def test_fewer_bytes_than_rice_codes_and_never_more():
    rng = np.random.default_rng(1)
    rows = np.stack([sparse(rng, 50_000, share, 7, 0.8) for share in (0.5, 0.8, 0.95)])
    for row, (code, side), rice in zip(
        rows, huffman_runs.encode_rows(rows, 3), zero_runs.encode_rows(rows, 3), strict=True
    ):
        assert code[0] == huffman_runs.HUFFMAN and side < 50
        assert len(code) < 0.98 * len(rice)
        assert np.array_equal(huffman_runs.decode(memoryview(code), len(row), 3)[0], row)
    few = rng.integers(0, 8, (5, 12)).astype(np.uint8)
    assert [code for code, _ in huffman_runs.encode_rows(few, 3)] == zero_runs.encode_rows(few, 3)


def test_what_no_encoder_writes_is_refused():
    code, side = own(sparse(np.random.default_rng(2), 500, 0.7, 7))
    start = 1 + side
    changes = {
        "tables": [bytes([3]), bytes([3, 0, 0, 0]), bytes([3, 255, 1]) + code[3:], bytes([3, code[1], 7]) + code[3:]],
        "codes are none": [code[:3] + bytes([code[3] ^ 0x10]) + code[4:]],
        "expected number": [code[:-1], code[:start], code[:-1] + bytes([code[-1] | 1])],
    }
    for message, damaged in changes.items():
        for data in damaged:
            with pytest.raises(BitstreamError, match=message):
                huffman_runs.decode(memoryview(data), 500, 3)
    with pytest.raises(BitstreamError, match="damaged"):
        huffman_runs.decode(memoryview(code), 500, 2)


def test_a_rice_decoder_does_not_take_them():
    code, _ = own([1, 0, 0, 2])
    with pytest.raises(BitstreamError, match="no valid header"):
        zero_runs_decoder.decode(memoryview(code), 4, 3)

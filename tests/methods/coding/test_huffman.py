"""Huffman coding: exact for any symbols, optimal code lengths, strict about its end."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbench.methods.base import BitstreamError, MethodError
from splitbench.methods.coding.entropy.huffman import HuffmanCoder, code_lengths
from splitbench.methods.coding.entropy.probability_tables import TOTAL, Tables
from tests.helpers.coder_samples import assert_damage_is_refused_or_decodes, cuts, split


def of_frequencies(*frequencies, lowest=0):
    return Tables(
        np.array(frequencies, np.uint16), np.array([len(frequencies)], np.uint16), np.array([lowest], np.int32)
    )


@given(cuts(groups=1))
@settings(max_examples=100, deadline=None)
def test_decodes_to_what_was_encoded(cut):
    parts, symbols, shapes = split(cut)
    coder = HuffmanCoder(parts)
    data = coder.encode(symbols)
    assert len(data) == np.ceil(coder.bits(symbols) / 8)
    decoded = HuffmanCoder(parts).decode(memoryview(data), shapes)
    assert all(x.dtype == np.int32 for x in decoded)
    assert all(np.array_equal(x, y) for x, y in zip(symbols, decoded, strict=True))


def test_bytes_of_a_hand_computed_example():
    # Frequencies 1/2, 1/4, 1/8 and 1/8 for the escape: codes 0, 10, 110, 111.
    part = of_frequencies(TOTAL // 2, TOTAL // 4, TOTAL // 8, lowest=-1)
    symbols = np.array([[-1, 0, 1, -1], [4, -3, -1, -1]], np.int32)
    # 0 10 110 0 | 111 111 0 0, then distances 2 * 2 and 2 * 1 + 1 as Exp-Golomb codes: 00101, 00100.
    bits = "0101100" + "11111100" + "00101" + "00100"
    assert HuffmanCoder([part]).encode([symbols]) == int(bits.ljust(32, "0"), 2).to_bytes(4, "big")


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=6))
def test_code_lengths_are_the_best_of_all_prefix_codes(frequencies):
    lengths = code_lengths(frequencies)
    assert sum(2.0**-length for length in lengths) == 1
    possible = itertools.product(range(1, len(frequencies)), repeat=len(frequencies))
    best = min(
        sum(f * n for f, n in zip(frequencies, candidate, strict=True))
        for candidate in possible
        if sum(2.0**-n for n in candidate) <= 1
    )
    assert sum(f * n for f, n in zip(frequencies, lengths, strict=True)) == best


def test_the_longest_code_possible():
    fibonacci = [1, 1]
    while sum(fibonacci) + fibonacci[-1] + fibonacci[-2] < TOTAL:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    part = of_frequencies(*fibonacci)  # the escape takes the rest
    symbols = np.arange(-2, len(fibonacci) + 2, dtype=np.int32)[None]
    coder = HuffmanCoder([part])
    assert np.array_equal(coder.decode(coder.encode([symbols]), [(1, symbols.size)])[0], symbols)


@given(cuts(groups=1), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_are_refused_or_give_symbols(cut, rng):
    assert_damage_is_refused_or_decodes(HuffmanCoder(split(cut)[0]), cut, rng)


@given(cuts(groups=1))
@settings(max_examples=50, deadline=None)
def test_any_missing_or_further_byte_is_noticed(cut):
    parts, symbols, shapes = split(cut)
    coder = HuffmanCoder(parts)
    data = coder.encode(symbols)
    for damaged in ([data[:-1]] if data else []) + [data + b"\0", data + b"\1"]:
        with pytest.raises(BitstreamError):
            coder.decode(damaged, shapes)


def test_one_table_for_all_channels():
    with pytest.raises(MethodError, match="one table"):
        HuffmanCoder([Tables.from_pmf(np.ones((2, 3)), 0, 0.0)])

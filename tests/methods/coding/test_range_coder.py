"""Range coding: exact for any symbols and tables, as short as the tables allow, the same on every machine."""

import hashlib
import random
import subprocess
import sys

import constriction
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from splitbench.methods.base import BitstreamError, MethodError
from splitbench.methods.coding.entropy.counts import Counts, cheapest
from splitbench.methods.coding.entropy.probability_tables import TOTAL, Tables
from splitbench.methods.coding.entropy.range_coder import BITS_MODEL, RangeCoder, _model
from splitbench.methods.coding.entropy.range_decoder import Ladder, RangeDecoder
from tests.helpers.coder_samples import assert_damage_is_refused_or_decodes, cuts, split, tables


def laplacian(scales, length=25):
    x = np.arange(length) - length // 2
    return np.exp(-np.abs(x) / np.asarray(scales)[:, None])


def drawn(part, count, seed=0):
    """Symbols (G, count) that follow the tables, without escapes."""
    rng = np.random.default_rng(seed)
    rows = []
    for frequencies, low in zip(part.with_escapes(), part.lowest, strict=True):
        p = frequencies[:-1] / frequencies[:-1].sum()
        rows.append(low + rng.choice(len(p), count, p=p))
    return np.array(rows, np.int32)


@given(cuts())
@settings(max_examples=100, deadline=None)
def test_decodes_to_what_was_encoded(cut):
    parts, symbols, shapes = split(cut)
    data = RangeCoder(parts).encode(symbols)
    decoded = RangeCoder(parts).decode(memoryview(data), shapes)
    assert all(x.dtype == np.int32 for x in decoded)
    assert all(np.array_equal(x, y) for x, y in zip(symbols, decoded, strict=True))


@given(cuts())
@settings(max_examples=50, deadline=None)
def test_words_behind_the_last_symbol_are_refused(cut):
    parts, symbols, shapes = split(cut)
    coder = RangeCoder(parts)
    data = coder.encode(symbols)
    with pytest.raises(BitstreamError, match="goes on behind its last symbol"):
        coder.decode(data.ljust(65536, b"\0") + b"\1", shapes)


@given(cuts())
@settings(max_examples=100, deadline=None)
def test_costs_what_the_tables_say(cut):
    parts, symbols, _ = split(cut)
    coder = RangeCoder(parts)
    assert len(coder.encode(symbols)) <= 1.001 * coder.bits(symbols) / 8 + 2


@pytest.mark.parametrize("seed", range(5))
def test_costs_no_less_than_the_information(seed):
    part = Tables.from_pmf(laplacian(np.linspace(0.2, 3, 16)), -12, 1e-6)
    symbols = drawn(part, 500, seed)
    coder = RangeCoder([part])
    assert abs(len(coder.encode([symbols])) - coder.bits([symbols]) / 8) < 4


def test_bits_of_a_hand_computed_example():
    part = Tables(np.array([2**15, 2**14, 1], np.uint16), np.array([3], np.uint16), np.array([-1], np.int32))
    coder = RangeCoder([part])
    assert coder.bits([np.array([[-1, 0, 1]], np.int32)]) == 1 + 2 + 16
    # An escape (2**16 - 2**15 - 2**14 - 1 of 2**16), distance 0, k = 0, which has 1 of 2 and what all k leave, 1 of 35.
    escape = 16 - np.log2(2**14 - 1)
    assert coder.bits([np.array([[2]], np.int32)]) == pytest.approx(escape - np.log2(1 / 2 + 1 / 35), abs=1e-4)
    # Distance 5, k = 2 (1 of 12), 2 bits: the third symbol below.
    assert coder.bits([np.array([[-4]], np.int32)]) == pytest.approx(escape + np.log2(12) + 2, abs=1e-4)


def test_nothing_costs_nothing():
    part = Tables.from_pmf(laplacian([1.0]), -12, 1e-6)
    assert RangeCoder([part]).encode([np.zeros((1, 0), np.int32)]) == b""
    assert RangeCoder([]).encode([]) == b""
    certain = Tables.from_pmf(np.ones((1, 1)), 0, 0.0)
    assert RangeCoder([certain]).encode([np.zeros((1, 1000), np.int32)]) == b""


@given(tables())
@settings(deadline=None)
def test_constriction_codes_with_exactly_the_integer_frequencies(part):
    """One symbol coded alone leaves an interval of its share of 2**64: no rounding, so nothing to differ elsewhere."""
    scale = (2**64 - 1) >> 24
    for frequencies, model in zip(part.with_escapes(), RangeCoder([part])._models[0], strict=True):
        below = np.cumsum(frequencies) - frequencies
        for index in {0, len(frequencies) // 2, len(frequencies) - 1}:
            encoder = constriction.stream.queue.RangeEncoder()
            encoder.encode(index, model)
            words, (low, size) = encoder.pos()
            expected = scale * int(below[index]) << 8, scale * int(frequencies[index]) << 8
            assert (low, size) == tuple((value << 32 * words) % 2**64 for value in expected)


def test_bytes_stay_the_same():
    """Bytes of stored tables must be readable by later versions, and on other machines."""
    frequencies = np.array([100, 60000, 200, 5000, 5000, 30000], np.uint16)
    part = Tables(frequencies, np.array([3, 3], np.uint16), np.array([-1, 7], np.int32))
    rows = np.arange(200, dtype=np.int32).reshape(2, 100)
    symbols = np.stack([rows[0] % 7 // 6, 7 + rows[1] % 5])
    data = RangeCoder([part]).encode([symbols.astype(np.int32)])
    assert hashlib.sha256(data).hexdigest()[:16] == "63603765d05acb09"


@given(cuts(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_are_refused_or_give_symbols(cut, rng):
    assert_damage_is_refused_or_decodes(RangeCoder(split(cut)[0]), cut, rng)


def test_missing_bytes_change_only_what_comes_last():
    part = Tables.from_pmf(laplacian([2.0] * 8), -12, 1e-6)
    symbols = drawn(part, 200)
    data = RangeCoder([part]).encode([symbols])
    shorter = data[: len(data) // 2].rstrip(b"\0")
    (decoded,) = RangeCoder([part]).decode(shorter, [symbols.shape])
    assert np.array_equal(decoded[:3], symbols[:3])
    assert not np.array_equal(decoded, symbols)
    with pytest.raises(BitstreamError, match="zero byte"):
        RangeCoder([part]).decode(data + b"\0", [symbols.shape])


def test_random_bytes_are_sometimes_recognized():
    part = Tables.from_pmf(laplacian([2.0] * 8), -12, 0.5)
    rng = random.Random(0)
    outcomes = set()
    for _ in range(400):
        try:
            RangeCoder([part]).decode(rng.randbytes(4000), [(8, 200)])
            outcomes.add("symbols")
        except BitstreamError as error:
            outcomes.add(str(error))
    assert "damaged bitstream: an escaped symbol is out of range" in outcomes


def test_symbols_of_other_groups_are_refused():
    coder = RangeCoder([Tables.from_pmf(laplacian([1.0, 2.0]), -12, 1e-6)])
    with pytest.raises(MethodError, match="2 groups"):
        coder.encode([np.zeros((3, 4), np.int32)])
    with pytest.raises(MethodError, match="2 groups"):
        coder.decode(b"", [(3, 4)])


@given(cuts())
@settings(deadline=None)
def test_tables_survive_storing(cut):
    for part, _ in cut:
        again = Tables.from_tensors(part.to_tensors())
        for name in ("frequencies", "lengths", "lowest"):
            assert np.array_equal(getattr(part, name), getattr(again, name))
            assert getattr(part, name).dtype == getattr(again, name).dtype


def test_a_fresh_process_decodes_from_files(tmp_path):
    part = Tables.from_pmf(laplacian([0.3, 1.0, 3.0]), -12, 1e-3)
    symbols = drawn(part, 100)
    symbols[1, 5] = 1000
    save_file(part.to_tensors(), tmp_path / "tables.safetensors")
    (tmp_path / "data").write_bytes(RangeCoder([part]).encode([symbols]))
    script = (
        "import sys, numpy as np\n"
        "from safetensors.torch import load_file\n"
        "from splitbench.methods.coding.entropy.range_coder import RangeCoder\n"
        "from splitbench.methods.coding.entropy.probability_tables import Tables\n"
        "tables = Tables.from_tensors(load_file(sys.argv[1]))\n"
        "(symbols,) = RangeCoder([tables]).decode(open(sys.argv[2], 'rb').read(), [(3, 100)])\n"
        "np.save(sys.argv[3], symbols)\n"
    )
    names = [str(tmp_path / name) for name in ("tables.safetensors", "data", "symbols.npy")]
    subprocess.run([sys.executable, "-c", script, *names], check=True)  # noqa: S603
    assert np.array_equal(np.load(tmp_path / "symbols.npy"), symbols)
    assert load_file(tmp_path / "tables.safetensors")["frequencies"].dtype == torch.uint16


@pytest.mark.parametrize(
    ("frequencies", "lengths", "lowest"),
    [
        ([0, 5], [2], [0]),
        ([60000, 6000], [2], [0]),
        ([5, 5], [3], [0]),
        ([5, 5], [2], [0, 0]),
        ([5, 5], [1, 1], [0, 0, 0]),
        ([5, 5], [0, 2], [0, 0]),
        ([5, 5], [2], [2**31 - 1]),
        ([], [], []),
    ],
)
def test_damaged_tables_are_refused(frequencies, lengths, lowest):
    with pytest.raises(MethodError, match="invalid probability tables"):
        Tables(np.array(frequencies, np.uint16), np.array(lengths, np.uint16), np.array(lowest, np.int32))


def test_frequencies_follow_the_probabilities():
    pmf = laplacian([0.2, 1.0, 3.0])
    part = Tables.from_pmf(pmf, -12, 0.0)
    for p, frequencies, low in zip(pmf, part.with_escapes(), part.lowest, strict=True):
        expected = p[low + 12 : low + 12 + len(frequencies) - 1] / p.sum()
        assert frequencies.sum() == TOTAL
        assert np.abs(frequencies[:-1] / TOTAL - expected).max() < 1e-3
        entropy = -(p / p.sum() * np.log2(p / p.sum())).sum()
        cost = -(expected * np.log2(frequencies[:-1] / TOTAL)).sum()
        assert cost < entropy + 1e-3


def test_a_lonely_outlier_does_not_widen_the_support():
    counts = Counts(1, -(2**15), 2**15 - 2)
    counts.add(torch.cat([torch.zeros(1, 5000, dtype=torch.int32), torch.full((1, 1), 30000)], 1))
    part = counts.tables()
    assert part.lengths.tolist() == [1]
    assert RangeCoder([part]).bits([np.zeros((1, 1000), np.int32)]) < 1


@pytest.mark.parametrize("pmf", [np.zeros((1, 3)), -np.ones((1, 3)), np.full((1, 3), np.nan), np.full((1, 3), np.inf)])
def test_what_is_no_probability_is_refused(pmf):
    with pytest.raises(MethodError, match="invalid probability mass function"):
        Tables.from_pmf(pmf, 0, 0.0)


@pytest.mark.parametrize(("length", "lowest"), [(0, 0), (TOTAL, 0), (3, 2**31 - 2), (3, -(2**31) - 1)])
def test_supports_out_of_bounds_are_refused(length, lowest):
    with pytest.raises(MethodError, match="a support"):
        Tables.from_pmf(np.ones((1, length)), lowest, 0.0)


def test_counted_tables_cost_about_the_entropy():
    true = Tables.from_pmf(laplacian(np.linspace(0.2, 3, 8)), -12, 1e-6)
    counts = Counts(8, -12, 12)
    for seed in range(4):
        counts.add(torch.from_numpy(drawn(true, 5000, seed)))
    test = [drawn(true, 5000, 100)]
    assert RangeCoder([counts.tables()]).bits(test) < 1.005 * RangeCoder([true]).bits(test)


def test_groups_seen_little_borrow_from_the_others():
    true = Tables.from_pmf(laplacian(np.full(64, 1.0)), -12, 1e-6)
    counts = Counts(64, -12, 12)
    counts.add(torch.from_numpy(drawn(true, 8)))
    test = [drawn(true, 1000, 1)]
    assert RangeCoder([counts.tables()]).bits(test) < 0.9 * RangeCoder([counts.tables(prior=0.0)]).bits(test)


def test_groups_that_differ_are_worth_tables_of_their_own():
    same, different = np.full((8, 1), 1.0), np.linspace(0.2, 3, 8)[:, None]
    for scales, expected in ((same, 0), (different, 1)):
        symbols = torch.from_numpy(drawn(Tables.from_pmf(laplacian(scales[:, 0]), -12, 1e-6), 2000))
        together, apart = Counts(1, -12, 12), Counts(8, -12, 12)
        together.add(symbols.reshape(1, -1))
        apart.add(symbols)
        assert cheapest([together, apart]) == expected


@given(st.data())
def test_the_decoder_reads_what_constriction_reads(data):
    """Whatever the bytes: constriction's own decoder is the reference, and both refuse the same."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    groups = []
    for _ in range(data.draw(st.integers(1, 4))):
        cuts = np.unique(rng.integers(1, 2 ** data.draw(st.sampled_from([8, 16, 24])), data.draw(st.integers(1, 300))))
        groups.append(np.diff([0, *cuts[cuts < 2**24], 2**24]))
    count = data.draw(st.integers(0, 50))
    words = rng.integers(0, 2**32, data.draw(st.integers(0, 60)), np.uint32)
    sizes = rng.integers(2, 2**16 + 1, data.draw(st.integers(0, 20)))  # constriction panics at 1, as no coder asks for
    if data.draw(st.booleans()):  # what an encoder writes
        encoder = constriction.stream.queue.RangeEncoder()
        for row in groups:
            encoder.encode(rng.integers(0, len(row), count).astype(np.int32), _model(row))
        encoder.encode((rng.random(len(sizes)) * sizes).astype(np.int32), BITS_MODEL, sizes.astype(np.int32))
        words = encoder.get_compressed()
    theirs, own = constriction.stream.queue.RangeDecoder(words), RangeDecoder(words)
    ladder = Ladder(groups)
    try:
        expected = [theirs.decode(_model(row), count) for row in groups]
        numbers = theirs.decode(BITS_MODEL, sizes.astype(np.int32)) if len(sizes) > 0 else []
    except AssertionError:
        with pytest.raises(ValueError, match="between symbols"):
            own.symbols(ladder, len(groups), count)
            own.uniform(sizes)
        return
    assert np.array_equal(own.symbols(ladder, len(groups), count), np.array(expected).reshape(len(groups), count))
    assert own.uniform(sizes).tolist() == list(numbers)

"""The zero-run coder alone: exact, no longer than its parts, and unmoved by damaged input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.runs import zero_runs, zero_runs_decoder, zero_runs_tensor


def encode(values, bits, rice=True):
    (data,) = zero_runs.encode_rows(values[None], bits, rice)
    return data


@st.composite
def symbols(draw):
    """Symbols of any sparsity, with runs short and long."""
    bits = draw(st.integers(1, 8))
    count = draw(st.integers(0, 3000))
    zeros = draw(st.sampled_from([0.0, 0.3, 0.9, 0.99, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    skew = draw(st.sampled_from([1.0, 4.0]))
    values = 1 + ((2**bits - 1) * rng.random(count) ** skew).astype(np.uint8)
    values = np.minimum(values, 2**bits - 1).astype(np.uint8)
    values[rng.random(count) < zeros] = 0
    return values, bits


@given(symbols(), st.booleans())
def test_decodes_to_what_was_encoded(case, rice):
    values, bits = case
    data = encode(values, bits, rice)
    decoded, used = zero_runs_decoder.decode(memoryview(data + b"tail"), len(values), bits)
    assert used == len(data)
    assert np.array_equal(decoded, values)


@given(symbols(), st.booleans())
def test_is_never_longer_than_packing_every_symbol(case, rice):
    values, bits = case
    assert len(encode(values, bits, rice)) <= 1 + (len(values) * bits + 7) // 8


@given(symbols())
def test_rice_literals_never_cost_bytes(case):
    values, bits = case
    assert len(encode(values, bits, True)) <= len(encode(values, bits, False))


@given(symbols(), st.randoms(use_true_random=False))
def test_damaged_bytes_are_refused_or_give_symbols_in_range(case, random):
    values, bits = case
    data = bytearray(encode(values, bits))
    for _ in range(random.randint(1, 3)):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    del data[random.randint(0, len(data)) :]
    try:
        decoded, used = zero_runs_decoder.decode(memoryview(bytes(data)), len(values), bits)
    except BitstreamError:
        return
    assert len(decoded) == len(values)
    assert used <= len(data)
    assert len(decoded) == 0 or decoded.max() < 2**bits


@given(symbols())
def test_any_missing_byte_is_noticed(case):
    values, bits = case
    data = encode(values, bits)
    if len(data) > 1:
        with pytest.raises(BitstreamError):
            zero_runs_decoder.decode(memoryview(data[:-1]), len(values), bits)


@pytest.mark.parametrize(
    ("literals", "expected"),
    [
        # Runs 2, 0, 12 with Rice parameter 2: 0|10, 0|00, 1110|00. Literals 1 and 3 in 2 bits: 00, 10.
        ((1, 3), [zero_runs.FIXED, 2, 0b01000000, 0b10111000]),
        # The same runs; literals 1 and 1 as Rice codes of 0 with parameter 0: 0, 0; two bits fill the last byte.
        ((1, 1), [zero_runs.RICE, 2, 0b01000000, 0b11100000]),
    ],
)
def test_bytes_of_hand_computed_examples(literals, expected):
    values = np.array([0, 0, *literals, *[0] * 12], np.uint8)
    assert list(encode(values, 2)) == expected


def test_a_long_run_stays_short():
    values = np.zeros(1_000_000, np.uint8)
    values[500_000:500_040] = 1
    assert len(encode(values, 4)) < 40


def written(values, bits, mode, run_k, literal_k):
    """The format as its description says it, bit by bit."""

    def rice(value, k):
        if value >> k >= 20:
            return "1" * 20 + f"{value:032b}"
        return "1" * (value >> k) + "0" + (f"{value:b}".zfill(k)[-k:] if k else "")

    text, run = "", 0
    for value in map(int, values):
        if mode == zero_runs.PLAIN:
            text += f"{value:0{bits}b}"
        elif value == 0:
            run += 1
        else:
            fixed = f"{value - 1:0{bits}b}" if bits > 1 else ""
            text += rice(run, run_k) + (rice(value - 1, literal_k) if mode == zero_runs.RICE else fixed)
            run = 0
    text += rice(run, run_k) if run and mode != zero_runs.PLAIN else ""
    text += "0" * (-len(text) % 8)
    header = bytes([mode]) if mode == zero_runs.PLAIN else bytes([mode, run_k | literal_k << 4])
    return header + bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


@given(symbols(), st.booleans())
def test_the_bytes_are_those_of_the_format_and_the_fewest(case, rice):
    values, bits = case
    values = values[:400]
    data = encode(values, bits, rice)
    run_k, literal_k = (0, 0) if data[0] == zero_runs.PLAIN else (data[1] & 15, data[1] >> 4)
    assert data == written(values, bits, data[0], run_k, literal_k)
    modes = [zero_runs.PLAIN, zero_runs.FIXED] + ([zero_runs.RICE] if rice else [])
    others = (written(values, bits, mode, k, literal_k) for mode in modes for k in (0, 2, 5, run_k))
    assert all(len(data) <= len(other) for other in others)


@given(symbols(), st.integers(0, 5))
def test_rows_are_coded_as_they_are_alone(case, count):
    values, bits = case
    rows = np.stack([np.roll(values, i) for i in range(count)]) if count else values[None][:0]
    assert zero_runs.encode_rows(rows, bits) == [encode(row, bits) for row in rows]


@given(symbols(), st.integers(1, 3), st.booleans(), st.sampled_from([1, 100, 2**22]))
def test_tensor_operations_make_the_same_bytes(case, count, rice, together):
    values, bits = case
    rows = np.stack([np.roll(values, 7 * i) * (np.arange(len(values)) % (i + 1) == 0) for i in range(count)])
    rows[-1] = values if count < 3 else 0
    made = zero_runs_tensor.encode_rows(torch.from_numpy(rows), bits, rice, group_symbols=together)
    assert made == zero_runs.encode_rows(rows, bits, rice)


class _Largest(TorchDispatchMode):
    """The most elements that a tensor had which an operation made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        self.elements = max(self.elements, *made, 0)
        return out


def test_their_memory_does_not_grow_with_the_images():
    peaks = []
    for images in (3, 40):
        rows = torch.arange(100, dtype=torch.uint8).remainder(16).repeat(images, 1)
        with _Largest() as largest:
            zero_runs_tensor.encode_rows(rows, 4, group_symbols=300)
        peaks.append(largest.elements)
    assert peaks[1] == peaks[0] < 1000


def test_no_rows_are_no_bytes():
    assert zero_runs_tensor.encode_rows(torch.zeros(0, 5, dtype=torch.uint8), 4) == []
    assert zero_runs.encode_rows(np.zeros((0, 5), np.uint8), 4) == []

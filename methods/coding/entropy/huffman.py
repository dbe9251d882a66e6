"""Huffman coding of integer symbols with one static table per tensor, canonical codes.

The table is a ``Tables`` of one group, for all channels together; the escape is one more symbol of it. A cut's tensors
follow one another bit by bit, for each its symbols' codes and then the distances of its escapes as Exp-Golomb codes: as
many zeros as d + 1 has bits less one, then d + 1. The last byte is filled with zeros.

Frequencies are at least 1 of 2**16, so no code is longer than 23 bits (a code of n bits needs a Fibonacci number's
worth of the total, F(n + 2)).
"""

import heapq
from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.base import BitstreamError, MethodError
from splitbench.methods.coding.entropy.bits import fill, put, take
from splitbench.methods.coding.entropy.probability_tables import Symbols, Tables

_LONGEST = 23
_LOOKED_UP = 11  # bits whose meaning is tabled; longer codes are searched by length
_LONGEST_ZEROS = 33  # of an Exp-Golomb code: a distance is below 2**33


def code_lengths(frequencies: Sequence[int]) -> list[int]:
    """Return the lengths of an optimal prefix code (Huffman, 1952) for two or more symbols, ties broken by index."""
    # A tree is (frequency, rank, symbols in it); joining two makes all of them one bit longer.
    trees = [(frequency, index, [index]) for index, frequency in enumerate(frequencies)]
    heapq.heapify(trees)
    lengths = [0] * len(trees)
    for rank in range(len(trees), 2 * len(trees) - 1):
        (a, _, left), (b, _, right) = heapq.heappop(trees), heapq.heappop(trees)
        joined = left + right
        for index in joined:
            lengths[index] += 1
        heapq.heappush(trees, (a + b, rank, joined))
    return lengths


class _Code:
    """Canonical codes: shorter ones first, equally long ones in the order of their symbols, each the last plus one."""

    def __init__(self, tables: Tables) -> None:
        frequencies = tables.with_escapes()[0]
        self.lengths = np.array(code_lengths(frequencies.tolist()), np.int64)
        self.codes = np.zeros(len(self.lengths), np.uint64)
        self.order = np.argsort(self.lengths, kind="stable")
        # For each length, the first code behind the last of that length or less, filled up to _LONGEST bits, and
        # what to add to a code of that length for its place in ``order``.
        self.ends = np.zeros(_LONGEST + 1, np.int64)
        self.offsets = np.zeros(_LONGEST + 1, np.int64)
        self.looked_up = np.full(2**_LOOKED_UP, -1, np.int64)
        code = place = 0
        for length in range(1, _LONGEST + 1):
            code <<= 1
            members = self.order[place : place + int((self.lengths == length).sum())]
            self.codes[members] = code + np.arange(len(members))
            self.offsets[length] = place - code
            if length <= _LOOKED_UP:
                width = 2 ** (_LOOKED_UP - length)
                self.looked_up[code * width : (code + len(members)) * width] = np.repeat(members << 8 | length, width)
            code, place = code + len(members), place + len(members)
            self.ends[length] = code << (_LONGEST - length)


class HuffmanCoder:
    """Codes the tensors of a cut in one go; the same verbs as ``RangeCoder``, with tables of one group each.

    Raises:
        MethodError: Tables of several groups.
    """

    def __init__(self, tables: Sequence[Tables]) -> None:
        self.tables = tuple(tables)
        several = [part.groups for part in self.tables if part.groups != 1]
        if several:
            raise MethodError(f"Huffman coding takes one table for all channels, not {several[0]}")

    @cached_property
    def _codes(self) -> list[_Code]:
        return [_Code(part) for part in self.tables]

    def encode(self, symbols: Sequence[Symbols]) -> bytes:
        """Code one image's symbols, (any, N) int32 for each tensor in order. Raises MethodError for other shapes."""
        coded = [part.indices(x) for part, x in zip(self.tables, symbols, strict=True)]
        total = self._bits(coded)
        words = np.zeros(total // 32 + 2, np.uint32)
        state = np.zeros(3, np.uint64)
        for (indices, distances), code in zip(coded, self._codes, strict=True):
            _write(indices.ravel(), code.codes, code.lengths, distances, state, words)
        words[int(state[2])] = (int(state[0]) << (32 - int(state[1]))) & (2**32 - 1)
        return words.astype(">u4").tobytes()[: (total + 7) // 8]

    def decode(self, data: bytes | memoryview, shapes: Sequence[tuple[int, int]]) -> list[Symbols]:
        """Return all symbols of one image, of the given shapes; ``data`` is all that :meth:`encode` returned.

        Raises:
            BitstreamError: the bytes end too early or too late, or encode what no encoder writes.
        """
        payload = np.frombuffer(data, np.uint8)
        state = np.zeros(3, np.uint64)
        symbols = []
        for part, code, shape in zip(self.tables, self._codes, shapes, strict=True):
            part.check(shape)
            indices = np.empty(shape[0] * shape[1], np.int32)
            _read(payload, indices, code.looked_up, code.ends, code.offsets, code.order, state)
            symbols.append(part.symbols(indices.reshape(shape), partial(_distances, payload, state)))
        waiting, count, at = (int(value) for value in state)
        used = at - count // 8
        if used != len(payload) or waiting & ((1 << count % 8) - 1) << (count - count % 8):
            raise BitstreamError("damaged bitstream: its Huffman code does not end where the bytes do")
        return symbols

    def bits(self, symbols: Sequence[Symbols]) -> float:
        """Return what these symbols take, in bits."""
        return float(self._bits([part.indices(x) for part, x in zip(self.tables, symbols, strict=True)]))

    def _bits(self, coded: "Sequence[tuple[Symbols, npt.NDArray[np.int64]]]") -> int:
        total = 0
        for (indices, distances), code in zip(coded, self._codes, strict=True):
            zeros = np.frexp((distances + 1).astype(np.float64))[1].astype(np.int64) - 1
            total += int(code.lengths[indices].sum()) + int((2 * zeros + 1).sum())
        return total


def _distances(payload: npt.NDArray[np.uint8], state: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.int64]:
    decoded = np.empty(count, np.int64)
    if not _read_distances(payload, decoded, state):
        raise BitstreamError("damaged bitstream: an escaped symbol is out of range")
    return decoded


@njit(nogil=True, cache=True)
def _write(indices, codes, lengths, distances, state, words):  # type: ignore[no-untyped-def]
    """Append codes and distances; ``state`` carries waiting bits, their count and the place in ``words``."""
    waiting, count, at = state
    for index in indices:
        waiting, count, at = put(words, waiting, count, at, codes[index], np.uint64(lengths[index]))
    for distance in distances:
        number = np.uint64(distance + 1)
        zeros = np.uint64(0)
        while number >> zeros > np.uint64(1):
            zeros += np.uint64(1)
        low = number & np.uint64(0xFFFF)
        waiting, count, at = put(words, waiting, count, at, np.uint64(0), min(zeros, np.uint64(32)))
        waiting, count, at = put(words, waiting, count, at, np.uint64(0), zeros - min(zeros, np.uint64(32)))
        if zeros >= np.uint64(16):
            waiting, count, at = put(words, waiting, count, at, number >> np.uint64(16), zeros - np.uint64(15))
            waiting, count, at = put(words, waiting, count, at, low, np.uint64(16))
        else:
            waiting, count, at = put(words, waiting, count, at, low, zeros + np.uint64(1))
    state[0], state[1], state[2] = waiting, count, at


@njit(nogil=True, cache=True)
def _read(data, indices, looked_up, ends, offsets, order, state):  # type: ignore[no-untyped-def]
    """Fill ``indices``; behind the end of ``data`` there are zeros, which the caller notices by the state's place."""
    waiting, count, at = state[0], state[1], np.int64(state[2])
    for place in range(len(indices)):
        if count < np.uint64(_LONGEST):
            waiting, count, at = fill(data, waiting, count, at)
        entry = looked_up[(waiting >> (count - np.uint64(_LOOKED_UP))) & np.uint64(2**_LOOKED_UP - 1)]
        if entry >= 0:
            indices[place] = entry >> 8
            count -= np.uint64(entry & 255)
            continue
        ahead, _ = take(waiting, count, _LONGEST)
        length = _LOOKED_UP + 1
        while ahead >= ends[length]:
            length += 1
        indices[place] = order[(ahead >> (_LONGEST - length)) + offsets[length]]
        count -= np.uint64(length)
    state[0], state[1], state[2] = waiting, count, np.uint64(at)


@njit(nogil=True, cache=True)
def _read_distances(data, distances, state):  # type: ignore[no-untyped-def]
    """Fill ``distances``; whether all were in range."""
    waiting, count, at = state[0], state[1], np.int64(state[2])
    for place in range(len(distances)):
        zeros = np.int64(0)
        bit = np.int64(0)
        while bit == 0:
            waiting, count, at = fill(data, waiting, count, at)
            bit, count = take(waiting, count, 1)
            zeros += 1 - bit
            if zeros > _LONGEST_ZEROS:
                return False
        number = np.int64(1)
        for _ in range(zeros):
            waiting, count, at = fill(data, waiting, count, at)
            bit, count = take(waiting, count, 1)
            number = number << 1 | bit
        distances[place] = number - 1
    state[0], state[1], state[2] = waiting, count, np.uint64(at)
    return True

"""The decoder of constriction's range coder for integer tables, in one compiled loop over all groups of a tensor.

It reads what ``constriction.stream.queue.RangeEncoder`` writes with models of 24 bits, word by word the same (Martin,
1979; Bamler, 2022): an interval ``[lower, lower + range)`` of 64 bits, narrowed to each symbol's share of it, and moved
on by a word of 32 bits whenever ``range`` falls below 2**32. Behind the last word there are zeros.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.coding.entropy.range_stream import check_end

PRECISION = 24
_COARSE = 8  # the first guess of a symbol follows from so many bits of its quantile


@njit(nogil=True, cache=True, inline="always")
def _quantile(state):  # type: ignore[no-untyped-def]
    return (state[2] - state[0]) // (state[1] >> np.uint64(PRECISION))


@njit(nogil=True, cache=True, inline="always")
def _narrow(state, words, left, share):  # type: ignore[no-untyped-def]
    """Take ``share`` of the interval from ``left`` on, both of 2**24."""
    scale = state[1] >> np.uint64(PRECISION)
    state[0] += scale * left
    state[1] = scale * share
    if state[1] < np.uint64(1 << 32):
        at = state[3]
        state[0] <<= np.uint64(32)
        state[1] <<= np.uint64(32)
        state[2] <<= np.uint64(32)
        if at < np.uint64(len(words)):
            state[2] |= np.uint64(words[at])
        state[3] = at + np.uint64(1)


@njit(nogil=True, cache=True)
def _read(state, words, ends, starts, guesses, symbols):  # type: ignore[no-untyped-def]
    """Fill ``symbols`` (G, N); False where the bytes point between symbols."""
    local = state.copy()
    for group in range(len(symbols)):
        first = starts[group]
        for i in range(symbols.shape[1]):
            quantile = _quantile(local)
            if quantile >= np.uint64(1 << PRECISION):
                return False
            at = first + guesses[group, quantile >> np.uint64(PRECISION - _COARSE)]
            while np.uint64(ends[at + 1]) <= quantile:
                at += 1
            left = np.uint64(ends[at])
            _narrow(local, words, left, np.uint64(ends[at + 1]) - left)
            symbols[group, i] = at - first
    state[:] = local
    return True


@njit(nogil=True, cache=True)
def _read_uniform(state, words, sizes, symbols):  # type: ignore[no-untyped-def]
    """Fill ``symbols`` with numbers below ``sizes``, all equally likely; False as above."""
    for i in range(len(sizes)):
        quantile = _quantile(state)
        if quantile >= np.uint64(1 << PRECISION):
            return False
        last = np.uint64(sizes[i]) - np.uint64(1)
        share = np.uint64(1 << PRECISION) // np.uint64(sizes[i])
        symbol = min(quantile // share, last)
        left = symbol * share
        _narrow(state, words, left, share if symbol < last else np.uint64(1 << PRECISION) - left)
        symbols[i] = symbol
    return True


class Ladder:
    """Frequencies of several groups, each adding up to 2**24, made ready to be looked up."""

    def __init__(self, groups: list[npt.NDArray[np.int64]]) -> None:
        ends = [np.concatenate([[0], np.cumsum(row)]) for row in groups]
        lengths = np.array([len(row) for row in ends])
        self.ends = np.concatenate(ends).astype(np.uint32)
        self.starts = (np.cumsum(lengths) - lengths).astype(np.int64)
        coarse = np.arange(1 << _COARSE) << (PRECISION - _COARSE)
        self.guesses = np.stack([np.searchsorted(row, coarse, side="right") - 1 for row in ends]).astype(np.int64)


class RangeDecoder:
    """Reads symbols from the beginning of some words on. Raises ValueError for bytes that no encoder writes."""

    def __init__(self, words: npt.NDArray[np.uint32]) -> None:
        self.words = words
        first, second = (int(words[i]) if i < len(words) else 0 for i in (0, 1))
        self.state = np.array([0, 2**64 - 1, first << 32 | second, 2], np.uint64)

    def symbols(self, ladder: Ladder, groups: int, count: int) -> npt.NDArray[np.int32]:
        """``count`` symbols of each group, (G, count)."""
        decoded = np.empty((groups, count), np.int32)
        self._check(_read(self.state, self.words, ladder.ends, ladder.starts, ladder.guesses, decoded))
        return decoded

    def uniform(self, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """One number below each size, of at least 2."""
        decoded = np.empty(len(sizes), np.int64)
        self._check(_read_uniform(self.state, self.words, sizes, decoded))
        return decoded

    def check_end(self) -> None:
        """Raise BitstreamError where words are left that no symbol was read from."""
        check_end(self.words, int(self.state[3]))

    @staticmethod
    def _check(good: Any) -> None:
        if not good:
            raise ValueError("the bytes point between symbols")

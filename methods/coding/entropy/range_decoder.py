"""The decoder of constriction's range coder for integer tables, in one compiled loop over all groups of a tensor.

It reads what ``constriction.stream.queue.RangeEncoder`` writes with models of 24 bits, word by word the same (Martin,
1979; Bamler, 2022). Interval and words are those of ``adaptive_range_coder.py``; shares are of 2**24.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.coding.entropy.adaptive_range_coder import LEAST, decoder, read
from splitbench.methods.coding.entropy.range_stream import check_end

PRECISION = 24


@njit(nogil=True, cache=True)
def _read(state, words, ends, starts, guesses, shift, symbols):  # type: ignore[no-untyped-def]
    """Fill ``symbols`` (G, N); False where the bytes point between symbols."""
    low, size, window, count = state[0], state[1], state[2], state[3]
    for group in range(len(symbols)):
        first = starts[group]
        for i in range(symbols.shape[1]):
            scale = size >> np.uint64(PRECISION)
            quantile = (window - low) // scale
            if quantile >= np.uint64(1 << PRECISION):
                return False
            at = first + guesses[group, quantile >> np.uint64(shift)]
            while np.uint64(ends[at + 1]) <= quantile:
                at += 1
            left = np.uint64(ends[at])
            share = np.uint64(ends[at + 1]) - left
            low += scale * left
            size = scale * share
            if size < LEAST:
                low, size, window, count = read(low, size, window, count, words)
            symbols[group, i] = at - first
    state[0], state[1], state[2], state[3] = low, size, window, count
    return True


@njit(nogil=True, cache=True)
def _read_uniform(state, words, sizes, symbols):  # type: ignore[no-untyped-def]
    """Fill ``symbols`` with numbers below ``sizes``, all equally likely; False as above."""
    low, size, window, count = state[0], state[1], state[2], state[3]
    for i in range(len(sizes)):
        scale = size >> np.uint64(PRECISION)
        quantile = (window - low) // scale
        if quantile >= np.uint64(1 << PRECISION):
            return False
        last = np.uint64(sizes[i]) - np.uint64(1)
        share = np.uint64(1 << PRECISION) // np.uint64(sizes[i])
        symbol = min(quantile // share, last)
        left = symbol * share
        share = share if symbol < last else np.uint64(1 << PRECISION) - left
        low += scale * left
        size = scale * share
        if size < LEAST:
            low, size, window, count = read(low, size, window, count, words)
        symbols[i] = symbol
    state[0], state[1], state[2], state[3] = low, size, window, count
    return True


class Ladder:
    """Frequencies of several groups, each adding up to 2**precision, made ready to be looked up.

    Attributes:
        ends: Where each symbol's share begins, group after group; behind its last symbol a group's sum.
        starts: Where each group begins in ``ends``.
        guesses: Each group's first guess of a symbol, by the highest bits of its quantile.
        shift: The bits of a quantile below those.
    """

    def __init__(self, groups: list[npt.NDArray[np.int64]], precision: int = PRECISION, guess_bits: int = 8) -> None:
        ends = [np.concatenate([[0], np.cumsum(row)]) for row in groups]
        self.shift = precision - guess_bits
        coarse = np.arange(1 << guess_bits) << self.shift
        self.ends = np.concatenate(ends).astype(np.uint32)
        self.starts = np.cumsum([0, *map(len, ends)])[:-1].astype(np.int64)
        self.guesses = np.stack([np.searchsorted(row, coarse, side="right") - 1 for row in ends]).astype(np.int32)


class RangeDecoder:
    """Reads symbols from the beginning of some words on. Raises ValueError for bytes that no encoder writes."""

    def __init__(self, words: npt.NDArray[np.uint32]) -> None:
        self.words, self.state = words, decoder(words)

    def symbols(self, ladder: Ladder, groups: int, count: int) -> npt.NDArray[np.int32]:
        """``count`` symbols of each group, (G, count)."""
        decoded = np.empty((groups, count), np.int32)
        lookup = ladder.ends, ladder.starts, ladder.guesses, ladder.shift
        self._check(_read(self.state, self.words, *lookup, decoded))
        return decoded

    def uniform(self, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """One number below each size, of at least 2."""
        decoded = np.empty(len(sizes), np.int64)
        self._check(_read_uniform(self.state, self.words, sizes, decoded))
        return decoded

    def check_end(self) -> None:
        """Raise BitstreamError where the stream does not end as an encoder ends it."""
        check_end(self.words, self.state)

    @staticmethod
    def _check(good: Any) -> None:
        if not good:
            raise ValueError("the bytes point between symbols")

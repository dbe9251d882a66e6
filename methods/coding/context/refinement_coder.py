"""Range coding of refined symbols for a decoder that has the coarse ones (``refinement_contexts.py``).

One coder runs through all tensors of a cut, channel by channel in raster order. Tables are integers and contexts follow
from decoded symbols alone, so that streams decode alike on every machine.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.context.neighbours import Maps
from splitbench.methods.coding.context.refinement_contexts import (
    activities,
    activity,
    choices,
    expected,
    magnitude,
    rows,
)
from splitbench.methods.coding.context.refinement_tables import RefinementTables
from splitbench.methods.coding.entropy.adaptive_range_coder import decoder, encoder, finished, put, take
from splitbench.methods.coding.entropy.probability_tables import PRECISION
from splitbench.methods.coding.entropy.range_stream import check_end, words_of


class RefinementCoder:
    """Codes one refinement of all tensors of a cut in one go. It holds its tables alone until it codes."""

    def __init__(self, tables: Sequence[RefinementTables]) -> None:
        self.tables = tuple(tables)

    @cached_property
    def _laid_out(self) -> list[tuple[Any, ...]]:
        """Each tensor's tables of rows and classes, classes of activities, weights, and ends of choices' shares."""
        ends = [np.pad(np.cumsum(t.frequencies, 1, np.uint32), ((0, 0), (1, 0))) for t in self.tables]
        return [(t.rows, t.lookup(), t.weights, shares) for t, shares in zip(self.tables, ends, strict=True)]

    def encode(self, coarse: Sequence[Maps], fine: Sequence[Maps]) -> bytes:
        """Code one image's fine symbols, int32 (C, H, W) for each tensor."""
        words = np.zeros(sum(maps.size for maps in fine) // (32 // PRECISION) + 8, np.uint32)
        state = encoder()
        for q, x, (table, classes, weights, ends) in zip(coarse, fine, self._laid_out, strict=True):
            tables = table[rows(q), classes[activities(q, x, weights)]]
            _encode(choices(q, x).ravel(), tables.ravel(), words, state, ends)
        return finished(words, state)

    def decode(self, data: bytes | memoryview, coarse: Sequence[Maps]) -> list[Maps]:
        """Return one image's fine symbols. Raises BitstreamError for bytes that :meth:`encode` does not write."""
        words = words_of(data)
        state = decoder(words)
        fine = [np.empty_like(q) for q in coarse]
        for q, x, laid_out in zip(coarse, fine, self._laid_out, strict=True):
            if not _decode(q, x, rows(q), words, state, *laid_out):
                raise BitstreamError("damaged bitstream: no range coder writes such bytes")
        check_end(words, state)
        return fine


@njit(nogil=True, cache=True)
def _encode(chosen, tables, words, state, ends):  # type: ignore[no-untyped-def]
    low, size, count = state[0], state[1], state[2]
    for place in range(len(chosen)):
        left = np.uint64(ends[tables[place], chosen[place]])
        share = np.uint64(ends[tables[place], chosen[place] + 1]) - left
        low, size, count = put(low, size, count, words, size >> np.uint64(PRECISION), left, share)
    state[0], state[1], state[2] = low, size, count


@njit(nogil=True, cache=True)
def _decode(coarse, fine, row, words, state, table, classes, weights, ends):  # type: ignore[no-untyped-def]
    """Fill ``fine``; False where the bytes point between symbols."""
    low, size, window, count = state[0], state[1], state[2], state[3]
    known = np.zeros((coarse.shape[1] + 2, coarse.shape[2] + 2), np.int64)
    before, behind = np.zeros(coarse.shape[1:], np.int64), expected(coarse, 0)
    for c in range(coarse.shape[0]):
        known[1:-1, 1:-1] = behind
        behind = expected(coarse, c + 1)
        for i in range(coarse.shape[1]):
            for j in range(coarse.shape[2]):
                here = table[row[c, i, j], classes[activity(known, before, behind, i, j, weights)]]
                scale = size >> np.uint64(PRECISION)
                quantile = (window - low) // scale
                if quantile >= np.uint64(1 << PRECISION):
                    return False
                choice = 0
                while np.uint64(ends[here, choice + 1]) <= quantile:
                    choice += 1
                left = np.uint64(ends[here, choice])
                share = np.uint64(ends[here, choice + 1]) - left
                low, size, window, count = take(low, size, window, count, words, scale, left, share)
                fine[c, i, j] = 3 * coarse[c, i, j] + (choice - 1 if coarse[c, i, j] >= 0 else 1 - choice)
                known[i + 1, j + 1] = magnitude(fine[c, i, j])
        before[:] = known[1:-1, 1:-1]
    state[0], state[1], state[2], state[3] = low, size, window, count
    return True

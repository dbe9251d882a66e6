"""Range coding of maps with a table for every channel and activity of the causal neighbours.

One coder runs through all tensors of a cut. Within a tensor, symbols are coded channel by channel in raster order, each
with the table of its row (``context_tables.py``); then the distances of its escapes, in Elias' gamma code. Tables
are integers and contexts follow from decoded symbols alone, so that streams decode alike on every machine.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.base import BitstreamError, MethodError
from splitbench.methods.coding.context.context_tables import ContextTables
from splitbench.methods.coding.context.neighbours import LARGEST, Maps, activity, magnitude
from splitbench.methods.coding.entropy.adaptive_range_coder import (
    LEAST,
    State,
    decoder,
    encoder,
    finished,
    put_numbers,
    read,
    take_numbers,
    written,
)
from splitbench.methods.coding.entropy.probability_tables import PRECISION, escaped_symbols
from splitbench.methods.coding.entropy.range_decoder import Ladder
from splitbench.methods.coding.entropy.range_stream import Words, check_end, words_of

_LONGEST = 33  # bits of a distance's code behind its highest: a distance is below 2**33
_GUESS_BITS = 5  # the first guess of a symbol follows from so many bits of its quantile


class _Tensor:
    """One tensor's tables, laid out for the compiled loops."""

    def __init__(self, fitted: ContextTables) -> None:
        self.tables = fitted.tables
        self.rows, self.classes = fitted.rows, fitted.context.lookup()
        self.weights = np.array(fitted.context.weights, np.int64)
        ladder = Ladder(fitted.tables.with_escapes(), PRECISION, _GUESS_BITS)
        self.ends, self.starts, self.guesses = ladder.ends, ladder.starts, ladder.guesses
        self.lowest, self.lengths = fitted.tables.lowest, fitted.tables.lengths.astype(np.int32)

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != len(self.rows):
            raise MethodError(f"maps {shape} for tables of {len(self.rows)} channels: they must be (channels, H, W)")


class ContextCoder:
    """Codes the tensors of a cut in one go; the verbs of ``RangeCoder``, with maps (C, H, W) for (G, N).

    It holds its tables alone until it codes; what it makes of them then takes milliseconds: keep it.
    """

    def __init__(self, tables: Sequence[ContextTables]) -> None:
        self.tables = tuple(tables)

    @cached_property
    def _tensors(self) -> list[_Tensor]:
        return [_Tensor(fitted) for fitted in self.tables]

    def encode(self, symbols: Sequence[Maps]) -> bytes:
        """Code one image's symbols, int32 (C, H, W) for each tensor in order.

        Raises:
            MethodError: a tensor's channels are not its tables'.
        """
        room = sum(maps.size for maps in symbols) // (32 // PRECISION) + 8
        words, state = np.zeros(room, np.uint32), encoder()
        for tensor, maps in zip(self._tensors, symbols, strict=True):
            tensor.check(maps.shape)
            escaped = _encode(
                maps, words, state, tensor.rows, tensor.classes, tensor.weights,
                tensor.ends, tensor.starts, tensor.lowest, tensor.lengths,
            )  # fmt: skip
            if len(escaped) > 0:
                words = np.concatenate([words, np.zeros(3 * len(escaped), np.uint32)])
                put_numbers(state, words, escaped + 1)
        return finished(words, state)

    def bits(self, symbols: Sequence[Maps]) -> float:
        """Return what one image's symbols would take if coding came to the logarithms of the tables' probabilities."""
        return sum(tables.bits(maps) for tables, maps in zip(self.tables, symbols, strict=True))

    def decode(self, data: bytes | memoryview, shapes: Sequence[tuple[int, int, int]]) -> list[Maps]:
        """Return all symbols of one image, of the given shapes (C, H, W); ``data`` is all that :meth:`encode` returned.

        Raises:
            BitstreamError: the bytes end with a zero, continue behind the last symbol, or hold what no encoder writes.
        """
        words = words_of(data)
        state = decoder(words)
        decoded = [
            self._decode(tensor, words, state, shape) for tensor, shape in zip(self._tensors, shapes, strict=True)
        ]
        check_end(words, state)
        return decoded

    def _decode(self, tensor: _Tensor, words: Words, state: State, shape: tuple[int, int, int]) -> Maps:
        tensor.check(shape)
        maps = np.empty(shape, np.int32)
        escapes = _decode(
            maps, words, state, tensor.rows, tensor.classes, tensor.weights,
            tensor.ends, tensor.starts, tensor.guesses, tensor.lowest, tensor.lengths,
        )  # fmt: skip
        if escapes is None:
            raise BitstreamError("damaged bitstream: no range coder writes such bytes")
        if len(escapes) > 0:
            maps.reshape(-1)[escapes[:, 0]] = self._escaped(tensor, words, state, escapes)
        return maps

    def _escaped(self, tensor: _Tensor, words: Words, state: State, escapes: npt.NDArray[np.int64]) -> Maps:
        """Return the symbols behind escapes, given as (place, table)."""
        numbers = np.empty(len(escapes), np.int64)
        if not take_numbers(state, words, numbers, _LONGEST):
            raise BitstreamError("damaged bitstream: an escaped symbol is out of range")
        tables = escapes[:, 1]
        return escaped_symbols(tensor.lowest[tables], tensor.lengths[tables], numbers - 1)


@njit(nogil=True, cache=True)
def _doubled(rows):  # type: ignore[no-untyped-def]
    """Return rows with room for as many more."""
    return np.concatenate((rows, np.empty_like(rows)))


@njit(nogil=True, cache=True)
def _encode(maps, words, state, rows, classes, weights, ends, starts, lowest, lengths):  # type: ignore[no-untyped-def]
    """Code all symbols; returns the distances of those that no table holds, in order, int64."""
    low, size, count = state[0], state[1], state[2]
    above, here = np.zeros(maps.shape[2] + 2, np.int64), np.zeros(maps.shape[2] + 2, np.int64)
    previous = np.zeros(maps.shape[1:], np.int64)  # the channel before, in magnitudes
    chosen = weights[0], weights[1], weights[2], weights[3], weights[4]
    crossed = chosen[4] > 0
    distances = np.empty(16, np.int64)
    escapes = 0
    for c in range(maps.shape[0]):
        above[:] = 0
        row = rows[c]
        for i in range(maps.shape[1]):
            for j in range(maps.shape[2]):
                before = previous[i, j] if crossed else 0
                table = row[classes[activity(here[j], above[j + 1], above[j], above[j + 2], before, chosen)]]
                symbol = np.int64(maps[c, i, j])
                place = symbol - lowest[table]
                seen = magnitude(symbol)
                if place < 0 or place >= lengths[table]:
                    if escapes == len(distances):
                        distances = _doubled(distances)
                    beyond = place - lengths[table]
                    distances[escapes] = 2 * beyond if beyond >= 0 else -2 * place - 1
                    escapes += 1
                    place, seen = np.int64(lengths[table]), LARGEST
                here[j + 1] = seen
                if crossed:
                    previous[i, j] = seen
                at = starts[table] + place
                left = np.uint64(ends[at])
                share = np.uint64(ends[at + 1]) - left
                start, scale = low, size >> np.uint64(PRECISION)
                low += scale * left
                size = scale * share
                if low < start or size < LEAST:
                    low, size, count = written(low < start, low, size, count, words)
            above, here = here, above
    state[0], state[1], state[2] = low, size, count
    return distances[:escapes]


@njit(nogil=True, cache=True)
def _decode(maps, words, state, rows, classes, weights, ends, starts, guesses, lowest, lengths):  # type: ignore[no-untyped-def]
    """Fill ``maps``; returns (place, table) of every escape, or None where the bytes point between symbols."""
    low, size, window, count = state[0], state[1], state[2], state[3]
    above, here = np.zeros(maps.shape[2] + 2, np.int64), np.zeros(maps.shape[2] + 2, np.int64)
    previous = np.zeros(maps.shape[1:], np.int64)
    chosen = weights[0], weights[1], weights[2], weights[3], weights[4]
    crossed = chosen[4] > 0
    places = np.empty((16, 2), np.int64)
    escapes = 0
    for c in range(maps.shape[0]):
        above[:] = 0
        row = rows[c]
        for i in range(maps.shape[1]):
            for j in range(maps.shape[2]):
                before = previous[i, j] if crossed else 0
                table = row[classes[activity(here[j], above[j + 1], above[j], above[j + 2], before, chosen)]]
                scale = size >> np.uint64(PRECISION)
                quantile = (window - low) // scale
                if quantile >= np.uint64(1 << PRECISION):
                    return None
                first = starts[table]
                at = first + guesses[table, quantile >> np.uint64(PRECISION - _GUESS_BITS)]
                while np.uint64(ends[at + 1]) <= quantile:
                    at += 1
                left = np.uint64(ends[at])
                share = np.uint64(ends[at + 1]) - left
                low += scale * left
                size = scale * share
                if size < LEAST:
                    low, size, window, count = read(low, size, window, count, words)
                place = at - first
                if place < lengths[table]:
                    symbol = place + lowest[table]
                    maps[c, i, j] = symbol
                    seen = magnitude(symbol)
                else:
                    if escapes == len(places):
                        places = _doubled(places)
                    places[escapes, 0] = (c * maps.shape[1] + i) * maps.shape[2] + j
                    places[escapes, 1] = table
                    escapes += 1
                    seen = LARGEST
                here[j + 1] = seen
                if crossed:
                    previous[i, j] = seen
            above, here = here, above
    state[0], state[1], state[2], state[3] = low, size, window, count
    return places[:escapes]

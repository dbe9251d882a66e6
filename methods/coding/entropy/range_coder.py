"""Range coding of integer symbols with fixed tables, by constriction (Bamler, 2022) and a decoder of its streams.

One coder runs through all tensors of a cut, so that nothing is spent on lengths or on padding between them: for each
tensor its groups one after another, then the distances of its escapes (``tables.py``) in a universal code. The server
knows the number of symbols, so no end is marked either.

Both sides of a range coder must see exactly the same probabilities. constriction takes floating point ones
and turns them into 24 bit integers; what it is given here leaves it nothing to round (see ``_model``), so that the
coder is that of the integer tables on every machine.

A distance d is coded as k, the number of bits of d + 1 less one, with probability about 1 / ((k + 1) (k + 2)), and
then the k bits below d + 1's highest one (in the manner of Elias' delta code).
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.entropy.probability_tables import PRECISION, Symbols, Tables
from splitbench.methods.coding.entropy.range_decoder import Ladder, RangeDecoder
from splitbench.methods.coding.entropy.range_stream import shortest, words_of

_Integers = npt.NDArray[np.int64]
_queue, _models = constriction.stream.queue, constriction.stream.model

_MODEL_PRECISION = 24  # of constriction's Python interface
_CLASSES = 34  # a distance is below 2**33
_SPLIT = 16  # bits of a distance that are coded at a time: constriction's uniform model ends below 24


def _class_frequencies() -> _Integers:
    k = np.arange(_CLASSES, dtype=np.int64)
    frequencies: _Integers = 2**_MODEL_PRECISION // ((k + 1) * (k + 2))
    frequencies[0] += 2**_MODEL_PRECISION - frequencies.sum()
    return frequencies


def _model(frequencies: _Integers) -> Any:
    """Return a model with exactly these frequencies, which add up to 2**24.

    For n weights w constriction gives the first i symbols together floor(scale * sum(w[:i])) + i, where scale is
    (2**24 - n) / sum(w). With w = frequency - 1, scale is exactly 1, and all sums are integers up to 2**24, which
    float32 holds exactly: nothing is ever rounded.
    """
    return _models.Categorical((frequencies - 1).astype(np.float32), perfect=False)


_CLASS_FREQUENCIES = _class_frequencies()
_CLASS_MODEL = _model(_CLASS_FREQUENCIES)
_CLASS_LADDER = Ladder([_CLASS_FREQUENCIES])
BITS_MODEL = _models.Uniform()


class RangeCoder:
    """Codes the tensors of a cut in one go, each with separate tables.

    It holds its tables alone until it codes; what it makes of them then takes microseconds per group: keep it.
    """

    def __init__(self, tables: Sequence[Tables]) -> None:
        self.tables = tuple(tables)

    @cached_property
    def _models(self) -> list[list[Any]]:
        return [[_model(row) for row in part] for part in self._rows()]

    @cached_property
    def _ladders(self) -> list[Ladder]:
        return [Ladder(part) for part in self._rows()]

    def _rows(self) -> list[list[_Integers]]:
        """Return each group's frequencies, which add up to 2**24."""
        scale = 2 ** (_MODEL_PRECISION - PRECISION)
        return [[row * scale for row in part.with_escapes()] for part in self.tables]

    def encode(self, symbols: Sequence[Symbols]) -> bytes:
        """Code one image's symbols, int32 (G, N) for each tensor in order; any G where its tables have one group.

        Raises:
            MethodError: a tensor's groups are not its tables'.
        """
        encoder = range_encoder()
        self.put(encoder, symbols)
        return finished(encoder)

    def put(self, encoder: Any, symbols: Sequence[Symbols]) -> None:
        """Code symbols behind what a :func:`range_encoder` has coded; raises as :meth:`encode`."""
        for part, models, x in zip(self.tables, self._models, symbols, strict=True):
            indices, distances = part.indices(x)
            for row, model in zip(indices.reshape(len(models), -1), models, strict=True):
                encoder.encode(row, model)
            if len(distances) > 0:
                _encode_distances(encoder, distances)

    def decode(self, data: bytes | memoryview, shapes: Sequence[tuple[int, int]]) -> list[Symbols]:
        """Return all symbols of one image, of the given shapes (G, N); ``data`` is all that :meth:`encode` returned.

        Nearly all bytes mean something to a range coder, so most damage is not noticed: it changes symbols.

        Raises:
            BitstreamError: the bytes end with a zero, continue behind the last symbol, hit a gap between symbols as no
                encoder's do, or encode a symbol that is not an int32.
        """
        decoder = RangeDecoder(words_of(data))
        symbols = self.take(decoder, shapes)
        decoder.check_end()
        return symbols

    def take(self, decoder: RangeDecoder, shapes: Sequence[tuple[int, int]]) -> list[Symbols]:
        """Return what :meth:`put` coded next; raises as :meth:`decode`, but for bytes behind."""
        symbols = []
        try:
            for part, ladder, shape in zip(self.tables, self._ladders, shapes, strict=True):
                part.check(shape)
                indices = decoder.symbols(ladder, part.groups, math.prod(shape) // part.groups).reshape(shape)
                symbols.append(part.symbols(indices, lambda escapes: _decode_distances(decoder, escapes)))
        except ValueError as error:  # the bytes point into the gap that rounding leaves
            raise BitstreamError("damaged bitstream: no range coder writes such bytes") from error
        return symbols

    def bits(self, symbols: Sequence[Symbols]) -> float:
        """Return what coding these symbols costs ideally, in bits: minus the logarithm of their probability."""
        total = 0.0
        for part, x in zip(self.tables, symbols, strict=True):
            indices, distances = part.indices(x)
            for row, frequencies in zip(indices.reshape(part.groups, -1), part.with_escapes(), strict=True):
                total += float((PRECISION - np.log2(frequencies))[row].sum())
            k = _bit_lengths(distances)
            total += float((_MODEL_PRECISION - np.log2(_CLASS_FREQUENCIES[k]) + k).sum())
        return total


def _bit_lengths(distances: _Integers) -> _Integers:
    """floor(log2(d + 1)); exact, as float64 holds all integers below 2**53."""
    return np.frexp((distances + 1).astype(np.float64))[1].astype(np.int64) - 1


def _encode_distances(encoder: Any, distances: _Integers) -> None:
    k = _bit_lengths(distances)
    encoder.encode(k.astype(np.int32), _CLASS_MODEL)
    for shift, bits in _slices(k):
        coded = bits > 0
        value = ((distances + 1) >> shift) & ((1 << bits) - 1)
        encoder.encode(value[coded].astype(np.int32), BITS_MODEL, (1 << bits[coded]).astype(np.int32))


def _decode_distances(decoder: RangeDecoder, count: int) -> _Integers:
    k = decoder.symbols(_CLASS_LADDER, 1, count)[0].astype(np.int64)
    value: _Integers = 1 << k
    for shift, bits in _slices(k):
        coded = bits > 0
        value[coded] |= decoder.uniform(1 << bits[coded]) << shift
    return value - 1


def _slices(k: _Integers) -> list[tuple[int, _Integers]]:
    """Return the k low bits of numbers in slices: how far each is shifted, and its bits (which may be none)."""
    return [(shift, (k - shift).clip(0, _SPLIT)) for shift in range(0, _CLASSES - 1, _SPLIT)]


def range_encoder() -> Any:
    """Return an encoder that has coded nothing yet, for :meth:`RangeCoder.put`."""
    return _queue.RangeEncoder()


def finished(encoder: Any) -> bytes:
    """Return the bytes of all that an encoder has coded."""
    count, (low, size) = encoder.pos()
    # While a carry is possible, constriction holds words back, and carries in what it returns where its ending does.
    carried = (low + 2**32 - 1) >> 64
    return shortest(encoder.get_compressed()[:count], low - (carried << 64), size)

"""The decoder of CompressAI's range asymmetric numeral system (rANS), which trusts no byte that it reads.

CompressAI's decoder in C++ reads on behind the end of a stream that is too short. This one reads the same streams
(Duda, 2013; Giesen's ``rans64``): a state of 64 bits, of which each symbol takes its share of 2**16, and to which a
word of 32 bits is added whenever it falls below 2**31. A value that its table has no place for is the table's last
symbol, and follows in pieces of 4 bits: how many there are, then the pieces.

The encoder begins at the state where the decoder ends, so that damage is noticed there at the latest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.base import BitstreamError

PRECISION = 16
_LOW = 1 << 31  # the smallest state between symbols, and the encoder's first
_PIECE = 4  # bits
_MOST_PIECES = 7  # in a number of 28 bits: CompressAI's encoder never ends for larger ones


@dataclass(frozen=True)
class Cdfs:
    """Tables of cumulative frequencies, (T, longest); how long each is; and the value that its first symbol means."""

    frequencies: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        """Raises ValueError for what could be read amiss, or ends CompressAI's encoder: tables may come from a file."""
        tables, longest = self.frequencies.shape if self.frequencies.ndim == 2 else (-1, 0)
        if not self.lengths.shape == self.offsets.shape == (tables,):
            raise ValueError("its tables of frequencies do not fit together")
        for row, length in zip(self.frequencies, self.lengths, strict=True):
            good = 3 <= length <= longest and row[0] == 0 and row[length - 1] == 1 << PRECISION
            if not good or (np.diff(row[:length]) <= 0).any():
                raise ValueError("one of its tables of frequencies does not rise from 0 to 2**16")


@njit(nogil=True, cache=True, inline="always")
def _refill(state, words):  # type: ignore[no-untyped-def]
    """Add a word where the state has become small; False where there is none."""
    if state[0] < np.uint64(_LOW):
        if state[1] >= np.uint64(len(words)):
            return False
        state[0] = (state[0] << np.uint64(32)) | np.uint64(words[state[1]])
        state[1] += np.uint64(1)
    return True


@njit(nogil=True, cache=True)
def _escaped(state, words):  # type: ignore[no-untyped-def]
    """The number that follows in pieces; -1 where the bytes end, or no encoder writes as many."""
    mask, bits = np.uint64((1 << _PIECE) - 1), np.uint64(_PIECE)
    pieces = np.int64(state[0] & mask)
    state[0] >>= bits
    if not _refill(state, words) or pieces > _MOST_PIECES:
        return np.int64(-1)
    number = np.int64(0)
    for i in range(pieces):
        number |= np.int64(state[0] & mask) << np.int64(_PIECE * i)
        state[0] >>= bits
        if not _refill(state, words):
            return np.int64(-1)
    return number


@njit(nogil=True, cache=True)
def _read(state, words, indexes, frequencies, lengths, offsets, values):  # type: ignore[no-untyped-def]
    """Fill ``values``, each by the table that ``indexes`` names; False for bytes that no encoder writes."""
    for i in range(len(indexes)):
        table = frequencies[indexes[i]]
        last = lengths[indexes[i]] - 2
        share = np.int64(state[0] & np.uint64((1 << PRECISION) - 1))
        symbol = np.searchsorted(table[: last + 2], share, side="right") - 1
        left, right = table[symbol], table[symbol + 1]
        state[0] = np.uint64(right - left) * (state[0] >> np.uint64(PRECISION)) + np.uint64(share - left)
        if not _refill(state, words):
            return False
        value = np.int64(symbol)
        if symbol == last:
            number = _escaped(state, words)
            if number < 0:
                return False
            value = -(number >> 1) - 1 if number & 1 else (number >> 1) + last
        values[i] = value + offsets[indexes[i]]
    return True


class RansDecoder:
    """Reads values from the beginning of a stream on. Raises BitstreamError for bytes that no encoder writes."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 8 or len(data) % 4:
            raise BitstreamError(f"damaged bitstream: {len(data)} bytes are no rANS stream")
        self.words = np.frombuffer(data, "<u4")
        self.state = np.array([int(self.words[0]) | int(self.words[1]) << 32, 2], np.uint64)
        if int(self.state[0]) < _LOW:
            raise BitstreamError("damaged bitstream: it begins as no rANS stream does")

    def values(self, indexes: npt.NDArray[np.int32], cdfs: Cdfs) -> npt.NDArray[np.int32]:
        """The next values, one for each index of a table."""
        found = np.empty(len(indexes), np.int32)
        tables = cdfs.frequencies, cdfs.lengths, cdfs.offsets
        if not _read(self.state, self.words, indexes, *tables, found):
            raise BitstreamError("damaged bitstream: it says values that no encoder writes, or ends early")
        return found

    def end(self) -> None:
        """Check that everything was read."""
        if int(self.state[0]) != _LOW or int(self.state[1]) != len(self.words):
            raise BitstreamError("damaged bitstream: it does not end where its values do")

"""The bytes of a range coder: how its encoder ends them, and what its decoder checks.

Behind the last byte a decoder reads zeros, so that no stream ends with one.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from splitbench.methods.base import BitstreamError

Words = npt.NDArray[np.uint32]


def shortest(words: npt.NDArray[Any], low: int, size: int) -> bytes:
    """Return the fewest bytes of a number in ``[low, low + size)`` behind ``words``, zeros at its end left out.

    Any number of the final interval will do: that with the most zeros behind is 2 bytes shorter on average than whole
    words, and takes nothing where all that was coded is probable.
    """
    before = int.from_bytes(words.astype(">u4").tobytes(), "big") << 64
    return _shortest(before + low, size, 4 * len(words) + 8)


def _shortest(lowest: int, size: int, length: int) -> bytes:
    """Return a number of ``length`` bytes in ``[lowest, lowest + size)`` without the zeros at its end."""
    if lowest == 0:
        return b""
    highest = lowest + size - 1
    free = ((lowest - 1) ^ highest).bit_length() - 1
    number = (highest >> free) << free
    return number.to_bytes(length, "big").rstrip(b"\0")


def words_of(data: bytes | memoryview) -> Words:
    """Return a stream's words of 32 bits, the last one filled with zeros.

    Raises:
        BitstreamError: the bytes end with a zero.
    """
    if len(data) > 0 and data[-1] == 0:
        raise BitstreamError("damaged bitstream: no range coder ends with a zero byte")
    padded = bytes(data) + b"\0" * (-len(data) % 4)
    return np.frombuffer(padded, ">u4").astype(np.uint32)


def check_end(words: Words, state: npt.NDArray[np.uint64]) -> None:
    """Check that a stream ends as :func:`shortest` ends it: one of other bytes decodes to the same symbols.

    Args:
        words: The stream.
        state: The decoder's behind the last symbol: low, size, window and the number of words read.

    Raises:
        BitstreamError: it does not.
    """
    low, size, window, read = (int(x) for x in state)
    sent = words.astype(">u4").tobytes().ljust(4 * read, b"\0")
    number = int.from_bytes(sent, "big")
    if len(words) > read or sent.rstrip(b"\0") != _shortest(number - (window - low) % 2**64, size, 4 * read):
        raise BitstreamError("damaged bitstream: it goes on behind its last symbol")

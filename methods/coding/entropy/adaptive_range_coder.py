"""A range encoder with a probability table for every symbol, in compiled loops, and the decoder of its streams.

The coder is Martin's (1979), as ``range_decoder.py`` has it: an interval ``[low, low + range)`` of 64 bits is narrowed
to each symbol's share of 2**16, and moved on by a word of 32 bits whenever ``range`` falls below 2**32. A carry out of
``low`` is added to the words that were written before. Behind the last word the decoder reads zeros.

``state`` is a vector of four uint64: in the encoder low, range, the number of words written, and nothing; in the
decoder low, range, the current window of the stream, and the number of words read.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.coding.entropy.range_stream import Words, shortest

State = npt.NDArray[np.uint64]

_WORD = 32

LEAST = np.uint64(1 << 32)
"""A range below is moved on."""


def encoder() -> State:
    """Return the state before the first symbol."""
    return np.array([0, 2**64 - 1, 0, 0], np.uint64)


def decoder(words: Words) -> State:
    """Return the state in which ``words`` are read from the first on."""
    first, second = (int(words[i]) if i < len(words) else 0 for i in (0, 1))
    return np.array([0, 2**64 - 1, first << _WORD | second, 2], np.uint64)


@njit(nogil=True, cache=True, inline="always")
def put(low, size, count, words, scale, left, share):  # type: ignore[no-untyped-def]
    """Narrow the interval to ``share`` from ``left`` on, in units of ``scale``. Returns low, size and count."""
    before = low
    low = low + scale * left
    size = scale * share
    if low < before or size < LEAST:
        low, size, count = written(low < before, low, size, count, words)
    return low, size, count


@njit(nogil=True, cache=True)
def written(carried, low, size, count, words):  # type: ignore[no-untyped-def]
    """Write what is known of the stream. Returns low, size and count.

    It is called for few symbols, and by the busiest loops directly: arrays that are handed to a function for every
    symbol take longer than all else (numba counts references, with atomic instructions).
    """
    if carried:
        at = count - np.uint64(1)
        while words[at] == np.uint32(0xFFFFFFFF):
            words[at] = 0
            at -= np.uint64(1)
        words[at] += np.uint32(1)
    if size < LEAST:
        words[count] = np.uint32(low >> np.uint64(32))
        count += np.uint64(1)
        low <<= np.uint64(32)
        size <<= np.uint64(32)
    return low, size, count


@njit(nogil=True, cache=True, inline="always")
def take(low, size, window, count, words, scale, left, share):  # type: ignore[no-untyped-def]
    """The decoder's side of :func:`put`. Returns low, size, window and count."""
    low = low + scale * left
    size = scale * share
    if size < LEAST:
        low, size, window, count = read(low, size, window, count, words)
    return low, size, window, count


@njit(nogil=True, cache=True)
def read(low, size, window, count, words):  # type: ignore[no-untyped-def]
    """The decoder's side of :func:`written`. Returns low, size, window and count."""
    low <<= np.uint64(32)
    size <<= np.uint64(32)
    window <<= np.uint64(32)
    if count < np.uint64(len(words)):
        window |= np.uint64(words[count])
    count += np.uint64(1)
    return low, size, window, count


@njit(nogil=True, cache=True)
def put_numbers(state, words, numbers):  # type: ignore[no-untyped-def]
    """Code numbers of at least 1 (int64) in Elias' gamma code: as many zeros as bits follow the highest, then all."""
    low, size, count = state[0], state[1], state[2]
    for number in numbers:
        length = 0
        while number >> (length + 1) > 0:
            length += 1
        for place in range(2 * length, -1, -1):
            bit = np.uint64((number >> place) & 1) if place <= length else np.uint64(0)
            low, size, count = put(low, size, count, words, size >> np.uint64(1), bit, np.uint64(1))
    state[0], state[1], state[2] = low, size, count


@njit(nogil=True, cache=True)
def take_numbers(state, words, numbers, longest):  # type: ignore[no-untyped-def]
    """Fill ``numbers``; whether none of them has more than ``longest`` bits behind its highest."""
    low, size, window, count = state[0], state[1], state[2], state[3]
    for index in range(len(numbers)):
        zeros, number, left = 0, np.int64(0), -1
        while left != 0:
            scale = size >> np.uint64(1)
            bit = min((window - low) // scale, np.uint64(1))
            low, size, window, count = take(low, size, window, count, words, scale, bit, np.uint64(1))
            if left < 0 and bit == np.uint64(0):
                zeros += 1
                if zeros > longest:
                    return False
            else:
                number = number << 1 | np.int64(bit)
                left = zeros if left < 0 else left - 1
        numbers[index] = number
    state[0], state[1], state[2], state[3] = low, size, window, count
    return True


def finished(words: Words, state: State) -> bytes:
    """Return the fewest bytes that decode to what was encoded, where zeros are read behind the end."""
    low, size, count = int(state[0]), int(state[1]), int(state[2])
    return shortest(words[:count], low, size)

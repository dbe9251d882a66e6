"""Writing and reading bits in compiled loops, most significant first.

``waiting`` holds the bits on the way, the lowest ``count`` of them; numba keeps all three in registers where these
functions are inlined.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, inline="always")
def put(words, waiting, count, at, code, length):  # type: ignore[no-untyped-def]
    """Append ``length`` <= 32 bits to the ``count`` < 32 bits that wait for ``words[at]``; all unsigned."""
    waiting = (waiting << length) | code
    count += length
    if count >= np.uint64(32):
        count -= np.uint64(32)
        words[at] = waiting >> count
        at += np.uint64(1)
    return waiting, count, at


@njit(nogil=True, cache=True, inline="always")
def fill(data, waiting, count, at):  # type: ignore[no-untyped-def]
    """Read bytes until more than 56 bits wait; behind the end there are zeros."""
    while count <= np.uint64(56):
        waiting <<= np.uint64(8)
        if at < len(data):
            waiting |= np.uint64(data[at])
        at += 1
        count += np.uint64(8)
    return waiting, count, at


@njit(nogil=True, cache=True, inline="always")
def take(waiting, count, length):  # type: ignore[no-untyped-def]
    """The next ``length`` of the ``count`` waiting bits, and how many wait then."""
    count -= np.uint64(length)
    return np.int64((waiting >> count) & ((np.uint64(1) << np.uint64(length)) - np.uint64(1))), count

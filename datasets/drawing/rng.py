"""A random number generator whose integers are the same in every version of every library.

NumPy promises that its bit streams stay, but not what ``integers`` or ``normal`` make of them (NEP 19), and pixels must
not change with NumPy. SplitMix64 (Steele, Lea and Flood, 2014) is ten lines of integers.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing.compiled import compiled

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


def _mix(word: int) -> int:
    """Scramble 64 bits, one to one."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


_AHEAD = 32
"""Words that are made at once; one by one, they take most of the time of a drawing."""


@compiled
def _words(state: np.uint64) -> NDArray[np.uint64]:
    """Return the stream's next words, the last one first: ``_mix`` of each state."""
    words = np.empty(_AHEAD, dtype=np.uint64)
    for k in range(_AHEAD):
        state += np.uint64(_GAMMA)
        word = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words[_AHEAD - 1 - k] = word ^ (word >> np.uint64(31))
    return words


class SplitMix64:
    """A stream of random integers, one per key; streams of different keys are independent."""

    __slots__ = ("_ready", "_state")

    def __init__(self, *key: int) -> None:
        state = 0
        for word in key:
            state = _mix((state + _GAMMA + word) & _MASK)
        self._state = state
        self._ready: list[int] = []

    def bits(self) -> int:
        """Return 64 random bits."""
        if not self._ready:
            self._ready = _words(np.uint64(self._state)).tolist()
            self._state = (self._state + _AHEAD * _GAMMA) & _MASK
        return self._ready.pop()

    def between(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included, all equally likely."""
        return low + (((self._ready.pop() if self._ready else self.bits()) * (high - low + 1)) >> 64)

    def percent(self, chance: int) -> bool:
        """Return True with a probability of ``chance`` percent."""
        return self.between(0, 99) < chance

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices, all equally likely."""
        return choices[self.between(0, len(choices) - 1)]

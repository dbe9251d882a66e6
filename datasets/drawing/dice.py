"""Random integers that are the same in every version of every library.

NumPy promises that its bit streams stay, but not what ``integers`` or ``normal`` make of them (NEP 19), and pixels must
not change with NumPy. SplitMix64 (Steele, Lea and Flood, 2014) is ten lines of integers.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


def _mix(word: int) -> int:
    """Scramble 64 bits, one to one."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


class Dice:
    """A stream of random integers, one per key; streams of different keys have nothing to do with each other."""

    __slots__ = ("_state",)

    def __init__(self, *key: int) -> None:
        state = 0
        for word in key:
            state = _mix((state + _GAMMA + word) & _MASK)
        self._state = state

    def bits(self) -> int:
        """64 random bits."""
        self._state = word = (self._state + _GAMMA) & _MASK
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK  # _mix, written out: half of a throw's time
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        return word ^ (word >> 31)

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included, all equally likely."""
        return low + ((self.bits() * (high - low + 1)) >> 64)

    def percent(self, chance: int) -> bool:
        """True in ``chance`` of 100 throws."""
        return self.between(0, 99) < chance

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, all equally likely."""
        return choices[self.between(0, len(choices) - 1)]

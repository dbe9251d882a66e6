"""Integers in place of logistic functions, for probabilities that are mixed and learned while symbols are coded.

Probabilities are integers of 16 bits, their logits ln(p / (1 - p)) integers in steps of 1/256 between -2047 and 2047
(Mahoney, "Adaptive weighing of context models for lossless data compression", 2005, calls the two functions squash and
stretch). All tables are computed with whole numbers, so that they are the same on every machine.

A *slot* is the probability of one binary decision in one context, which follows what happens there: 22 bits of
probability above 10 bits that count how often it was asked, up to a limit. It moves by 1 / (count + 1.5) of its error:
quickly at first, then slower and slower.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Integers = npt.NDArray[np.int32]
Slots = npt.NDArray[np.uint32]

STEEPEST = 2047
"""The largest logit: probabilities stay between 22 and 65514 of 65536."""

_STEPS = 256  # of a logit's unit
_ONE = 1 << 80  # of the fixed-point numbers that the tables are computed with
_COUNT_BITS = 10
_CERTAIN = (1 << 22) - 1


def _squash() -> Integers:
    """Probabilities by logit + 2048."""
    term = step = _ONE
    for k in range(1, 20):  # the series of e**(1/256)
        term //= _STEPS * k
        step += term
    powers = [_ONE]
    for _ in range(STEEPEST):
        powers.append(powers[-1] * step // _ONE)
    above = [(power << 16) // (power + _ONE) for power in powers]
    return np.array([65536 - above[STEEPEST], *(65536 - p for p in above[:0:-1]), *above], np.int32)


SQUASH = _squash()
STRETCH = (np.searchsorted(SQUASH, np.arange(4096) * 16 + 8) - 2048).clip(-STEEPEST, STEEPEST).astype(np.int32)
"""Logits by the upper 12 bits of probabilities."""

_SHARES = np.array([2 * 65536 // (2 * count + 3) for count in range(1 << _COUNT_BITS)], np.int32)


def slots_at(logits: "npt.NDArray[Any]", counts: "npt.NDArray[Any]") -> Slots:
    """Slots of these logits, asked so often before."""
    probable = SQUASH[logits + 2048].astype(np.uint32) << np.uint32(6 + _COUNT_BITS)
    return np.asarray(probable | counts.astype(np.uint32), np.uint32)


def logits_of(slots: Slots) -> Integers:
    """Return the slots' logits."""
    return np.asarray(STRETCH[slots >> 20])


def counts_of(slots: Slots) -> Slots:
    """Return how often the slots were asked."""
    return slots & np.uint32((1 << _COUNT_BITS) - 1)


@njit(nogil=True, cache=True, inline="always")
def adapt(slots, at, bit, limit):  # type: ignore[no-untyped-def]
    """Move a slot towards what its decision came to; ``limit`` is the highest count."""
    slot = np.int64(slots[at])
    probable, count = slot >> _COUNT_BITS, slot & ((1 << _COUNT_BITS) - 1)
    probable += (((_CERTAIN if bit else 0) - probable) * _SHARES[count]) >> 16
    if count < limit:
        count += 1
    slots[at] = np.uint32((probable << _COUNT_BITS) | count)

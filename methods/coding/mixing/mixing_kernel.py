"""The compiled loop of context mixing: one for learning, encoding and decoding, so that they cannot differ.

A symbol's magnitude comes as decisions "more than 0?", "more than 1?" ... up to 8, each mixed of five contexts; what is
left is coded in Elias' gamma code by slots of what was predicted. Where there are negative symbols a sign follows.
Symbols of other ranges than calibration images had are coded by the same decisions: all of int32 can be.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.coding.context.neighbours import LARGEST
from splitbench.methods.coding.mixing.mixing_contexts import (
    ACTIVITIES,
    FINEST,
    MAGNITUDES,
    MEANS,
    PLACES,
    PREDICTED,
    SHARED,
    per_channel,
)
from splitbench.methods.coding.mixing.mixing_decisions import DAMAGED, DECODE, ENCODE, LEARN, alone, coded, mixed
from splitbench.methods.coding.mixing.mixing_logistic import Slots, slots_at
from splitbench.methods.coding.mixing.mixing_predictors import NEIGHBOURS

DECISIONS = 8
"""Decisions of a magnitude that are mixed."""

_OF_CHANNEL = 4  # decisions that have slots for a channel: the last stands for all that follow
_INPUTS = 1 + len(SHARED)
_WIDTH = _INPUTS + 1  # of a set of weights, with the bias'
_SETS = 6 + PREDICTED // 2  # chosen by activity, and by what is predicted
_LONGEST = 33  # bits behind the highest of a number in the gamma code
_TAIL = 64  # slots of the gamma code for one context: 21 of lengths, then 3 of the first bits for each of 11 lengths
_LENGTHS, _FIRST_BITS = 21, 11
_SIGNS = 81  # contexts of signs that all channels share: west, north, two earlier channels
_SIGN_INPUTS = 2
_PAST = 16  # places that the mean in calibration images counts as
_SLOW = 5  # a place's mean follows 1 / 2**5 of each channel
_PLACE_SHIFT = 10


class Running(NamedTuple):
    """A model as the loop takes it; slots and weights change as it learns."""

    slots: Slots
    weights: npt.NDArray[np.int64]
    coefficients: npt.NDArray[np.int64]
    constants: npt.NDArray[np.int64]
    earlier: npt.NDArray[np.int64]
    means: npt.NDArray[np.int64]
    lookups: tuple[npt.NDArray[np.uint8], ...]
    shifts: tuple[int, int]
    per_channel: int
    signed: bool

    def copy(self) -> "Running":
        """Return the same, to be run once."""
        return self._replace(slots=self.slots.copy(), weights=self.weights.copy())


def _starts(channels: int, signed: bool) -> tuple[int, ...]:
    """Return where the slots of shared contexts, the gamma code's and signs begin, and where all end."""
    sizes = [channels * per_channel(channels) * _OF_CHANNEL, *(size * DECISIONS for size in SHARED)]
    signs = [channels * 3, _SIGNS] if signed else [0, 0]
    return (*np.cumsum([*sizes, PREDICTED * _TAIL, *signs]).tolist(),)


def slot_count(channels: int, signed: bool) -> int:
    """Slots of a model for so many channels."""
    return int(_starts(channels, signed)[-1])


def weight_count() -> int:
    """Weights of a model."""
    return _SETS * DECISIONS * _WIDTH + 2 * (_SIGN_INPUTS + 1)


def new_slots(channels: int, signed: bool) -> Slots:
    """Slots that know nothing."""
    nothing = np.zeros(slot_count(channels, signed), np.int64)
    return slots_at(nothing, nothing)


def most_bits(top: int) -> int:
    """Bits that a symbol of this magnitude takes at most: 12 for each decision."""
    return 12 * (DECISIONS + 2 * (_LONGEST + 1) + 1 if top >= DECISIONS else DECISIONS + 1)


def run(maps: Any, words: Any, state: Any, model: Running, mode: int) -> bool:
    """Code the symbols of maps (C, H, W), int32, learning on the way; or fill ``maps``.

    Args:
        maps: The symbols; filled where ``mode`` is DECODE.
        words: The stream, written or read.
        state: The range coder's, of ``adaptive_range_coder.py``; brought up to date. After LEARN its third number has
            grown by what coding would take, in units of 1 / ``BIT`` bits.
        model: Where to start; changed.
        mode: LEARN, ENCODE or DECODE.

    Returns:
        Whether the stream is one that an encoder wrote, as far as can be seen.
    """
    starts = np.array(_starts(len(model.means), model.signed), np.int64)
    return bool(_run(maps, words, state, model, starts, mode))


@njit(nogil=True, cache=True)
def _run(maps, words, state, model, starts, mode):  # type: ignore[no-untyped-def]
    coder = (state[0], state[1], state[2], state[3] if mode == DECODE else state[2])
    channels, height, width = maps.shape
    slots, weights, lookups = model.slots, model.weights, model.lookups
    of_magnitude, of_activity, of_mean, of_place, of_predicted = lookups
    known = np.zeros((channels + 1, height + 2, width + 3), np.int16)  # 2 rows above, 2 columns left, 1 right
    places = np.zeros((height, width), np.int64)
    at, sign_at = np.empty(_INPUTS, np.int64), np.empty(_SIGN_INPUTS, np.int64)
    logits = np.empty(_INPUTS, np.int64)
    ahead = np.empty((height, width), np.int32)
    sign_sets = _SETS * DECISIONS * _WIDTH, _SETS * DECISIONS * _WIDTH + _SIGN_INPUTS + 1
    for c in range(channels):
        total, count = model.means[c] * _PAST, np.int64(_PAST)
        here = known[c]
        _predict(ahead, known, model.earlier[c], model.coefficients[c, NEIGHBOURS:], model.constants[c])
        of_neighbours = model.coefficients[c]
        before, second_before = known[model.earlier[c, 0]], known[model.earlier[c, min(1, model.earlier.shape[1] - 1)]]
        for i in range(height):
            mean = np.int64(of_mean[min((total // count) >> model.shifts[1], FINEST - 1)])
            above, row = here[i + 1], here[i + 2]
            for j in range(width):
                west, north = abs(np.int64(row[j + 1])), abs(np.int64(above[j + 2]))
                north_west, north_east = abs(np.int64(above[j + 1])), abs(np.int64(above[j + 3]))
                beyond = abs(np.int64(row[j])) + abs(np.int64(here[i, j + 2]))
                predicted = ahead[i, j] + of_neighbours[0] * west + of_neighbours[1] * north
                predicted += of_neighbours[2] * north_west + of_neighbours[3] * north_east
                guess = np.int64(of_predicted[min(max(predicted, 0) >> model.shifts[0], FINEST - 1)])
                activity = np.int64(of_activity[2 * (west + north) + north_west + north_east + beyond])
                gradient = of_magnitude[min(max(west + north - north_west, 0), LARGEST)]
                others = of_activity[2 * (beyond + north_east)] * MAGNITUDES // ACTIVITIES
                place = of_place[min(places[i, j] >> model.shifts[1], FINEST - 1)]
                at[0] = c * model.per_channel + guess * model.per_channel // PREDICTED
                at[1] = guess * ACTIVITIES + activity
                at[2] = guess * MEANS + mean
                at[3] = (guess * MAGNITUDES + of_magnitude[west]) * MAGNITUDES + of_magnitude[north]
                at[4] = (np.int64(gradient) * MAGNITUDES + others) * PLACES + place
                at[0] *= _OF_CHANNEL
                for k in range(1, _INPUTS):
                    at[k] = starts[k - 1] + at[k] * DECISIONS
                first = activity * 6 // ACTIVITIES * DECISIONS * _WIDTH
                second = (6 + guess // 2) * DECISIONS * _WIDTH

                symbol = np.int64(0) if mode == DECODE else np.int64(maps[c, i, j])
                size = abs(symbol) if model.signed else symbol & 0xFFFFFFFF
                step = np.int64(0)
                bit = 1
                while bit == 1 and step < DECISIONS:
                    bit = 1 if size > step else 0
                    bit, coder = mixed(bit, slots, at, weights, (first, second), _INPUTS, logits, coder, words, mode)
                    step += bit
                    if 0 < step < _OF_CHANNEL:
                        at[0] += 1
                    for k in range(1, _INPUTS):
                        at[k] += 1
                    first += _WIDTH
                    second += _WIDTH
                if bit == DAMAGED:
                    return False
                if bit == 1:
                    rest, coder = _rest(size - DECISIONS + 1, slots, starts[4] + guess * _TAIL, coder, words, mode)
                    if rest < 1 or rest + DECISIONS - 1 > 0xFFFFFFFF:
                        return False
                    step = rest + DECISIONS - 1
                if mode == DECODE:
                    symbol = step
                if step > 0 and model.signed:
                    bit = 1 if symbol < 0 else 0
                    near = _sign(row[j + 1]) * 3 + _sign(above[j + 2])
                    behind = _sign(before[i + 2, j + 2]) * 3 + _sign(second_before[i + 2, j + 2])
                    sign_at[0] = starts[5] + c * 3 + behind // 3
                    sign_at[1] = starts[6] + near * 9 + behind
                    bit, coder = mixed(
                        bit, slots, sign_at, weights, sign_sets, _SIGN_INPUTS, logits, coder, words, mode
                    )
                    if bit == DAMAGED:
                        return False
                    if mode == DECODE and bit == 1:
                        symbol = -step
                if mode == DECODE:
                    if model.signed and not -(1 << 31) <= symbol < 1 << 31:
                        return False
                    maps[c, i, j] = np.int32(symbol) if symbol < 1 << 31 else np.int32(symbol - (1 << 32))
                seen = min(step, LARGEST)
                row[j + 2] = -seen if symbol < 0 else seen
                total += seen << 10
                places[i, j] += ((seen << _PLACE_SHIFT) - places[i, j]) >> _SLOW
            count += width
    state[0], state[1], state[2], state[3] = coder
    if mode == ENCODE:
        state[2] = coder[3]
    return True


@njit(nogil=True, cache=True)
def _predict(ahead, known, earlier, coefficients, constant):  # type: ignore[no-untyped-def]
    """Fill ``ahead`` with what a constant and the earlier channels add to a channel's predictions."""
    ahead[:] = constant
    for k in range(len(earlier)):
        plane, coefficient = known[earlier[k]], np.int32(coefficients[k])
        for i in range(ahead.shape[0]):
            for j in range(ahead.shape[1]):
                ahead[i, j] += coefficient * abs(np.int32(plane[i + 2, j + 2]))


@njit(nogil=True, cache=True, inline="always")
def _sign(value):  # type: ignore[no-untyped-def]
    return 1 if value > 0 else 2 if value < 0 else 0


@njit(nogil=True, cache=True)
def _rest(number, slots, start, coder, words, mode):  # type: ignore[no-untyped-def]
    """Code a number of at least 1: its length in unary, then the bits below the highest. Returns it, and the coder."""
    length, bit = np.int64(0), 1
    while bit == 1:
        if length > _LONGEST:
            return np.int64(DAMAGED), coder
        bit = 1 if number >> (length + 1) > 0 else 0
        bit, coder = alone(bit, slots, start + min(length, _LENGTHS - 1), coder, words, mode)
        length += bit
    if bit == DAMAGED:
        return np.int64(DAMAGED), coder
    result = np.int64(1)
    for place in range(length - 1, -1, -1):
        bit = 1 if (number >> place) & 1 == 1 else 0
        if result < 4:
            slot = start + _LENGTHS + min(length, _FIRST_BITS) * 3 - 3 + result - 1
            bit, coder = alone(bit, slots, slot, coder, words, mode)
        else:
            bit, coder = coded(bit, np.int64(32768), coder, words, mode)
        if bit == DAMAGED:
            return np.int64(DAMAGED), coder
        result = 2 * result + bit
    return result, coder


__all__ = ["DECODE", "ENCODE", "LEARN", "Running", "most_bits", "new_slots", "run", "slot_count", "weight_count"]

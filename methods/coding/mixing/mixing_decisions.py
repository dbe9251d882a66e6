"""One binary decision: its probability, mixed of several, the range coder's step, and what is learned of it.

The mixture is logistic: its logit is the sum of its inputs' logits, each times a weight; weights follow the gradient of
the code length (Mahoney, 2005). Two sets of weights, each chosen by a small context, add up. Weights are multiples of
1/65536.
"""

import numpy as np
from numba import njit

from splitbench.methods.coding.entropy.adaptive_range_coder import put, take
from splitbench.methods.coding.mixing.mixing_logistic import SQUASH, STEEPEST, STRETCH, adapt

LEARN, ENCODE, DECODE = 0, 1, 2
"""What a pass over the symbols is for. One that learns adds up, in the coder's window, what coding them would take."""

BIT = 1 << 20
"""Of those sums."""

DAMAGED = -1

_BIAS = 256  # the logit of an input that is always there
_RATE = 2
_RATE_SHIFT = 18
_LIMIT = 255  # of slots' counts
_LENGTHS = np.round(BIT * (16 - np.log2(np.arange(65537).clip(1)))).astype(np.uint64)  # by probability
_NEVER = 64  # of 65536: decisions that are not mixed keep this far from 0 and 1


@njit(nogil=True, cache=True, inline="always")
def coded(bit, probable, coder, words, mode):  # type: ignore[no-untyped-def]
    """Code ``bit``, which is 1 with probability ``probable`` / 65536; or decode it.

    ``coder`` is (low, size, window, count) of ``adaptive_range_coder.py``. Returns the bit, DAMAGED for bytes that
    no encoder writes, and the coder.
    """
    low, size, window, count = coder
    scale, share = size >> np.uint64(16), np.uint64(probable)
    if mode == DECODE:
        ahead = window - low
        if ahead >= scale << np.uint64(16):
            return DAMAGED, coder
        if ahead < scale * share:
            low, size, window, count = take(low, size, window, count, words, scale, np.uint64(0), share)
            return 1, (low, size, window, count)
        low, size, window, count = take(low, size, window, count, words, scale, share, np.uint64(65536) - share)
        return 0, (low, size, window, count)
    left = np.uint64(0) if bit == 1 else share
    if bit == 0:
        share = np.uint64(65536) - share
    if mode == ENCODE:
        low, size, count = put(low, size, count, words, scale, left, share)
    else:
        window += _LENGTHS[share]
    return bit, (low, size, window, count)


@njit(nogil=True, cache=True, inline="always")
def mixed(bit, slots, at, weights, sets, inputs, logits, coder, words, mode):  # type: ignore[no-untyped-def]
    """Code a decision that several contexts are asked about, and learn of it.

    Args:
        bit: What it comes to, where that is known.
        slots: All probabilities.
        at: The place of each input's slot.
        weights: All weights.
        sets: Where the two sets of weights begin.
        inputs: How many there are, without the bias.
        logits: Room for the inputs' logits.
        coder: See :func:`coded`.
        words: The stream.
        mode: See above.

    Returns:
        The bit and the coder.
    """
    first, second = sets
    total = _BIAS * (weights[first + inputs] + weights[second + inputs])
    for i in range(inputs):
        logits[i] = STRETCH[slots[at[i]] >> np.uint32(20)]
        total += logits[i] * (weights[first + i] + weights[second + i])
    probable = np.int64(SQUASH[min(max(total >> 16, -STEEPEST), STEEPEST) + 2048])
    bit, coder = coded(bit, probable, coder, words, mode)
    error = ((65536 if bit == 1 else 0) - probable) * _RATE
    for i in range(inputs):
        step = (logits[i] * error + (1 << (_RATE_SHIFT - 1))) >> _RATE_SHIFT
        weights[first + i] += step
        weights[second + i] += step
        adapt(slots, at[i], bit == 1, _LIMIT)
    step = (_BIAS * error + (1 << (_RATE_SHIFT - 1))) >> _RATE_SHIFT
    weights[first + inputs] += step
    weights[second + inputs] += step
    return bit, coder


@njit(nogil=True, cache=True, inline="always")
def alone(bit, slots, at, coder, words, mode):  # type: ignore[no-untyped-def]
    """Code a decision by one slot, and learn of it. Returns the bit and the coder."""
    probable = min(max(np.int64(slots[at] >> np.uint32(16)), _NEVER), 65536 - _NEVER)
    bit, coder = coded(bit, probable, coder, words, mode)
    adapt(slots, at, bit == 1, _LIMIT)
    return bit, coder

"""Zero-run-length coding of small symbols into bits, without tables.

Symbols are 0 .. 2**bits - 1, and 0 is by far the most frequent. They are read as runs of zeros, each ended by one
*literal* (a symbol that is not 0); the last run may end with the symbols. Written, in this order:

    byte 0, framing   mode: 0 plain, 1 runs and fixed literals, 2 runs and Rice literals
    byte 1, side      (modes 1, 2) Rice parameter of the runs in the low 4 bits, of the literals in the high 4 bits
    payload           bits, most significant first, the last byte filled with zeros
        mode 0        every symbol in ``bits`` bits
        modes 1, 2    run, literal, run, literal, ... until all symbols are told
                      a run is a Rice code; a literal s is s - 1, in ``bits`` bits (mode 1; none where bits = 1) or
                      as a Rice code (mode 2)

A Rice code with parameter k (Rice and Plaunt, 1971) of v is v >> k ones, a zero, and the k low bits of v. Where there
would be 20 ones or more it is 20 ones and v in 32 bits instead, so that one long run stays cheap. The encoder counts
the bits of every mode and parameter before it writes, and takes the fewest.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.base import BitstreamError

Symbols = npt.NDArray[np.uint8]

FRAMING_BYTES = 1
PLAIN, FIXED, RICE = 0, 1, 2
_LONGEST_UNARY = 20
_ESCAPED = _LONGEST_UNARY + 32
_PARAMETERS = 12  # a code, unary part and low bits together, stays within 32 bits
_SHORT = 256  # runs below this length are counted in a histogram


@njit(nogil=True, cache=True)
def _rice_bits(value: int, k: int) -> int:
    quotient = value >> k
    return quotient + 1 + k if quotient < _LONGEST_UNARY else _ESCAPED


@njit(nogil=True, cache=True)
def _count(symbols):  # type: ignore[no-untyped-def]
    """Histograms of short runs and of symbols, and the bits that all long runs take for every parameter."""
    short = np.zeros(_SHORT, np.int64)
    values = np.zeros(256, np.int64)
    long = np.zeros(_PARAMETERS, np.int64)
    run = 0
    for symbol in symbols:
        if symbol == 0:
            run += 1
            continue
        values[symbol] += 1
        if run < _SHORT:
            short[run] += 1
        else:
            for k in range(_PARAMETERS):
                long[k] += _rice_bits(run, k)
        run = 0
    if run > 0:
        for k in range(_PARAMETERS):
            long[k] += _rice_bits(run, k)
    return short, values, long


@njit(nogil=True, cache=True)
def _cheapest(histogram, base):  # type: ignore[no-untyped-def]
    """The Rice parameter that takes the fewest bits, and how many. ``base[k]`` is added for parameter k."""
    best, fewest = 0, np.int64(2**62)
    for k in range(len(base)):
        bits = base[k]
        for value in range(len(histogram)):
            if histogram[value] > 0:
                bits += histogram[value] * _rice_bits(value, k)
        if bits < fewest:
            best, fewest = k, bits
    return best, fewest


def _codes(k: int, first: int = 0) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Rice codes and their lengths by value less ``first``, for values below 256; an escaped one has length 64."""
    value = np.maximum(np.arange(256) - first, 0)
    quotient = value >> k
    unary = quotient < _LONGEST_UNARY
    code = (((1 << np.minimum(quotient, _LONGEST_UNARY)) - 1) << (k + 1)) | (value & ((1 << k) - 1))
    return code.astype(np.uint64), np.where(unary, quotient + 1 + k, 64).astype(np.uint64)


def _fixed_codes(bits: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The codes s - 1 of literals s in ``bits`` bits; with one bit there is one literal, which needs none."""
    code = np.maximum(np.arange(256) - 1, 0).astype(np.uint64)
    return code, np.full(256, bits if bits > 1 else 0, np.uint64)


@njit(nogil=True, cache=True, inline="always")
def _put(words, waiting, count, at, code, length):  # type: ignore[no-untyped-def]
    """Append ``length`` <= 32 bits to the ``count`` < 32 bits that wait for ``words[at]``; all unsigned."""
    waiting = (waiting << length) | code
    count += length
    if count >= np.uint64(32):
        count -= np.uint64(32)
        words[at] = waiting >> count
        at += np.uint64(1)
    return waiting, count, at


@njit(nogil=True, cache=True, inline="always")
def _put_rice(words, waiting, count, at, value, k):  # type: ignore[no-untyped-def]
    """Append the Rice code of any value, computed."""
    quotient = value >> k
    if quotient < _LONGEST_UNARY:
        code = (((1 << quotient) - 1) << (k + 1)) | (value & ((1 << k) - 1))
        waiting, count, at = _put(words, waiting, count, at, np.uint64(code), np.uint64(quotient + 1 + k))
    else:
        ones = np.uint64((1 << _LONGEST_UNARY) - 1)
        waiting, count, at = _put(words, waiting, count, at, ones, np.uint64(_LONGEST_UNARY))
        waiting, count, at = _put(words, waiting, count, at, np.uint64(value), np.uint64(32))
    return waiting, count, at


@njit(nogil=True, cache=True)
def _write_plain(symbols, bits, words):  # type: ignore[no-untyped-def]
    waiting, count, at = np.uint64(0), np.uint64(0), np.uint64(0)
    for symbol in symbols:
        waiting, count, at = _put(words, waiting, count, at, np.uint64(symbol), np.uint64(bits))
    words[at] = waiting << (np.uint64(32) - count)


@njit(nogil=True, cache=True)
def _write_runs(symbols, run_k, literal_k, run_codes, run_lengths, codes, lengths, words):  # type: ignore[no-untyped-def]
    waiting, count, at = np.uint64(0), np.uint64(0), np.uint64(0)
    run = np.int64(0)
    for symbol in symbols:
        if symbol == 0:
            run += 1
            continue
        length = lengths[symbol]
        both = run_lengths[run] + length if run < 256 else np.uint64(64)
        if both <= np.uint64(32):  # nearly always: one table look-up for the run, one for the literal
            code = (run_codes[run] << length) | codes[symbol]
            waiting, count, at = _put(words, waiting, count, at, code, both)
        else:
            waiting, count, at = _put_rice(words, waiting, count, at, run, run_k)
            if length <= np.uint64(32):
                waiting, count, at = _put(words, waiting, count, at, codes[symbol], length)
            else:
                waiting, count, at = _put_rice(words, waiting, count, at, np.int64(symbol) - 1, literal_k)
        run = np.int64(0)
    if run > 0:
        waiting, count, at = _put_rice(words, waiting, count, at, run, run_k)
    words[at] = waiting << (np.uint64(32) - count)


@njit(nogil=True, cache=True, inline="always")
def _fill(data, waiting, count, at):  # type: ignore[no-untyped-def]
    """Read bytes until more than 56 bits wait; behind the end there are zeros."""
    while count <= np.uint64(56):
        waiting <<= np.uint64(8)
        if at < len(data):
            waiting |= np.uint64(data[at])
        at += 1
        count += np.uint64(8)
    return waiting, count, at


@njit(nogil=True, cache=True, inline="always")
def _take(waiting, count, length):  # type: ignore[no-untyped-def]
    """The next ``length`` of the ``count`` waiting bits, and how many wait then."""
    count -= np.uint64(length)
    return np.int64((waiting >> count) & ((np.uint64(1) << np.uint64(length)) - np.uint64(1))), count


@njit(nogil=True, cache=True, inline="always")
def _take_rice(waiting, count, k, leading):  # type: ignore[no-untyped-def]
    """The next Rice code's value. At least 52 bits must wait. ``leading[byte]`` is how many ones it begins with."""
    quotient = np.int64(leading[(waiting >> (count - np.uint64(8))) & np.uint64(255)])
    if quotient == 8:
        quotient += leading[(waiting >> (count - np.uint64(16))) & np.uint64(255)]
    if quotient == 16:
        quotient += leading[(waiting >> (count - np.uint64(24))) & np.uint64(255)]
    if quotient < _LONGEST_UNARY:
        low, count = _take(waiting, count - np.uint64(quotient + 1), k)
        value = (quotient << k) | low
    else:
        value, count = _take(waiting, count - np.uint64(_LONGEST_UNARY), 32)
    return value, count


_LEADING_ONES = np.array([8 - (255 - byte).bit_length() for byte in range(256)], np.int64)


@njit(nogil=True, cache=True)
def _read(data, symbols, bits, mode, run_k, literal_k, leading):  # type: ignore[no-untyped-def]
    """Fill ``symbols``, all zero before; returns the bytes that they took, or -1 where the bits make no sense."""
    waiting, count, at = np.uint64(0), np.uint64(0), np.int64(0)
    told = np.int64(0)
    while told < len(symbols):
        if at > len(data) + 8:
            return np.int64(-1)
        waiting, count, at = _fill(data, waiting, count, at)
        if mode == PLAIN:
            literal, count = _take(waiting, count, bits)
            symbols[told] = literal
            told += 1
            continue
        run, count = _take_rice(waiting, count, run_k, leading)
        if run > len(symbols) - told:
            return np.int64(-1)
        told += run
        if told == len(symbols):
            break
        literal = np.int64(0)
        if mode == RICE:
            waiting, count, at = _fill(data, waiting, count, at)
            literal, count = _take_rice(waiting, count, literal_k, leading)
        elif bits > 1:
            waiting, count, at = _fill(data, waiting, count, at)
            literal, count = _take(waiting, count, bits)
        if literal > (1 << bits) - 2:
            return np.int64(-1)
        symbols[told] = literal + 1
        told += 1
    used = at - np.int64(count // np.uint64(8))
    filling = waiting & ((np.uint64(1) << (count % np.uint64(8))) - np.uint64(1) << (count - count % np.uint64(8)))
    return used if used <= len(data) and filling == 0 else np.int64(-1)


def encode(symbols: Symbols, bits: int, rice_literals: bool = True) -> bytes:
    """Code a flat array of symbols below ``2**bits``, 1 <= bits <= 8, in the fewest bytes of the modes allowed.

    The result's byte 0 is framing, byte 1 side information unless byte 0 is 0 (plain), the rest payload.
    """
    short, values, long = _count(symbols)
    run_k, run_bits = _cheapest(short, long)
    literals = int(values.sum())
    totals = {PLAIN: len(symbols) * bits, FIXED: 8 + run_bits + (literals * bits if bits > 1 else 0)}
    literal_k = 0
    if rice_literals:
        literal_k, literal_bits = _cheapest(values[1:], np.zeros(8, np.int64))
        totals[RICE] = 8 + run_bits + literal_bits
    mode = min(totals, key=lambda key: totals[key])
    header = bytes([mode]) if mode == PLAIN else bytes([mode, run_k | literal_k << 4])
    total = int(totals[mode]) - (0 if mode == PLAIN else 8)
    words = np.empty(total // 32 + 2, np.uint32)
    if mode == PLAIN:
        _write_plain(symbols, bits, words)
    else:
        literal_codes = _codes(literal_k, first=1) if mode == RICE else _fixed_codes(bits)
        _write_runs(symbols, run_k, literal_k, *_codes(run_k), *literal_codes, words)
    return header + words.astype(">u4").tobytes()[: (total + 7) // 8]


def side_bytes(data: bytes) -> int:
    """Bytes of side information in what ``encode`` returned; the framing is always ``FRAMING_BYTES``."""
    return 0 if data[0] == PLAIN else 1


def decode(data: memoryview, count: int, bits: int) -> tuple[Symbols, int]:
    """``count`` symbols from the beginning of ``data``, and the number of bytes that they took.

    Raises:
        BitstreamError: the bytes end too early or could not have been written by ``encode``.
    """
    if len(data) < 1 or data[0] > RICE or (data[0] != PLAIN and len(data) < 2):
        raise BitstreamError("damaged bitstream: no valid header of a zero-run code")
    mode = data[0]
    header = 1 if mode == PLAIN else 2
    run_k, literal_k = (0, 0) if mode == PLAIN else (data[1] & 15, data[1] >> 4)
    if run_k >= _PARAMETERS or literal_k >= 8:
        raise BitstreamError("damaged bitstream: a Rice parameter is out of range")
    payload = np.frombuffer(data, np.uint8)[header:]
    symbols = np.zeros(count, np.uint8)
    used = _read(payload, symbols, bits, mode, run_k, literal_k, _LEADING_ONES)
    if used < 0:
        raise BitstreamError("damaged bitstream: its zero-run code does not tell the expected number of symbols")
    return symbols, header + int(used)

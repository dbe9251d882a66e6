"""Zero-run-length coding of small symbols into bits, without tables.

Symbols are 0 .. 2**bits - 1, and 0 is by far the most frequent. They are read as runs of zeros, each ended by one
*literal* (a symbol that is not 0); the last run may end with the symbols. Written, in this order:

    byte 0, framing   mode: 0 plain, 1 runs and fixed literals, 2 runs and Rice literals
    byte 1, side      (modes 1, 2) Rice parameter of the runs in the low 4 bits, of the literals in the high 4 bits
    payload           bits, most significant first, the last byte filled with zeros
        mode 0        every symbol in ``bits`` bits
        modes 1, 2    run, literal, run, literal, ... until all symbols are coded
                      a run is a Rice code; a literal s is s - 1, in ``bits`` bits (mode 1; none where bits = 1) or
                      as a Rice code (mode 2)

A Rice code with parameter k (Rice and Plaunt, 1971) of v is v >> k ones, a zero, and the k low bits of v. Where there
would be 20 ones or more it is 20 ones and v in 32 bits instead, so that one long run stays cheap. The encoder counts
the bits of every mode and parameter before it writes, and takes the fewest.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Symbols = npt.NDArray[np.uint8]

FRAMING_BYTES = 1
PLAIN, FIXED, RICE = 0, 1, 2
LONGEST_UNARY = 20
ESCAPED = LONGEST_UNARY + 32
PARAMETERS = 12  # a code, unary part and low bits together, stays within 32 bits
LITERAL_PARAMETERS = 8
_SHORT = 256  # runs below this length are counted in a histogram, and coded from a table


# -- how many bits ----------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _rice_bits(value: int, k: int) -> int:
    quotient = value >> k
    return quotient + 1 + k if quotient < LONGEST_UNARY else ESCAPED


@njit(nogil=True, cache=True)
def runs_and_literals(symbols, runs, literals):  # type: ignore[no-untyped-def]
    """Every run of zeros and the literal that ends it; returns how many, and the last run, which none ends.

    There is no branch on a symbol: in the middle rates no processor could foresee it.
    """
    count = np.uint64(0)
    run = np.int32(0)
    for symbol in symbols:
        runs[count] = run
        literals[count] = symbol
        is_literal = np.int32(symbol != 0)
        count += np.uint64(is_literal)
        run = (run + np.int32(1)) & (is_literal - np.int32(1))
    return np.int64(count), np.int64(run)


@njit(nogil=True, cache=True)
def _counted(runs, literals, count, last):  # type: ignore[no-untyped-def]
    """Histograms of short runs and of literals, and the bits that all long runs take for every parameter."""
    short = np.zeros((2, _SHORT), np.int64)  # two: a count that was just stored cannot be read again at once
    values = np.zeros((2, 256), np.int64)
    long = np.zeros(PARAMETERS, np.int64)
    for i in range(count):
        run = runs[i]
        values[i & 1, literals[i]] += 1
        if run < _SHORT:
            short[i & 1, run] += 1
        else:
            for k in range(PARAMETERS):
                long[k] += _rice_bits(np.int64(run), k)
    if last > 0:
        for k in range(PARAMETERS):
            long[k] += _rice_bits(last, k)
    return short[0] + short[1], values[0] + values[1], long


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


@njit(nogil=True, cache=True)
def _choice(short, values, long, size, bits, rice):  # type: ignore[no-untyped-def]
    """Mode, parameters of runs and literals, and the bits of the payload: the fewest of all modes."""
    run_k, run_bits = _cheapest(short, long)
    literals = values.sum()
    mode, literal_k, total = PLAIN, 0, np.int64(size * bits)
    fixed = run_bits + (literals * bits if bits > 1 else 0)
    if 8 + fixed < total:
        mode, total = FIXED, 8 + fixed
    if rice:  # the parameter is sent in mode 1, too, where nothing follows from it
        literal_k, literal_bits = _cheapest(values[1:], np.zeros(LITERAL_PARAMETERS, np.int64))
        if 8 + run_bits + literal_bits < total:
            mode, total = RICE, 8 + run_bits + literal_bits
    return mode, run_k, literal_k, total - (0 if mode == PLAIN else 8)


# -- writing ----------------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _tables(mode, run_k, literal_k, bits):  # type: ignore[no-untyped-def]
    """The codes of short runs and of literals, each with its length; 64 for those that are too long for a table."""
    codes = np.zeros((2, 256), np.uint64)
    lengths = np.zeros((2, 256), np.uint64)
    for kind in range(2):
        k = run_k if kind == 0 else literal_k
        for value in range(256):
            number = value if kind == 0 else max(value - 1, 0)
            if kind == 1 and mode == FIXED:  # with one bit there is one literal, which needs none
                codes[kind, value], lengths[kind, value] = number, bits if bits > 1 else 0
            elif number >> k < LONGEST_UNARY:
                quotient = number >> k
                codes[kind, value] = (((1 << quotient) - 1) << (k + 1)) | (number & ((1 << k) - 1))
                lengths[kind, value] = quotient + 1 + k
            else:
                lengths[kind, value] = 64
    return codes, lengths


@njit(nogil=True, cache=True, inline="always")
def _put(data, waiting, count, at, code, length):  # type: ignore[no-untyped-def]
    """Append ``length`` <= 32 bits to the ``count`` < 32 bits that wait for ``data[at]``; all unsigned.

    Four bytes are written in any case: what is not full yet is written again, in the end by appending nothing.
    """
    waiting = (waiting << length) | code
    count += length
    full = (waiting << (np.uint64(63) - count)) << np.uint64(1)
    data[at] = full >> np.uint64(56)
    data[at + np.uint64(1)] = full >> np.uint64(48)
    data[at + np.uint64(2)] = full >> np.uint64(40)
    data[at + np.uint64(3)] = full >> np.uint64(32)
    at += (count >> np.uint64(5)) << np.uint64(2)
    return waiting, count & np.uint64(31), at


@njit(nogil=True, cache=True, inline="always")
def _put_rice(data, waiting, count, at, value, k):  # type: ignore[no-untyped-def]
    """Append the Rice code of any value, computed."""
    quotient = value >> k
    if quotient < LONGEST_UNARY:
        code = (((1 << quotient) - 1) << (k + 1)) | (value & ((1 << k) - 1))
        waiting, count, at = _put(data, waiting, count, at, np.uint64(code), np.uint64(quotient + 1 + k))
    else:
        ones = np.uint64((1 << LONGEST_UNARY) - 1)
        waiting, count, at = _put(data, waiting, count, at, ones, np.uint64(LONGEST_UNARY))
        waiting, count, at = _put(data, waiting, count, at, np.uint64(value), np.uint64(32))
    return waiting, count, at


@njit(nogil=True, cache=True)
def _write_plain(symbols, bits, data):  # type: ignore[no-untyped-def]
    waiting, count, at = np.uint64(0), np.uint64(0), np.uint64(0)
    for symbol in symbols:
        waiting, count, at = _put(data, waiting, count, at, np.uint64(symbol), np.uint64(bits))
    _put(data, waiting, count, at, np.uint64(0), np.uint64(0))


@njit(nogil=True, cache=True)
def _write_runs(runs, literals, pairs, last, run_k, literal_k, codes, lengths, data):  # type: ignore[no-untyped-def]
    waiting, count, at = np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(pairs):
        run, literal = runs[i], literals[i]
        length = lengths[1, literal]
        both = length + (lengths[0, run] if run < _SHORT else np.uint64(64))
        if both <= np.uint64(32):  # nearly always: one table look-up for the run, one for the literal
            code = (codes[0, run] << length) | codes[1, literal]
            waiting, count, at = _put(data, waiting, count, at, code, both)
        else:
            waiting, count, at = _put_rice(data, waiting, count, at, np.int64(run), run_k)
            if length <= np.uint64(32):
                waiting, count, at = _put(data, waiting, count, at, codes[1, literal], length)
            else:
                waiting, count, at = _put_rice(data, waiting, count, at, np.int64(literal) - 1, literal_k)
    if last > 0:
        waiting, count, at = _put_rice(data, waiting, count, at, last, run_k)
    _put(data, waiting, count, at, np.uint64(0), np.uint64(0))


@njit(nogil=True, cache=True)
def _encode_rows(rows, bits, rice, data, ends):  # type: ignore[no-untyped-def]
    """Every row's code, one behind the other into ``data``; ``ends`` are where each one ends."""
    runs = np.empty(rows.shape[1] + 1, np.int32)
    literals = np.empty(rows.shape[1] + 1, np.uint8)
    at = 0
    for row in range(len(rows)):
        pairs, last = runs_and_literals(rows[row], runs, literals)
        short, values, long = _counted(runs, literals, pairs, last)
        mode, run_k, literal_k, total = _choice(short, values, long, rows.shape[1], bits, rice)
        data[at] = mode
        at += 1
        if mode == PLAIN:
            _write_plain(rows[row], bits, data[at:])
        else:
            data[at] = run_k | literal_k << 4
            at += 1
            codes, lengths = _tables(mode, run_k, literal_k, bits)
            _write_runs(runs, literals, pairs, last, run_k, literal_k, codes, lengths, data[at:])
        at += (total + 7) // 8
        ends[row] = at


def encode_rows(rows: Symbols, bits: int, rice_literals: bool = True) -> list[bytes]:
    """Code every row of symbols (B, N) below ``2**bits``, 1 <= bits <= 8, in the fewest bytes of the modes allowed.

    A result's byte 0 is framing, byte 1 side information unless byte 0 is 0 (plain), the rest payload.
    """
    count, size = rows.shape
    data = np.empty(count * (1 + (size * bits + 7) // 8) + 16, np.uint8)  # no code is longer than the plain one
    ends = np.empty(count, np.int64)
    _encode_rows(np.ascontiguousarray(rows), bits, rice_literals, data, ends)
    return [data[start:end].tobytes() for start, end in zip([0, *ends][:count], ends, strict=True)]


def side_bytes(data: bytes) -> int:
    """Bytes of side information in what ``encode_rows`` returned for a row; the framing is always ``FRAMING_BYTES``."""
    return 0 if data[0] == PLAIN else 1

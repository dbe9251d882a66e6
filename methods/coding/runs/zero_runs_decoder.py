"""Reads what ``zero_runs.py`` writes: several codes by one look-up, and only what its encoder could have written."""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.runs.zero_runs import (
    ESCAPED,
    LITERAL_PARAMETERS,
    LONGEST_UNARY,
    PARAMETERS,
    PLAIN,
    RICE,
    Symbols,
)

_WINDOW = 13  # bits that are decoded by one look-up
_LOOKUPS = 4  # in the bits that are read at once


@njit(nogil=True, cache=True, inline="always")
def _bits_at(data, place):  # type: ignore[no-untyped-def]
    """At least 57 bits from bit ``place`` on, the first one highest; 8 bytes must be there."""
    at = place >> np.uint64(3)
    bits_read = np.uint64(0)
    for i in range(8):
        bits_read |= np.uint64(data[at + np.uint64(i)]) << np.uint64(56 - 8 * i)
    return bits_read << (place & np.uint64(7))


@njit(nogil=True, cache=True, inline="always")
def _rice_at(bits_read, k, leading):  # type: ignore[no-untyped-def]
    """The value and the length of the Rice code that some bits begin with. ``leading[byte]``: how many ones first."""
    quotient = np.uint64(leading[bits_read >> np.uint64(56)])
    if quotient == np.uint64(8):
        quotient += np.uint64(leading[(bits_read >> np.uint64(48)) & np.uint64(255)])
    if quotient == np.uint64(16):
        quotient += np.uint64(leading[(bits_read >> np.uint64(40)) & np.uint64(255)])
    if quotient < np.uint64(LONGEST_UNARY):
        length = quotient + np.uint64(1) + np.uint64(k)
        low = (bits_read >> (np.uint64(64) - length)) & ((np.uint64(1) << np.uint64(k)) - np.uint64(1))
        return np.int64((quotient << np.uint64(k)) | low), length
    return np.int64((bits_read >> np.uint64(12)) & np.uint64(0xFFFFFFFF)), np.uint64(ESCAPED)


_LEADING_ONES = np.array([8 - (255 - byte).bit_length() for byte in range(256)], np.uint8)


@njit(nogil=True, cache=True)
def _windows(mode, bits, run_k, literal_k, leading):  # type: ignore[no-untyped-def]
    """What the next bits mean, for all that they can be: runs and literals that are whole within them.

    Per window up to 8 symbols from the first literal on, packed; and, in one number, how many these are (bits 4 to 7; 0
    where not even the first literal is whole), how many bits they take (0 to 3) and the run before them (8 and higher).
    """
    packed = np.zeros(1 << _WINDOW, np.uint64)
    about = np.zeros(1 << _WINDOW, np.uint32)
    for window in range(1 << _WINDOW):
        place, done, first = 0, 0, 0
        while done < 8:
            left = np.uint64(window) << np.uint64(64 - _WINDOW + place)
            run, run_length = _rice_at(left, run_k, leading)
            at = place + int(run_length)
            if at > _WINDOW:
                break
            left = np.uint64(window) << np.uint64(64 - _WINDOW + at) if at < _WINDOW else np.uint64(0)
            literal = np.int64(0)
            if mode == RICE:
                literal, length = _rice_at(left, literal_k, leading)
                at += int(length)
            elif bits > 1:
                literal = np.int64(left >> np.uint64(64 - bits))
                at += bits
            zeros = run if done > 0 else 0
            if at > _WINDOW or literal > (1 << bits) - 2 or done + zeros + 1 > 8:
                break
            if done == 0:
                first = run
            done += zeros
            packed[window] |= np.uint64(literal + 1) << np.uint64(8 * done)
            done += 1
            place = at
            about[window] = first << 8 | done << 4 | place
            if place == _WINDOW:
                break
    return packed, about


@njit(nogil=True, cache=True)
def _read_runs(data, length, symbols, bits, mode, run_k, literal_k, leading, windows):  # type: ignore[no-untyped-def]
    """Fill ``symbols``, all zero before; returns the bits that they took, or -1 where the bits make no sense.

    ``data`` has 16 bytes more than ``length``, all zero.
    """
    packed, about = windows
    place, done = np.uint64(0), np.int64(0)
    size = len(symbols)
    while done < size:
        if place > np.uint64(8 * length):
            return np.int64(-1)
        bits_read = _bits_at(data, place)
        whole = True
        for _ in range(_LOOKUPS):
            window = bits_read >> np.uint64(64 - _WINDOW)
            facts = about[window]
            start = done + np.int64(facts >> np.uint32(8))
            several = np.int64((facts >> np.uint32(4)) & np.uint32(15))
            if several == 0 or start + 8 > size:
                whole = False
                break
            word = packed[window]
            begin = np.uint64(start)
            for i in range(8):
                symbols[begin + np.uint64(i)] = np.uint8(word >> np.uint64(8 * i))
            done = start + several
            consumed = np.uint64(facts & np.uint32(15))
            place += consumed
            bits_read <<= consumed
        if whole or done == size:
            continue
        bits_read = _bits_at(data, place)
        run, used = _rice_at(bits_read, run_k, leading)
        if run > size - done:
            return np.int64(-1)
        place += used
        done += run
        if done == size:
            break
        if place > np.uint64(8 * length):
            return np.int64(-1)
        literal = np.int64(0)
        if mode == RICE:
            literal, used = _rice_at(_bits_at(data, place), literal_k, leading)
            place += used
        elif bits > 1:
            literal = np.int64(_bits_at(data, place) >> np.uint64(64 - bits))
            place += np.uint64(bits)
        if literal > (1 << bits) - 2:
            return np.int64(-1)
        symbols[done] = literal + 1
        done += 1
    return np.int64(place)


@njit(nogil=True, cache=True)
def _read_plain(data, symbols, bits):  # type: ignore[no-untyped-def]
    place = np.uint64(0)
    for i in range(len(symbols)):
        symbols[i] = _bits_at(data, place) >> np.uint64(64 - bits)
        place += np.uint64(bits)
    return np.int64(place)


@lru_cache(maxsize=64)
def _known_windows(mode: int, bits: int, run_k: int, literal_k: int) -> Any:
    return _windows(mode, bits, run_k, literal_k, _LEADING_ONES)


def decode(data: memoryview, count: int, bits: int) -> tuple[Symbols, int]:
    """``count`` symbols from the beginning of ``data``, and the number of bytes that they took.

    Raises:
        BitstreamError: the bytes end too early or could not have been written by ``encode_rows``.
    """
    if len(data) < 1 or data[0] > RICE or (data[0] != PLAIN and len(data) < 2):
        raise BitstreamError("damaged bitstream: no valid header of a zero-run code")
    mode = data[0]
    header = 1 if mode == PLAIN else 2
    run_k, literal_k = (0, 0) if mode == PLAIN else (data[1] & 15, data[1] >> 4)
    if run_k >= PARAMETERS or literal_k >= LITERAL_PARAMETERS:
        raise BitstreamError("damaged bitstream: a Rice parameter is out of range")
    # No code is longer than the plain one, so that what follows it in the bitstream need not be read.
    payload = np.frombuffer(data[header : header + (count * bits + 7) // 8], np.uint8)
    padded = np.zeros(len(payload) + 16, np.uint8)
    padded[: len(payload)] = payload
    symbols = np.zeros(count, np.uint8)
    used: int
    if mode != PLAIN:
        windows = _known_windows(mode, bits, run_k, literal_k)
        parameters = (bits, mode, run_k, literal_k)
        used = int(_read_runs(padded, len(payload), symbols, *parameters, _LEADING_ONES, windows))
    else:
        used = int(_read_plain(padded, symbols, bits)) if 8 * len(payload) >= count * bits else -1
    end = (used + 7) // 8
    filling = int(padded[end - 1]) & ((1 << (8 * end - used)) - 1) if used > 0 else 0
    if used < 0 or end > len(payload) or filling:
        raise BitstreamError("damaged bitstream: its zero-run code does not have the expected number of symbols")
    return symbols, header + end

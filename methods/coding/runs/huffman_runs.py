"""Zero-run-length coding with Huffman codes that are fitted to each image and sent with it.

Symbols are read as runs of zeros, each ended by one literal, as in ``zero_runs.py``; the last run may end with the
symbols. A run and whether its literal is more than 1 are one *token*, as run and size are in JPEG, since a literal by
itself would take a whole bit or more where nearly all are 1. Written, in this order:

    byte 0, framing       mode: 3, or another where ``zero_runs.py`` takes fewer bytes and has written all of it
    bytes 1, 2, side      how many tokens, and how many larger literals have a code: up to the highest that occurs
    side                  the lengths of their codes in 4 bits each, to the next full byte; 0 for those that do not
                          occur, and all 0 where only the highest occurs, which takes no bits
    payload               bits, most significant first, the last byte filled with zeros
                          token, low bits of its run, larger literal, token, ... until all symbols are coded

A run below 16 has a separate token; above, two share a number of bits, distinguished by the second, and the bits
below follow in the payload. Codes are canonical (shorter ones first, equally long ones in the order of what they stand
for) and of 12 bits at most.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.entropy.bits import fill, put, take
from splitbench.methods.coding.entropy.huffman import code_lengths
from splitbench.methods.coding.runs import zero_runs, zero_runs_decoder
from splitbench.methods.coding.runs.zero_runs import Symbols

HUFFMAN = 3  # the mode, beside those of zero_runs
_HEADER = 3
_LONGEST = 12
_DIRECT_BITS = 4
_DIRECT = 2**_DIRECT_BITS  # runs below have tokens of their own
_RUNS = _DIRECT + 2 * (31 - _DIRECT_BITS)
_TOKENS = 2 * _RUNS

_Numbers = npt.NDArray[np.int64]


# -- codes ------------------------------------------------------------------------------------------------------------


def _lengths(counts: _Numbers) -> _Numbers:
    """Return the lengths of a prefix code of at most ``_LONGEST`` bits for what occurs, up to the highest that does."""
    used = np.flatnonzero(counts)
    lengths = np.zeros(used[-1] + 1 if len(used) else 0, np.int64)
    if len(used) < 2:
        return lengths
    frequencies = counts[used]
    lengths[used] = code_lengths(frequencies.tolist())
    while lengths.max() > _LONGEST:
        frequencies = frequencies + 1 >> 1  # flatter, so that the rarest come nearer to the others
        lengths[used] = code_lengths(frequencies.tolist())
    return lengths


def _lookup(lengths: _Numbers) -> npt.NDArray[np.int32]:
    """Return what any next ``_LONGEST`` bits begin with: what it stands for times 16, plus its code's length.

    Raises:
        BitstreamError: no prefix code has these lengths.
    """
    used = np.flatnonzero(lengths)
    if not len(used):
        return np.full(2**_LONGEST, 16 * max(len(lengths) - 1, 0), np.int32)
    order = used[np.argsort(lengths[used], kind="stable")]
    if lengths.max() > _LONGEST or (2 ** (_LONGEST - lengths[order])).sum() != 2**_LONGEST or not lengths[-1]:
        raise BitstreamError("damaged bitstream: its Huffman codes are none")
    return np.repeat(order << 4 | lengths[order], 2 ** (_LONGEST - lengths[order])).astype(np.int32)


def _codes(lengths: _Numbers) -> npt.NDArray[np.uint64]:
    """Return the code of each, where its length is not 0."""
    windows = np.zeros(len(lengths), np.uint64)
    used = np.flatnonzero(lengths)
    order = used[np.argsort(lengths[used], kind="stable")]
    room = 2 ** (_LONGEST - lengths[order])
    windows[order] = (np.cumsum(room) - room) >> (_LONGEST - lengths[order])
    return windows


# -- kernels ----------------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True, inline="always")
def _token_of(run):  # type: ignore[no-untyped-def]
    """A run's token, still without its literal, and how many low bits follow it."""
    if run < _DIRECT:
        return run, 0
    bits = 0
    while run >> (bits + 1) > 0:
        bits += 1
    return _DIRECT + 2 * (bits - _DIRECT_BITS) + ((run >> (bits - 1)) & 1), bits - 1


@njit(nogil=True, cache=True)
def _counted(runs, literals, count, last):  # type: ignore[no-untyped-def]
    """How often each token and each larger literal occurs, and the low bits of all runs."""
    tokens, larger, low = np.zeros(_TOKENS, np.int64), np.zeros(254, np.int64), 0
    for i in range(count):
        token, bits = _token_of(np.int64(runs[i]))
        literal = np.int64(literals[i])
        tokens[2 * token + (literal > 1)] += 1
        if literal > 1:
            larger[literal - 2] += 1
        low += bits
    if last > 0:
        token, bits = _token_of(last)
        tokens[2 * token] += 1
        low += bits
    return tokens, larger, low


@njit(nogil=True, cache=True)
def _write(runs, literals, count, last, tokens, larger, words):  # type: ignore[no-untyped-def]
    """Fill ``words``, big-endian in the end, by codes and lengths (2, ...) of tokens and larger literals."""
    waiting, have, at = np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(count + (last > 0)):
        run = np.int64(runs[i]) if i < count else last
        literal = np.int64(literals[i]) if i < count else 1
        token, bits = _token_of(run)
        place = 2 * token + (literal > 1)
        low = np.uint64(run & ((1 << bits) - 1))
        waiting, have, at = put(words, waiting, have, at, tokens[0, place], tokens[1, place])
        waiting, have, at = put(words, waiting, have, at, low, np.uint64(bits))
        if literal > 1:
            waiting, have, at = put(words, waiting, have, at, larger[0, literal - 2], larger[1, literal - 2])
    put(words, waiting, have, at, np.uint64(0), np.uint64(32) - have)


@njit(nogil=True, cache=True)
def _read(data, symbols, tokens, larger):  # type: ignore[no-untyped-def]
    """Fill ``symbols``, all zero before, by look-ups; return how many bits they took, or -1 where these make no sense.

    Behind the end of ``data`` there are zeros, which the caller notices by the number of bits.
    """
    waiting, have, at = np.uint64(0), np.uint64(0), np.int64(0)
    done, size = np.int64(0), len(symbols)
    while done < size:
        if at > len(data) + 16:
            return np.int64(-1)
        waiting, have, at = fill(data, waiting, have, at)
        entry = tokens[(waiting >> (have - np.uint64(_LONGEST))) & np.uint64(2**_LONGEST - 1)]
        have -= np.uint64(entry & 15)
        token = np.int64(entry >> 5)
        is_larger = (entry >> 4) & 1
        run = token
        if token >= _DIRECT:
            bits = _DIRECT_BITS + (token - _DIRECT) // 2 - 1
            low, have = take(waiting, have, bits)
            run = ((2 + (token - _DIRECT) % 2) << bits) | low
        if run > size - done or (run == size - done and is_larger):
            return np.int64(-1)
        done += run
        if done == size:
            break
        literal = np.int64(1)
        if is_larger:
            entry = larger[(waiting >> (have - np.uint64(_LONGEST))) & np.uint64(2**_LONGEST - 1)]
            have -= np.uint64(entry & 15)
            literal = np.int64(entry >> 4) + 2
        symbols[done] = literal
        done += 1
    return 8 * at - np.int64(have)


# -- encoding and decoding --------------------------------------------------------------------------------------------


def encode_rows(rows: Symbols, bits: int) -> list[tuple[bytes, int]]:
    """Code every row of symbols (B, N) below ``2**bits``: its code, and how many bytes of that are side information.

    Its first byte is framing.
    """
    others = zero_runs.encode_rows(rows, bits)
    huffman_coded = [_encode(row) for row in np.ascontiguousarray(rows)]
    return [
        coded if coded is not None and len(coded[0]) < len(other) else (other, zero_runs.side_bytes(other))
        for coded, other in zip(huffman_coded, others, strict=True)
    ]


def _encode(row: Symbols) -> tuple[bytes, int] | None:
    runs, literals = np.empty(len(row) + 1, np.int32), np.empty(len(row) + 1, np.uint8)
    count, last = zero_runs.runs_and_literals(row, runs, literals)
    counts = _counted(runs, literals, count, last)
    lengths = [_lengths(occurring) for occurring in counts[:2]]
    if not len(lengths[0]):
        return None
    spent = [int((n[: len(part)] * part).sum()) for n, part in zip(counts[:2], lengths, strict=True)]
    total = sum(spent) + int(counts[2])
    words = np.empty(total // 32 + 2, np.uint32)
    codes = [np.stack([_codes(part), part.astype(np.uint64)]) for part in lengths]
    _write(runs, literals, count, last, *codes, words)
    nibbles = np.concatenate([*lengths, np.zeros(sum(map(len, lengths)) % 2, np.int64)]).astype(np.uint8)
    table = bytes(map(len, lengths)) + (nibbles[::2] << 4 | nibbles[1::2]).tobytes()
    return bytes([HUFFMAN]) + table + words.astype(">u4").tobytes()[: (total + 7) // 8], len(table)


def decode(data: memoryview, count: int, bits: int) -> tuple[Symbols, int]:
    """``count`` symbols from the beginning of ``data``, and the number of bytes that they took.

    Raises:
        BitstreamError: the bytes end too early or could not have been written by :func:`encode_rows`.
    """
    if len(data) < 1 or data[0] != HUFFMAN:
        return zero_runs_decoder.decode(data, count, bits)
    sizes = data[1:_HEADER].tolist()
    start = _HEADER + (sum(sizes) + 1) // 2
    if len(data) < start or count == 0 or not 0 < sizes[0] <= _TOKENS or sizes[1] > max(2**bits - 2, 0):
        raise BitstreamError("damaged bitstream: no valid tables of Huffman codes")
    packed = np.frombuffer(data[_HEADER:start], np.uint8)
    nibbles = np.stack([packed >> 4, packed & 15], 1).reshape(-1).astype(np.int64)
    tokens, larger = (_lookup(part) for part in np.split(nibbles, np.cumsum(sizes))[:2])
    if (not sizes[1] and bool((tokens & 16).any())) or bool(nibbles[sum(sizes) :].any()):
        raise BitstreamError("damaged bitstream: no valid tables of Huffman codes")
    payload = np.frombuffer(data[start:], np.uint8)
    symbols = np.zeros(count, np.uint8)
    used = int(_read(payload, symbols, tokens, larger))
    end = (used + 7) // 8
    filling = int(payload[end - 1]) & ((1 << (8 * end - used)) - 1) if 0 < used <= 8 * len(payload) else 0
    if used < 0 or end > len(payload) or filling:
        raise BitstreamError("damaged bitstream: its Huffman code does not have the expected number of symbols")
    return symbols, start + end

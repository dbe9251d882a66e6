"""Small symbols as bytes, for coders that know bytes only.

``packed``    as many symbols to a byte as fit, the first one highest, each in 1, 2, 4 or 8 bits
``planes``    all highest bits first, then all next ones; each plane's last byte is filled with zeros
"""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from splitbench.methods.base import BitstreamError

Packing = Literal["packed", "planes"]
_Bytes = npt.NDArray[np.uint8]


def width(bits: int) -> int:
    """Bits that a packed symbol takes: those that it has, up to the next divisor of 8."""
    return next(size for size in (1, 2, 4, 8) if size >= bits)


def packed_size(count: int, bits: int, packing: Packing) -> int:
    """Return how many bytes so many symbols take."""
    return math.ceil(count * width(bits) / 8) if packing == "packed" else bits * math.ceil(count / 8)


def pack(symbols: _Bytes, bits: int, packing: Packing) -> bytes:
    """Symbols (N,) below ``2**bits`` as bytes."""
    return b"".join(plane.tobytes() for plane in _planes(symbols, bits, packing))


def _planes(symbols: _Bytes, bits: int, packing: Packing) -> Iterator[_Bytes]:
    if packing == "planes":
        for bit in reversed(range(bits)):
            yield np.packbits(symbols >> bit & 1)
        return
    size = width(bits)
    each = 8 // size
    filled = np.zeros((math.ceil(len(symbols) / each), each), np.uint8)
    filled.reshape(-1)[: len(symbols)] = symbols
    yield np.bitwise_or.reduce(filled << np.arange(8 - size, -1, -size, dtype=np.uint8), axis=1)


def unpack(data: bytes, count: int, bits: int, packing: Packing) -> _Bytes:
    """Return the inverse of :func:`pack`. Raises BitstreamError for bytes that it does not return."""
    given = np.frombuffer(data, np.uint8)
    if packing == "planes":
        planes = np.unpackbits(given.reshape(bits, -1), axis=1)
        order = np.arange(bits - 1, -1, -1, dtype=np.uint8)[:, None]
        symbols = np.bitwise_or.reduce(planes << order, axis=0) if count else np.zeros(0, np.uint8)
    else:
        size = width(bits)
        symbols = (given[:, None] >> np.arange(8 - size, -1, -size, dtype=np.uint8) & (2**size - 1)).reshape(-1)
    if bool((symbols >= 2**bits).any()) or bool(symbols[count:].any()):
        raise BitstreamError("damaged bitstream: a symbol is no level of the quantizer, or there are too many")
    return symbols[:count]

"""Layers of a bitstream, each behind its length, so that the first ones decode without the others.

A length takes 7 bits of a byte, the lowest first, and as few bytes as it needs; the highest bit says that more follow.
"""

from collections.abc import Sequence

from splitbench.methods.base import Bitstream, BitstreamError

_MORE = 0x80
_LONGEST = 5  # bytes of a length


def layered(layers: Sequence[bytes], side: int = 0) -> Bitstream:
    """Return the bitstream of these layers; the first one begins with ``side`` bytes of side information."""
    lengths = [_written(len(data)) for data in layers]
    sides = [side] + [0] * (len(layers) - 1)
    return Bitstream.of_layers(
        [Bitstream(length + data, part, len(length)) for length, data, part in zip(lengths, layers, sides, strict=True)]
    )


def divided(data: bytes, most: int) -> list[memoryview]:
    """Return what is in each layer of a bitstream, at least one of them.

    Raises:
        BitstreamError: it has none or more than ``most``, ends within one, or has a length that no encoder writes.
    """
    left, layers = memoryview(data), list[memoryview]()
    while len(left) > 0:
        length, left = _read(left)
        if length > len(left) or len(layers) == most:
            raise BitstreamError("damaged bitstream: it does not end with a layer")
        layers.append(left[:length])
        left = left[length:]
    if not layers:
        raise BitstreamError("damaged bitstream: its base layer is missing")
    return layers


def _written(length: int) -> bytes:
    digits = bytearray()
    while length >= _MORE:
        digits.append(length % _MORE | _MORE)
        length //= _MORE
    return bytes([*digits, length])


def _read(data: memoryview) -> tuple[int, memoryview]:
    """Return the number that the data begins with, and what is behind it."""
    length = 0
    for place, byte in enumerate(data[:_LONGEST]):
        length |= byte % _MORE << 7 * place
        if byte < _MORE:
            if byte == 0 < place:
                break
            return length, data[place + 1 :]
    raise BitstreamError("damaged bitstream: no layer has such a length")

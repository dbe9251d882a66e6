"""Random damage to bitstreams: flipped bits, pieces cut out, repeated, overwritten or added, and garbage."""

import random
from collections.abc import Callable, Sequence

_LONGEST = 4096  # bytes of garbage
_EDGE_VALUES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_HEADER = 40  # leading bytes, where formats usually store sizes

Damage = Callable[[bytearray, random.Random], bytes]


def _flipped(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64)) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _flipped_in_front(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 2, 4)) if data else 0):
        data[rng.randrange(min(_HEADER, len(data)))] = rng.choice((*_EDGE_VALUES, rng.randrange(256)))
    return bytes(data)


def _truncated(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data) + 1)])


def _extended(data: bytearray, rng: random.Random) -> bytes:
    more = rng.randrange(1, 64) if rng.random() < 0.9 else rng.randrange(1, _LONGEST)
    return bytes(data) + rng.choice((rng.randbytes(more), bytes(more), b"\xff" * more))


def _overwritten(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    size = min(rng.randrange(1, 33), len(data) - start)
    data[start : start + size] = rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size))
    return bytes(data)


def _cut_out(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.randrange(1, 33)]
    return bytes(data)


def _repeated(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.randrange(1, 33)]
    data[start:start] = piece * rng.randrange(1, 9)
    return bytes(data)


def _garbage(data: bytearray, rng: random.Random) -> bytes:
    size = rng.choice((rng.randrange(8), len(data), rng.randrange(_LONGEST)))
    return rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size))


DAMAGES: tuple[Damage, ...] = (
    _flipped,
    _flipped,
    _flipped_in_front,
    _truncated,
    _extended,
    _overwritten,
    _cut_out,
    _repeated,
    _garbage,
)


def mutate(streams: Sequence[bytes], rng: random.Random) -> bytes:
    """Return one of the streams, damaged once or, rarely, several times."""
    data = rng.choice(streams)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(DAMAGES)(bytearray(data), rng)
    return data

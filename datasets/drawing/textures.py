"""A bank of repeating textures, made once per process: every surface is a window into one of them."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing.rng import SplitMix64
from splitbench.datasets.drawing.shapes import ONE, TURN, sines
from splitbench.datasets.drawing.surface import SIDE

Texture = NDArray[np.uint8]
Field = NDArray[np.int64]


def _white(rng: SplitMix64, side: int) -> Field:
    """Independent values of 0 to 65535, shape (side, side)."""
    words = np.array([rng.bits() for _ in range(side * side // 4)], dtype="<u8")
    values: Field = words.view("<u2").reshape(side, side).astype(np.int64)
    return values


def _enlarge(lattice: Field) -> Field:
    """Stretch to SIDE along both axes, smoothly and wrapping around."""
    times = SIDE // len(lattice)
    if times == 1:
        return lattice
    at = np.arange(SIDE) // times
    part = (np.arange(SIDE) % times) * 256 // times
    smooth = part * part * (768 - 2 * part) >> 16
    rows = lattice[at] * (256 - smooth)[:, None] + np.roll(lattice, -1, axis=0)[at] * smooth[:, None]
    field: Field = (rows[:, at] * (256 - smooth) + np.roll(rows, -1, axis=1)[:, at] * smooth) >> 16
    return field


def _clouds(rng: SplitMix64, first: int, last: int, keep: int) -> Field:
    """1/f noise: octaves of 2 ** first to 2 ** last cells, each keep / 256 as strong as the one before."""
    total, weight = np.zeros((SIDE, SIDE), dtype=np.int64), 65536
    for octave in range(first, last + 1):
        total += (_enlarge(_white(rng, 1 << octave)) - 32768) * weight >> 8
        weight = weight * keep >> 8
    return total


def _cells(rng: SplitMix64, across: int) -> Field:
    """Squared distance to the nearest of jittered grid points: pebbles, scales, cracked earth."""
    size = SIDE // across
    jitter = _white(rng, 2 * across)[:across] % size
    y, x = np.mgrid[:SIDE, :SIDE]
    nearest = np.full((SIDE, SIDE), SIDE * SIDE, dtype=np.int64)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, column = y // size + down, x // size + right
            point_y = row * size + jitter[row % across, column % across]
            point_x = column * size + jitter[row % across, across + column % across]
            nearest = np.minimum(nearest, (y - point_y) ** 2 + (x - point_x) ** 2)
    return nearest


def _even(field: Field) -> Texture:
    """Spread the values evenly over 0 to 255, so that no texture is flat and none glaring."""
    order = np.argsort(field, axis=None, kind="stable")
    ranks = np.empty(SIDE * SIDE, dtype=np.int64)
    ranks[order] = np.arange(SIDE * SIDE)
    return (ranks * 256 // (SIDE * SIDE)).astype(np.uint8).reshape(SIDE, SIDE)


def _waves(bend: Field, across: int, down: int, strength: int) -> Field:
    """Stripes, ``across`` and ``down`` of them to a side, bent by another field: wood, marble, ripples."""
    y, x = np.mgrid[:SIDE, :SIDE]
    phase = (x * across + y * down) * TURN // SIDE + _even(bend).astype(np.int64) * strength // 256
    return sines(phase)


@cache
def bank() -> tuple[Texture, ...]:
    """Return all textures, 0 to 255, each of shape (SIDE, SIDE)."""
    rng = SplitMix64(0x7E87)
    soft, rough = _clouds(rng, 1, 7, 128), _clouds(rng, 2, 8, 170)
    other, fine = _clouds(rng, 1, 8, 145), _clouds(rng, 4, 8, 200)
    weave = np.maximum(_waves(soft, 32, 0, 200), _waves(rough, 0, 32, 200))
    fields = (
        soft,
        rough,
        other,
        fine,
        -abs(soft),
        abs(rough),
        _waves(soft, 5, 1, 4000),
        _waves(other, 2, 12, 1500),
        _waves(rough, 16, 0, 500),
        weave + (rough * ONE >> 25),
        _cells(rng, 8) * 4096 + (fine >> 3),
        -_cells(rng, 16) * 16384 + (fine >> 3),
    )
    return tuple(_even(field) for field in fields)


@cache
def packed() -> tuple[NDArray[np.uint32], ...]:
    """Return the bank as kernels read it: each texel with its right, lower and lower right neighbour, a byte each.

    The first is in the lowest byte; each texture has shape (SIDE * SIDE,).
    """
    words: list[NDArray[np.uint32]] = []
    for texture in bank():
        here = texture.astype(np.uint32)
        right, below = np.roll(here, -1, axis=1), np.roll(here, -1, axis=0)
        corner = np.roll(right, -1, axis=0)
        words.append((here | right << 8 | below << 16 | corner << 24).astype(np.uint32).reshape(-1))
    return tuple(words)


SMOOTH = (0, 1, 2, 4, 5, 6, 7)
"""Textures that pick a surface's colour."""
COUNT = 12
"""Textures in the bank."""

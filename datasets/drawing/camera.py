"""Kernels for what a camera does to a scene: light, blur, noise and JPEG's artefacts."""

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing.compiled import compiled


@compiled
def expose(canvas: NDArray[np.int32], gains: NDArray[np.int64], slope: NDArray[np.int64]) -> None:
    """Light the canvas: a gain per channel, and a slope of brightness across the frame.

    Args:
        canvas: Colours times 16, changed in place, shape (H, W, 3).
        gains: Gain of red, green and blue, 65536 for none, shape (3,).
        slope: Change of the gain per pixel to the right and down, shape (2,); 0 in the middle of the frame.
    """
    height, width, _ = canvas.shape
    for y in range(height):
        for x in range(width):
            tilt = slope[0] * (x - width // 2) + slope[1] * (y - height // 2)
            for k in range(3):
                canvas[y, x, k] = max(0, min(4080, (canvas[y, x, k] * (gains[k] + tilt)) >> 16))


@compiled
def blur(canvas: NDArray[np.int32], passes: int) -> None:
    """Smooth by (1, 2, 1) / 4 along both axes, ``passes`` times; the border repeats."""
    height, width, _ = canvas.shape
    for _ in range(passes):
        for y in range(height):
            for k in range(3):
                before = canvas[y, 0, k]
                for x in range(width):
                    here = canvas[y, x, k]
                    after = canvas[y, min(x + 1, width - 1), k]
                    canvas[y, x, k] = (before + 2 * here + after + 2) >> 2
                    before = here
        above = canvas[0].copy()
        for y in range(height):
            below = min(y + 1, height - 1)
            for x in range(width):
                for k in range(3):
                    here = canvas[y, x, k]
                    canvas[y, x, k] = (above[x, k] + 2 * here + canvas[below, x, k] + 2) >> 2
                    above[x, k] = here


@compiled
def grain(canvas: NDArray[np.int32], key: int, grey: int, colour: int) -> None:
    """Add noise: SplitMix64 of the pixel's number, three 5-bit fields summed, which is close to a normal distribution.

    Args:
        canvas: Colours times 16, changed in place, shape (H, W, 3).
        key: Names the noise, below 2 ** 62.
        grey: Standard deviation of the noise that all channels share, in 1 / 16 grey level.
        colour: Standard deviation of each channel's own, likewise.
    """
    height, width, _ = canvas.shape
    state = np.uint64(key)
    for y in range(height):
        for x in range(width):
            state += np.uint64(0x9E3779B97F4A7C15)
            word = state
            word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            word = word ^ (word >> np.uint64(31))
            bits = np.int64(word >> np.uint64(2))
            # Three fields of 0 to 31 have the mean 46.5 and the standard deviation 16 (15.99).
            shared = 2 * ((bits & 31) + ((bits >> 5) & 31) + ((bits >> 10) & 31)) - 93
            for k in range(3):
                bits >>= 15
                own = 2 * ((bits & 31) + ((bits >> 5) & 31) + ((bits >> 10) & 31)) - 93
                canvas[y, x, k] += (shared * grey + own * colour) >> 5


STRIP = 48
"""Rows that are turned into JPEG blocks at once; more would leave the processor's cache."""

# ITU-T T.81, tables K.1 and K.2.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
_TABLES = np.array([_LUMA, _CHROMA, _CHROMA], dtype=np.int32)

_frequency, _sample = np.arange(8)[:, None], np.arange(8)[None, :]
_WAVES = np.cos((2 * _sample + 1) * _frequency * (np.pi / 16)) * np.where(_frequency == 0, np.sqrt(1 / 8), 0.5)
_BASIS: NDArray[np.int32] = np.rint(_WAVES * 4096).astype(np.int32)


def jpeg_tables(quality: int) -> NDArray[np.int32]:
    """Quantization steps of Y, Cb and Cr as the Independent JPEG Group's library scales them, shape (3, 8, 8)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps: NDArray[np.int32] = np.clip((_TABLES * scale + 50) // 100, 1, 255).astype(np.int32)
    return steps


def cosine_basis() -> NDArray[np.int32]:
    """The orthonormal 8-point cosine transform times 4096, shape (frequency, sample)."""
    return _BASIS


@compiled
def _transform(source: NDArray[np.int32], matrix: NDArray[np.int32], target: NDArray[np.int32]) -> None:
    """Multiply by a matrix over 4096 along the middle axis, rounding: shapes (A, 8, N), (8, 8), (A, 8, N)."""
    for a in range(source.shape[0]):
        for i in range(8):
            target[a, i] = 2048
            for j in range(8):
                weight = matrix[i, j]
                for n in range(source.shape[2]):
                    target[a, i, n] += weight * source[a, j, n]
            for n in range(source.shape[2]):
                target[a, i, n] >>= 12


@compiled
def develop(
    canvas: NDArray[np.int32], tables: NDArray[np.int32], basis: NDArray[np.int32], picture: NDArray[np.uint8]
) -> None:
    """Turn the canvas into 8 bits with the artefacts of a JPEG file.

    Not by a JPEG library: another version of it may round differently, and then this dataset would be another one.
    Many blocks are transformed at once, block numbers innermost: that fills the processor's vector registers.

    Args:
        canvas: Colours times 16, shape (H, W, 3); H and W are multiples of 8.
        tables: Quantization steps from ``jpeg_tables``.
        basis: ``cosine_basis()``.
        picture: Where the result goes, shape (H, W, 3).
    """
    height, width, _ = canvas.shape
    back = np.ascontiguousarray(basis.T)
    wide = width // 8
    for top in range(0, height, STRIP):
        tall = min(STRIP, height - top)
        count = tall // 8 * wide
        blocks = np.empty((8, 8, 3 * count), dtype=np.int32)
        waves = np.empty((8, 8, 3 * count), dtype=np.int32)
        for y in range(tall):
            for x in range(width):
                red, green, blue = canvas[top + y, x]
                red, green, blue = max(0, min(4080, red)), max(0, min(4080, green)), max(0, min(4080, blue))
                luma = (77 * red + 150 * green + 29 * blue) >> 8
                block = y // 8 * wide + x // 8
                blocks[y % 8, x % 8, block] = luma - 2048
                blocks[y % 8, x % 8, block + count] = ((blue - luma) * 144) >> 8
                blocks[y % 8, x % 8, block + 2 * count] = ((red - luma) * 183) >> 8

        _transform(blocks, basis, waves)
        _transform(waves.reshape(1, 8, 24 * count), basis, blocks.reshape(1, 8, 24 * count))
        for i in range(8):
            for j in range(8):
                for k in range(3):
                    # Multiplying by this is dividing by the step, exactly, for all values that occur (below 2 ** 16).
                    step = 16 * tables[k, i, j]
                    inverse = (1 << 31) // step + 1
                    for n in range(k * count, (k + 1) * count):
                        value = blocks[i, j, n]
                        size = (((abs(value) + step // 2) * inverse) >> 31) * step
                        blocks[i, j, n] = size if value >= 0 else -size
        _transform(blocks, back, waves)
        _transform(waves.reshape(1, 8, 24 * count), back, blocks.reshape(1, 8, 24 * count))

        for y in range(tall):
            for x in range(width):
                block = y // 8 * wide + x // 8
                luma = blocks[y % 8, x % 8, block] + 2048
                cb, cr = blocks[y % 8, x % 8, block + count], blocks[y % 8, x % 8, block + 2 * count]
                picture[top + y, x, 0] = max(0, min(255, (luma + ((359 * cr) >> 8) + 8) >> 4))
                picture[top + y, x, 1] = max(0, min(255, (luma - ((88 * cb + 183 * cr) >> 8) + 8) >> 4))
                picture[top + y, x, 2] = max(0, min(255, (luma + ((454 * cb) >> 8) + 8) >> 4))

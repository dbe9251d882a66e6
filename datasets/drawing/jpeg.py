"""Kernels that leave JPEG's artefacts on an image.

Not by a JPEG library: another version of it may round differently, and then this dataset would be another one.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing.compiled import compiled
from splitbench.datasets.drawing.surface import Canvas

STRIP = 48
"""Rows that are turned into JPEG blocks at once; more would leave the processor's cache."""
CHUNK = 432
"""Blocks that are transformed at once, likewise."""

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
BASIS: NDArray[np.int32] = np.rint(_WAVES * 4096).astype(np.int32)
"""The orthonormal 8-point cosine transform times 4096, shape (frequency, sample)."""


@cache
def jpeg_tables(quality: int) -> NDArray[np.int32]:
    """Quantization steps of Y, Cb and Cr as the Independent JPEG Group's library scales them, shape (3, 8, 8)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps: NDArray[np.int32] = np.clip((_TABLES * scale + 50) // 100, 1, 255).astype(np.int32)
    return steps


@compiled
def _analyse(source: NDArray[np.int32], basis: NDArray[np.int32], target: NDArray[np.int32]) -> None:
    """Cosine transform along the middle axis, rounding: shapes (A, 8, N), (8, 8), (A, 8, N).

    Waves of even frequency are symmetric and those of odd frequency antisymmetric: half of the products will do.
    """
    for a in range(source.shape[0]):
        for start in range(0, source.shape[2], CHUNK):
            count = min(CHUNK, source.shape[2] - start)
            halves = np.empty((2, 4, count), dtype=np.int32)
            for j in range(4):
                left, right = source[a, j, start : start + count], source[a, 7 - j, start : start + count]
                for n in range(count):
                    halves[0, j, n] = left[n] + right[n]
                    halves[1, j, n] = left[n] - right[n]
            for i in range(8):
                h0, h1, h2, h3 = halves[i % 2, 0], halves[i % 2, 1], halves[i % 2, 2], halves[i % 2, 3]
                w0, w1, w2, w3 = basis[i, 0], basis[i, 1], basis[i, 2], basis[i, 3]
                row = target[a, i, start : start + count]
                for n in range(count):
                    row[n] = np.int32(2048 + w0 * h0[n] + w1 * h1[n] + w2 * h2[n] + w3 * h3[n]) >> 12


@compiled
def _synthesise(source: NDArray[np.int32], basis: NDArray[np.int32], target: NDArray[np.int32]) -> None:
    """The inverse of ``_analyse``, likewise."""
    for a in range(source.shape[0]):
        for start in range(0, source.shape[2], CHUNK):
            count = min(CHUNK, source.shape[2] - start)
            s0, s1, s2, s3, s4, s5, s6, s7 = (
                source[a, 0, start : start + count],
                source[a, 1, start : start + count],
                source[a, 2, start : start + count],
                source[a, 3, start : start + count],
                source[a, 4, start : start + count],
                source[a, 5, start : start + count],
                source[a, 6, start : start + count],
                source[a, 7, start : start + count],
            )
            for j in range(4):
                w0, w1, w2, w3, w4, w5, w6, w7 = basis[:, j]
                left, right = target[a, j, start : start + count], target[a, 7 - j, start : start + count]
                for n in range(count):
                    even = np.int32(2048 + w0 * s0[n] + w2 * s2[n] + w4 * s4[n] + w6 * s6[n])
                    odd = np.int32(w1 * s1[n] + w3 * s3[n] + w5 * s5[n] + w7 * s7[n])
                    left[n] = np.int32(even + odd) >> 12
                    right[n] = np.int32(even - odd) >> 12


@compiled
def _quantize(waves: NDArray[np.int32], steps: NDArray[np.int32]) -> None:
    """Round to multiples of the steps times 16: shapes (8, 8, 3 * N) and (3, 8, 8)."""
    count = waves.shape[2] // 3
    for i in range(8):
        for j in range(8):
            for k in range(3):
                # Multiplying by this is dividing by the step, exactly, for all values that occur (below 2 ** 15).
                step, shift = np.int32(16 * steps[k, i, j]), 15
                while step >> (shift - 15):
                    shift += 1
                inverse, half = np.int32((1 << shift) // step + 1), np.int32(step // 2)
                row = waves[i, j, k * count : (k + 1) * count]
                for n in range(count):
                    value = row[n]
                    size = np.int32((np.int32((np.int32(abs(value)) + half) * inverse) >> shift) * step)
                    row[n] = size if value >= 0 else -size


@compiled
def develop(canvas: Canvas, tables: NDArray[np.int32], basis: NDArray[np.int32], image: NDArray[np.uint8]) -> None:
    """Turn the canvas into 8 bits with the artefacts of a JPEG file.

    Many blocks are transformed at once, block numbers innermost: that fills the processor's vector registers.

    Args:
        canvas: H and W are multiples of 8.
        tables: Quantization steps from ``jpeg_tables``.
        basis: ``BASIS``.
        image: Where the result goes, shape (H, W, 3).
    """
    _, height, width = canvas.shape
    wide = width // 8
    lines = np.empty((3, width), dtype=np.int32)
    luma, cb, cr = lines[0], lines[1], lines[2]
    rgb = np.empty((3, width), dtype=np.uint8)
    for top in range(0, height, STRIP):
        tall = min(STRIP, height - top)
        count = tall // 8 * wide
        blocks = np.empty((8, 8, 3 * count), dtype=np.int32)
        waves = np.empty((8, 8, 3 * count), dtype=np.int32)
        for y in range(tall):
            reds, greens, blues = canvas[0, top + y], canvas[1, top + y], canvas[2, top + y]
            for x in range(width):
                red, green, blue = max(0, min(4080, reds[x])), max(0, min(4080, greens[x])), max(0, min(4080, blues[x]))
                luma[x] = (np.int32(77 * red + 150 * green + 29 * blue) >> 8) - 2048
            for x in range(width):
                cb[x] = np.int32((max(0, min(4080, blues[x])) - 2048 - luma[x]) * 144) >> 8
            for x in range(width):
                cr[x] = np.int32((max(0, min(4080, reds[x])) - 2048 - luma[x]) * 183) >> 8
            for k in range(3):
                first = k * count + y // 8 * wide
                for j in range(8):
                    row = blocks[y % 8, j, first : first + wide]
                    for block in range(wide):
                        row[block] = lines[k, 8 * block + j]

        _analyse(blocks, basis, waves)
        _analyse(waves.reshape(1, 8, 24 * count), basis, blocks.reshape(1, 8, 24 * count))
        _quantize(blocks, tables)
        _synthesise(blocks, basis, waves)
        _synthesise(waves.reshape(1, 8, 24 * count), basis, blocks.reshape(1, 8, 24 * count))

        for y in range(tall):
            for k in range(3):
                first = k * count + y // 8 * wide
                for j in range(8):
                    row = blocks[y % 8, j, first : first + wide]
                    for block in range(wide):
                        lines[k, 8 * block + j] = row[block]
            for x in range(width):
                rgb[0, x] = max(0, min(255, np.int32(luma[x] + 2056 + (np.int32(359 * cr[x]) >> 8)) >> 4))
            for x in range(width):
                chroma = np.int32(88 * cb[x] + 183 * cr[x]) >> 8
                rgb[1, x] = max(0, min(255, np.int32(luma[x] + 2056 - chroma) >> 4))
            for x in range(width):
                rgb[2, x] = max(0, min(255, np.int32(luma[x] + 2056 + (np.int32(454 * cb[x]) >> 8)) >> 4))
            for x in range(width):
                for k in range(3):
                    image[top + y, x, k] = rgb[k, x]

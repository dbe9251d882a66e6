"""Kernels for what a lens and a sensor do to a scene: light, blur and noise."""

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing.compiled import compiled
from splitbench.datasets.drawing.surface import Canvas


@compiled
def expose(canvas: Canvas, gains: NDArray[np.int64], slope: NDArray[np.int64]) -> None:
    """Light the canvas: a gain per channel, and a slope of brightness across the frame.

    Args:
        canvas: Changed in place.
        gains: Gain of red, green and blue, 65536 for none, shape (3,).
        slope: Change of the gain per pixel to the right and down, shape (2,); 0 in the middle of the frame.
    """
    _, height, width = canvas.shape
    right = np.int32(slope[0])
    for k in range(3):
        for y in range(height):
            gain = np.int32(gains[k] + slope[1] * (y - height // 2) - slope[0] * (width // 2))
            row = canvas[k, y]
            for x in range(width):
                row[x] = max(0, min(4080, np.int32(row[x] * np.int32(gain + right * np.int32(x))) >> 16))


@compiled
def blur(canvas: Canvas, passes: int) -> None:
    """Smooth by (1, 2, 1) / 4 along both axes, ``passes`` times; the border repeats."""
    _, height, width = canvas.shape
    line = np.empty(width + 2, dtype=np.int32)
    plane = np.empty((height + 2, width), dtype=np.int32)
    for _ in range(passes):
        for k in range(3):
            for y in range(height):
                line[0], line[width + 1] = canvas[k, y, 0], canvas[k, y, width - 1]
                for x in range(width):
                    line[x + 1] = canvas[k, y, x]
                for x in range(width):
                    plane[y + 1, x] = np.int32(line[x] + 2 * line[x + 1] + line[x + 2] + 2) >> 2
            plane[0], plane[height + 1] = plane[1], plane[height]
            for y in range(height):
                for x in range(width):
                    canvas[k, y, x] = np.int32(plane[y, x] + 2 * plane[y + 1, x] + plane[y + 2, x] + 2) >> 2


@compiled
def grain(canvas: Canvas, key: int, grey: int, colour: int) -> None:
    """Add noise: SplitMix64 of the pixel's number, three 5-bit fields summed, which is close to a normal distribution.

    Args:
        canvas: Changed in place.
        key: Names the noise, below 2 ** 62.
        grey: Standard deviation of the noise that all channels share, in 1 / 16 grey level.
        colour: Standard deviation of each channel's own, likewise.
    """
    _, height, width = canvas.shape
    state = np.uint64(key)
    fields = np.uint64(31 | 31 << 15 | 31 << 30 | 31 << 45)
    sums = np.empty(width, dtype=np.uint64)
    for y in range(height):
        for x in range(width):
            word = state + np.uint64(0x9E3779B97F4A7C15) * np.uint64(x + 1)
            word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            bits = (word ^ (word >> np.uint64(31))) >> np.uint64(2)
            # Four sums at once, 15 bits apart, each of three fields.
            sums[x] = (bits & fields) + (bits >> np.uint64(5) & fields) + (bits >> np.uint64(10) & fields)
        state += np.uint64(0x9E3779B97F4A7C15) * np.uint64(width)
        for k in range(3):
            row, at = canvas[k, y], np.uint64(15 * k + 15)
            for x in range(width):
                # Three fields of 0 to 31 have the mean 46.5 and the standard deviation 16 (15.99).
                shared = 2 * np.int64(sums[x] & np.uint64(127)) - 93
                own = 2 * np.int64(sums[x] >> at & np.uint64(127)) - 93
                row[x] += (shared * grey + own * colour) >> 5

"""Kernels that fill contours, and say who owns which pixel."""

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing.compiled import compiled

Bounds = tuple[int, int, int, int]
"""(top, bottom, left, right) in pixels, the second and fourth not included."""

SUB = 64
"""Contour coordinates per pixel."""
LINES = 4
"""Scan lines per pixel row; along a line coverage is exact."""


@compiled
def cover(mask: NDArray[np.uint8], points: NDArray[np.int64], ends: NDArray[np.int64]) -> Bounds:
    """Write how much of each pixel the contours cover.

    Args:
        mask: Written within the returned bounds only, 0 to 255, shape (H, W).
        points: Corners of all contours, one after the other, in 1 / SUB pixel, shape (N, 2).
        ends: Where each contour ends in ``points``, shape (C,).

    Returns:
        What is covered, cut to the mask; empty where nothing is.
    """
    height, width = mask.shape
    top = max(0, points[:, 1].min() // SUB)
    bottom = min(height, (points[:, 1].max() + SUB - 1) // SUB)
    left = max(0, points[:, 0].min() // SUB)
    right = min(width, (points[:, 0].max() + SUB - 1) // SUB)
    if top >= bottom or left >= right:
        return 0, 0, 0, 0
    first_of, crossings = _crossings(points, ends, top * SUB, (bottom - top) * LINES)
    change = np.zeros(width + 2, dtype=np.int64)  # of coverage from one pixel to the next
    for y in range(top, bottom):
        for line in range((y - top) * LINES, (y - top + 1) * LINES):
            winding = 0
            for k in range(first_of[line], first_of[line + 1] - 1):
                winding += 1 if crossings[k] & 1 else -1
                if winding != 0:
                    low = max(crossings[k] >> 1, left * SUB)
                    high = min(crossings[k + 1] >> 1, right * SUB)
                    if low < high:
                        first, last = low // SUB, high // SUB
                        change[first] += (first + 1) * SUB - low
                        change[first + 1] += low - first * SUB
                        change[last] -= (last + 1) * SUB - high
                        change[last + 1] -= high - last * SUB
        covered = 0
        for x in range(left, right):
            covered += change[x]
            change[x] = 0
            mask[y, x] = min(255, covered * 256 // (SUB * LINES))
        change[right], change[right + 1] = 0, 0
    return top, bottom, left, right


@compiled
def _crossings(
    points: NDArray[np.int64], ends: NDArray[np.int64], top: int, lines: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the contours cross scan lines, from left to right.

    Args:
        points: As ``cover``'s.
        ends: Likewise.
        top: The upper edge of the first line's pixels, in 1 / SUB pixel.
        lines: How many scan lines there are.

    Returns:
        Where each line's crossings begin, and in the end how many there are, shape (lines + 1,); and twice the x of
        each crossing, plus 1 where the contour runs down.
    """
    step = SUB // LINES
    level = top + step // 2
    # An edge crosses the lines from the first at or below its upper end to the last above its lower end.
    spans = np.empty((len(points), 2), dtype=np.int64)
    first_of = np.zeros(lines + 1, dtype=np.int64)
    start = 0
    for end in ends:
        before = end - 1
        for after in range(start, end):
            upper, lower = min(points[before, 1], points[after, 1]), max(points[before, 1], points[after, 1])
            spans[after, 0] = max(0, (upper - level + step - 1) // step)
            spans[after, 1] = min(lines, (lower - level + step - 1) // step)
            for line in range(spans[after, 0], spans[after, 1]):
                first_of[line + 1] += 1
            before = after
        start = end
    for line in range(lines):
        first_of[line + 1] += first_of[line]
    crossings = np.empty(first_of[lines], dtype=np.int64)
    filled = first_of.copy()
    start = 0
    for end in ends:
        before = end - 1
        for after in range(start, end):
            x0, y0, x1, y1 = points[before, 0], points[before, 1], points[after, 0], points[after, 1]
            for line in range(spans[after, 0], spans[after, 1]):
                x = x0 + (x1 - x0) * (level + line * step - y0) // (y1 - y0)
                crossing = 2 * x + (1 if y1 > y0 else 0)
                place = filled[line]
                while place > first_of[line] and crossings[place - 1] > crossing:
                    crossings[place] = crossings[place - 1]
                    place -= 1
                crossings[place] = crossing
                filled[line] += 1
            before = after
        start = end
    return first_of, crossings


@compiled
def claim(owners: NDArray[np.uint8], mask: NDArray[np.uint8], bounds: Bounds, owner: int) -> int:
    """Mark the pixels that the mask covers at least by half as the owner's, and count them."""
    count = 0
    for y in range(bounds[0], bounds[1]):
        for x in range(bounds[2], bounds[3]):
            if mask[y, x] >= 128:
                owners[y, x] = owner
                count += 1
    return count

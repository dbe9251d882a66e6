"""Kernels that fill contours and paint surfaces."""

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing.compiled import compiled

Bounds = tuple[int, int, int, int]
"""(top, bottom, left, right) in pixels, the second and fourth not included."""
Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""
Window = tuple[int, int, int, int, int, int]
"""Where pixels lie in a texture: (u, v, u per x, v per x, u per y, v per y) in 1 / 65536 texel."""

SUB = 64
"""Contour coordinates per pixel."""
SIDE = 256
"""Texels along each side of a texture; a power of two, so that a mask wraps around."""
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
    crossings = np.empty(len(points), dtype=np.int64)
    turns = np.empty(len(points), dtype=np.int64)
    row = np.zeros(width, dtype=np.int64)
    for y in range(top, bottom):
        row[left:right] = 0
        for line in range(LINES):
            level = y * SUB + line * (SUB // LINES) + SUB // (2 * LINES)
            count = 0
            start = 0
            for end in ends:
                before = end - 1
                for after in range(start, end):
                    y0, y1 = points[before, 1], points[after, 1]
                    if (y0 <= level) != (y1 <= level):
                        x0, x1 = points[before, 0], points[after, 0]
                        x = x0 + (x1 - x0) * (level - y0) // (y1 - y0)
                        turn = 1 if y1 > y0 else -1
                        place = count
                        while place > 0 and crossings[place - 1] > x:
                            crossings[place] = crossings[place - 1]
                            turns[place] = turns[place - 1]
                            place -= 1
                        crossings[place] = x
                        turns[place] = turn
                        count += 1
                    before = after
                start = end
            winding = 0
            for k in range(count - 1):
                winding += turns[k]
                if winding != 0:
                    low = max(crossings[k], left * SUB)
                    high = min(crossings[k + 1], right * SUB)
                    if low < high:
                        first, last = low // SUB, (high - 1) // SUB
                        if first == last:
                            row[first] += high - low
                        else:
                            row[first] += (first + 1) * SUB - low
                            for x in range(first + 1, last):
                                row[x] += SUB
                            row[last] += high - last * SUB
        for x in range(left, right):
            mask[y, x] = min(255, row[x] * 256 // (SUB * LINES))
    return top, bottom, left, right


@compiled
def _tap(texture: NDArray[np.uint8], u: int, v: int) -> int:
    """The texture's tone at (u, v) in 1 / 65536 texel, times 65536, between its four neighbours."""
    a, b = (u >> 16) & (SIDE - 1), (v >> 16) & (SIDE - 1)
    c, d = (a + 1) & (SIDE - 1), (b + 1) & (SIDE - 1)
    right, low = (u >> 8) & 255, (v >> 8) & 255
    up = texture[b, a] * (256 - right) + texture[b, c] * right
    down = texture[d, a] * (256 - right) + texture[d, c] * right
    tone: int = up * (256 - low) + down * low
    return tone


@compiled
def paint(
    canvas: NDArray[np.int32],
    mask: NDArray[np.uint8],
    bounds: Bounds,
    stops: tuple[Colour, Colour, Colour],
    coarse: NDArray[np.uint8],
    coarse_map: Window,
    fine: NDArray[np.uint8],
    fine_map: Window,
    relief: int,
    shade: tuple[int, int, int],
) -> None:
    """Lay a textured surface over the canvas where the mask lets it through.

    Args:
        canvas: Colours times 16, changed in place, shape (H, W, 3).
        mask: Coverage from ``cover``, shape (H, W).
        bounds: What to touch.
        stops: Three colours that the coarse texture runs through from dark to bright.
        coarse: Texture that picks the colour, shape (SIDE, SIDE); it repeats.
        coarse_map: Where in it the view's pixels lie.
        fine: Texture that makes the colour lighter and darker; likewise.
        fine_map: Likewise.
        relief: How much the fine texture does, 0 to 256.
        shade: (brightness at pixel (0, 0), its change per x, per y) in 1 / 65536; 0 leaves the colour as it is.
    """
    u, v, u_x, v_x, u_y, v_y = coarse_map
    fine_u, fine_v, fine_u_x, fine_v_x, fine_u_y, fine_v_y = fine_map
    (red0, green0, blue0), (red1, green1, blue1), (red2, green2, blue2) = stops
    for y in range(bounds[0], bounds[1]):
        for x in range(bounds[2], bounds[3]):
            if mask[y, x] == 0:
                continue
            alpha = mask[y, x] * 256
            alpha += alpha >> 15 << 8
            tone = _tap(coarse, u + u_x * x + u_y * y, v + v_x * x + v_y * y) >> 12
            grain = (_tap(fine, fine_u + fine_u_x * x + fine_u_y * y, fine_v + fine_v_x * x + fine_v_y * y) >> 16) - 128
            light = 65536 + shade[0] + shade[1] * x + shade[2] * y + grain * relief * 2
            light = max(8192, min(131072, light))
            if tone < 2048:
                red = red0 * (2048 - tone) + red1 * tone
                green = green0 * (2048 - tone) + green1 * tone
                blue = blue0 * (2048 - tone) + blue1 * tone
            else:
                red = red1 * (4096 - tone) + red2 * (tone - 2048)
                green = green1 * (4096 - tone) + green2 * (tone - 2048)
                blue = blue1 * (4096 - tone) + blue2 * (tone - 2048)
            red = min(4080, ((red >> 7) * light) >> 16)
            green = min(4080, ((green >> 7) * light) >> 16)
            blue = min(4080, ((blue >> 7) * light) >> 16)
            canvas[y, x, 0] += ((red - canvas[y, x, 0]) * alpha) >> 16
            canvas[y, x, 1] += ((green - canvas[y, x, 1]) * alpha) >> 16
            canvas[y, x, 2] += ((blue - canvas[y, x, 2]) * alpha) >> 16


@compiled
def darken(
    canvas: NDArray[np.int32],
    mask: NDArray[np.uint8],
    bounds: Bounds,
    across: int,
    down: int,
    soft: int,
    strength: int,
) -> None:
    """Cast the mask's shadow.

    Args:
        canvas: Colours times 16, changed in place, shape (H, W, 3).
        mask: Coverage, shape (H, W).
        bounds: Those of the mask.
        across: How many pixels to the right the shadow falls.
        down: How many pixels below.
        soft: The shadow's edge, in pixels to either side.
        strength: 0 (none) to 256 (black).
    """
    height, width = mask.shape
    top, bottom, left, right = bounds
    tall, wide = bottom - top + 2 * soft, right - left + 2 * soft
    side = 2 * soft + 1
    rows = np.zeros((bottom - top, wide), dtype=np.int64)
    for y in range(bottom - top):
        total = 0
        for x in range(wide):
            if x < right - left:
                total += mask[top + y, left + x]
            if 0 <= x - side < right - left:
                total -= mask[top + y, left + x - side]
            rows[y, x] = total
    for x in range(wide):
        total = 0
        to = left + x - soft + across
        for y in range(tall):
            if y < bottom - top:
                total += rows[y, x]
            if 0 <= y - side < bottom - top:
                total -= rows[y - side, x]
            at = top + y - soft + down
            if total > 0 and 0 <= to < width and 0 <= at < height:
                kept = 65536 - total * strength // (side * side)
                for k in range(3):
                    canvas[at, to, k] = (canvas[at, to, k] * kept) >> 16


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

"""Kernels that lay surfaces and shadows over a canvas.

They go row by row, in loops that do one thing each to all pixels of a row: compilers turn such loops into vector
instructions. A canvas has its channels first for the same reason.
"""

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing.compiled import compiled
from splitbench.datasets.drawing.raster import Bounds

Canvas = NDArray[np.int32]
"""Colours times 16, shape (3, H, W)."""
Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""
Window = tuple[int, int, int, int, int, int]
"""Where pixels lie in a texture: (u, v, u per x, v per x, u per y, v per y) in 1 / 65536 texel."""

SIDE = 256
"""Texels along each side of a texture; a power of two, so that a mask wraps around."""


@compiled
def _fetch(
    texels: NDArray[np.uint32], u: int, v: int, u_x: int, v_x: int, room: NDArray[np.int32], tones: NDArray[np.int32]
) -> None:
    """A row of a texture's tones, times 65536, each between its four neighbours.

    Args:
        texels: From ``textures.packed``, shape (SIDE * SIDE,).
        u: Where the row begins, in 1 / 65536 texel.
        v: Likewise.
        u_x: How far it is from pixel to pixel.
        v_x: Likewise.
        room: For three numbers per pixel, shape (3, N or more).
        tones: Where the row goes, shape (N,).
    """
    count = len(tones)
    across, down, four = room[0, :count], room[1, :count], room[2, :count]
    for x in range(count):
        across[x] = u + u_x * x  # what is beyond 32 bits is whole turns around the texture
        down[x] = v + v_x * x
        four[x] = (down[x] >> 8 & (SIDE - 1) * SIDE) | (across[x] >> 16 & (SIDE - 1))
    for x in range(count):
        four[x] = texels[np.uint32(four[x])]  # an unsigned index is not checked for counting from the end
    for x in range(count):
        word, right, low = four[x], np.int32(across[x] >> 8 & 255), np.int32(down[x] >> 8 & 255)
        up = np.int32((word & 255) * (256 - right) + (word >> 8 & 255) * right)
        under = np.int32((word >> 16 & 255) * (256 - right) + (word >> 24 & 255) * right)
        tones[x] = up * (256 - low) + under * low


@compiled
def paint(
    canvas: Canvas,
    mask: NDArray[np.uint8],
    bounds: Bounds,
    stops: tuple[Colour, Colour, Colour],
    coarse: NDArray[np.uint32],
    coarse_map: Window,
    fine: NDArray[np.uint32],
    fine_map: Window,
    relief: int,
    shade: tuple[int, int, int],
) -> None:
    """Lay a textured surface over the canvas where the mask lets it through.

    Args:
        canvas: Changed in place.
        mask: Coverage from ``cover``, shape (H, W).
        bounds: What to touch.
        stops: Three colours that the coarse texture runs through from dark to bright.
        coarse: Texture that picks the colour, from ``textures.packed``; it repeats.
        coarse_map: Where in it the view's pixels lie.
        fine: Texture that makes the colour lighter and darker; likewise.
        fine_map: Likewise.
        relief: How much the fine texture does, 0 to 256.
        shade: (brightness at pixel (0, 0), its change per x, per y) in 1 / 65536; 0 leaves the colour as it is.
    """
    u, v, u_x, v_x, u_y, v_y = coarse_map
    fine_u, fine_v, fine_u_x, fine_v_x, fine_u_y, fine_v_y = fine_map
    width = max(0, bounds[3] - bounds[2])
    rows, room = np.empty((3, width), dtype=np.int32), np.empty((3, width), dtype=np.int32)
    for y in range(bounds[0], bounds[1]):
        left, right = bounds[2], bounds[3]
        while left < right and mask[y, left] == 0:
            left += 1
        while left < right and mask[y, right - 1] == 0:
            right -= 1
        tones, lights, alphas = rows[0, : right - left], rows[1, : right - left], rows[2, : right - left]
        at_u, at_v = u + u_x * left + u_y * y, v + v_x * left + v_y * y
        _fetch(coarse, at_u, at_v, u_x, v_x, room, tones)
        at_u, at_v = fine_u + fine_u_x * left + fine_u_y * y, fine_v + fine_v_x * left + fine_v_y * y
        _fetch(fine, at_u, at_v, fine_u_x, fine_v_x, room, lights)
        light = 65536 + shade[0] + shade[1] * left + shade[2] * y
        for x in range(len(lights)):
            grain = np.int32((lights[x] >> 16) - 128)
            lights[x] = max(8192, min(131072, np.int32(light + shade[1] * x + grain * relief * 2)))
        through = mask[y, left:right]
        for x in range(len(alphas)):
            alpha = np.int32(through[x])
            alphas[x] = alpha * 256 + (alpha >> 7 << 8)
        for k in range(3):
            dark, middle, bright = np.int32(stops[0][k]), np.int32(stops[1][k]), np.int32(stops[2][k])
            row = canvas[k, y, left:right]
            for x in range(len(row)):
                tone = tones[x] >> 12
                below = np.int32(tone if tone < 2048 else 2048)
                above = np.int32(tone - below)
                ramp = np.int32(dark * 2048 + (middle - dark) * below + (bright - middle) * above)
                lit = np.int32((ramp >> 7) * lights[x]) >> 16
                colour = np.int32(lit if lit < 4080 else 4080)
                row[x] += np.int32((colour - row[x]) * alphas[x]) >> 16


@compiled
def darken(
    canvas: Canvas,
    mask: NDArray[np.uint8],
    bounds: Bounds,
    across: int,
    down: int,
    soft: int,
    strength: int,
) -> None:
    """Cast the mask's shadow.

    Args:
        canvas: Changed in place.
        mask: Coverage, shape (H, W).
        bounds: Those of the mask.
        across: How many pixels to the right the shadow falls.
        down: How many pixels below.
        soft: The shadow's edge, in pixels to either side; at most 15.
        strength: 0 (none) to 256 (black).
    """
    _, height, width = canvas.shape
    top, bottom, left, right = bounds
    tall, wide = bottom - top + 2 * soft, right - left + 2 * soft
    side = 2 * soft + 1
    # Multiplying by this is dividing by the number of pixels, exactly, for all that occur (below 2 ** 26).
    inverse = (1 << 36) // (side * side) + 1
    sums = np.zeros((bottom - top, wide), dtype=np.int64)
    for y in range(bottom - top):
        total = 0
        for x in range(wide):
            if x < right - left:
                total += mask[top + y, left + x]
            if x >= side:
                total -= mask[top + y, left + x - side]
            sums[y, x] = total
    totals = np.zeros(wide, dtype=np.int64)
    first, last = max(0, soft - left - across), min(wide, width - left + soft - across)
    for y in range(tall):
        if y < bottom - top:
            totals += sums[y]
        if y >= side:
            totals -= sums[y - side]
        at = top + y - soft + down
        if 0 <= at < height and first < last:
            start = left - soft + across
            for k in range(3):
                row, shadow = canvas[k, at, start + first : start + last], totals[first:last]
                for x in range(len(row)):
                    row[x] = (row[x] * (65536 - (shadow[x] * strength * inverse >> 36))) >> 16

"""The channels of a tensor as one image, side by side, or as the frames of a video, and back.

``grid``      about square, row by row
``columns``   in columns as long as a file may be high, so in one mostly: the channels follow one another downwards
``rows``      a channel's values to a row

A frame holds one channel, or as many small ones as fit into 64 x 64: successive channels are at the same place of
successive frames, where a video codec looks for what is alike.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from splitbench.methods.base import MethodError

Layout = Literal["grid", "columns", "rows"]
LONGEST = 16383  # pixels that a side of a WebP file may have; JPEG takes four times as many, PNG and JPEG XL any
_FRAME = 64
_LARGEST = 89_478_485  # pixels from which on Pillow takes a file for an attack
_Bytes = npt.NDArray[np.uint8]


def tiled_shape(shape: tuple[int, ...], layout: Layout) -> tuple[int, int]:
    """Height and width of the image of maps of this shape. Raises MethodError where a file's sides are too short."""
    down, across, height, width = _tiles(shape, layout)
    size = down * height, across * width
    if (layout != "rows" and max(size) > LONGEST) or size[0] * size[1] > _LARGEST:
        raise MethodError(f"a tensor of {shape} is too large for an image's file: {size[0]} x {size[1]} pixels")
    return size


def tile(maps: _Bytes, layout: Layout) -> _Bytes:
    """Maps (C, H, W) as an image (H, W); what is left of it is 0."""
    down, across, height, width = _tiles(maps.shape, layout)
    room = np.zeros((down * across, height, width), np.uint8)
    room[: len(maps)] = maps.reshape(-1, height, width)
    return room.reshape(down, across, height, width).transpose(0, 2, 1, 3).reshape(down * height, across * width)


def untile(image: _Bytes, shape: tuple[int, int, int], layout: Layout) -> _Bytes:
    """Return the inverse of :func:`tile`, for maps of this shape."""
    down, across, height, width = _tiles(shape, layout)
    tiles = image.reshape(down, height, across, width).transpose(0, 2, 1, 3).reshape(-1, height, width)
    return tiles[: shape[0]].reshape(shape)


def _tiles(shape: tuple[int, ...], layout: Layout) -> tuple[int, int, int, int]:
    """Return how many tiles there are downwards and across, and the height and width of each."""
    channels, height, width = shape
    if layout == "rows":
        return channels, 1, 1, height * width
    across = math.ceil(channels * height / LONGEST)
    if layout == "grid":
        across = max(1, round(math.sqrt(channels * height / width)))
    elif across > 1:
        across = math.ceil(channels / (LONGEST // height))
    return math.ceil(channels / across), across, height, width


def frames_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the number, height and width of the frames of maps of this shape."""
    down, across, count = _places(shape)
    return count, down * shape[1], across * shape[2]


def to_frames(maps: _Bytes) -> _Bytes:
    """Maps (C, H, W) as frames (N, H, W); what is left of them is 0."""
    channels, height, width = maps.shape
    down, across, count = _places((channels, height, width))
    room = np.zeros((down * across * count, height, width), np.uint8)
    room[:channels] = maps
    places = room.reshape(down, across, count, height, width).transpose(2, 0, 3, 1, 4)
    return places.reshape(count, down * height, across * width)


def from_frames(frames: _Bytes, shape: tuple[int, int, int]) -> _Bytes:
    """Return the inverse of :func:`to_frames`, for maps of this shape."""
    channels, height, width = shape
    down, across, count = _places(shape)
    places = frames.reshape(count, down, height, across, width).transpose(1, 3, 0, 2, 4)
    return places.reshape(-1, height, width)[:channels]


def _places(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return how many maps there are in a frame downwards and across, and the number of frames."""
    channels, height, width = shape
    across = min(max(1, _FRAME // width), channels)
    down = min(max(1, _FRAME // height), math.ceil(channels / across))
    return down, across, math.ceil(channels / (down * across))

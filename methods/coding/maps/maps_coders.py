"""Maps of bytes into a compressor of bytes, all at once; or into a file for each tensor: an image, or a video."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from splitbench.methods.base import Bitstream, BitstreamError
from splitbench.methods.coding.image import image_files, video
from splitbench.methods.coding.maps.byte_maps import Maps, Shape
from splitbench.methods.coding.maps.compressors import CompressorName, compressor
from splitbench.methods.coding.maps.packing import Packing, pack, packed_size, unpack
from splitbench.methods.coding.maps.tiles import Layout, frames_shape, from_frames, tile, tiled_shape, to_frames, untile

_LENGTH_BYTES = 4


class CompressedMaps:
    """Maps of levels of ``bits`` bits each, packed and compressed; no framing."""

    def __init__(self, name: CompressorName, bits: int, packing: Packing) -> None:
        self.compressor, self.bits, self.packing = compressor(name), bits, packing

    def encode(self, maps: Sequence[Maps]) -> Bitstream:
        """One stream through all maps."""
        packed = b"".join(pack(x.reshape(-1), self.bits, self.packing) for x in maps)
        return Bitstream(self.compressor.compress(packed))

    def decode(self, data: memoryview, shapes: Sequence[Shape]) -> list[Maps]:
        """Return all maps. Raises BitstreamError."""
        sizes = [packed_size(math.prod(shape), self.bits, self.packing) for shape in shapes]
        packed = self.compressor.decompress(bytes(data), sum(sizes))
        decoded, start = [], 0
        for shape, size in zip(shapes, sizes, strict=True):
            part = packed[start : start + size]
            decoded.append(unpack(part, math.prod(shape), self.bits, self.packing).reshape(shape))
            start += size
        return decoded


class FiledMaps(ABC):
    """Each tensor's maps as a file; all but the last are preceded by their length, which is framing."""

    @abstractmethod
    def write(self, maps: Maps) -> bytes:
        """Encode maps (C, H, W). Raises MethodError where they are too large."""

    @abstractmethod
    def read(self, data: bytes, shape: Shape) -> Maps:
        """Return a file's maps. Raises BitstreamError."""

    @abstractmethod
    def overhead(self, data: bytes) -> tuple[int, int]:
        """Return how many bytes of a file are side information, and how many are framing."""

    def encode(self, maps: Sequence[Maps]) -> Bitstream:
        """Return all files, one behind the other; none for maps without elements."""
        files = [self.write(x) for x in maps if x.size]
        parts = [self.overhead(data) for data in files]
        framed = [len(data).to_bytes(_LENGTH_BYTES, "little") + data for data in files[:-1]] + files[-1:]
        side, framing = sum(side for side, _ in parts), sum(framing for _, framing in parts)
        return Bitstream(b"".join(framed), side, framing + _LENGTH_BYTES * len(files[:-1]))

    def decode(self, data: memoryview, shapes: Sequence[Shape]) -> list[Maps]:
        """Return all maps. Raises BitstreamError."""
        left = sum(math.prod(shape) > 0 for shape in shapes)
        if left == 0 and len(data):
            raise BitstreamError(f"damaged bitstream: {len(data)} bytes too many")
        decoded = []
        for shape in shapes:
            if math.prod(shape) == 0:
                decoded.append(np.zeros(shape, np.uint8))
                continue
            left -= 1
            length = len(data)
            if left > 0:
                length, data = int.from_bytes(data[:_LENGTH_BYTES], "little"), data[_LENGTH_BYTES:]
            decoded.append(self.read(bytes(data[:length]), shape))
            data = data[length:]
        return decoded


class TiledMaps(FiledMaps):
    """Maps side by side in an image."""

    def __init__(self, kind: image_files.Format, layout: Layout, options: Mapping[str, Any]) -> None:
        self.kind, self.layout, self.options = kind, layout, dict(options)

    def write(self, maps: Maps) -> bytes:
        """Tile the maps, and write the image."""
        tiled_shape(maps.shape, self.layout)
        return image_files.write(tile(maps, self.layout), self.kind, **self.options)

    def read(self, data: bytes, shape: Shape) -> Maps:
        """Read the image, and take the maps out of it."""
        return untile(image_files.read(data, self.kind, tiled_shape(shape, self.layout)), shape, self.layout)

    def overhead(self, data: bytes) -> tuple[int, int]:
        """Return the image file's."""
        return image_files.overhead(data, self.kind)


class VideoMaps(FiledMaps):
    """Maps as the frames of a video, each predicted from those before; small maps share frames (``tiles.py``)."""

    def __init__(self, kind: video.Kind, quality: int) -> None:
        self.kind, self.quality = kind, quality

    def write(self, maps: Maps) -> bytes:
        """Encode the frames."""
        return video.write(to_frames(maps), self.kind, self.quality)

    def read(self, data: bytes, shape: Shape) -> Maps:
        """Decode the frames, and take the maps out of them."""
        return from_frames(video.read(data, self.kind, frames_shape(shape)), shape)

    def overhead(self, data: bytes) -> tuple[int, int]:
        """Return no side information, and the stream's framing."""
        return 0, video.framing(data, self.kind)

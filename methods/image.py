"""image: the photograph itself is compressed and sent; the server runs the whole backbone. A trivial baseline.

What is coded is what the network would see: the picture after resizing and cropping, before normalization; the whole
picture for detectors, which resize by themselves. JPEG and WebP have a quality; PNG has none (its files are lossless;
``quality`` is then zlib's effort, 0 to 100, and moves only the time). With ``header: sent`` the bitstream is an
ordinary file. With ``header: shared`` (JPEG only) both sides know everything before the scan, which for one size and
quality is the same for every picture, and only the scan travels.

Of a JPEG file, the scan is payload, quantization and Huffman tables are side information, the other segments framing.
Of a PNG or WebP file, the container's fixed parts are framing and the rest is payload.
"""

import io
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field, model_validator

from splitbench.methods import base
from splitbench.methods.base import Bitstream, BitstreamError, Context, Cut, Deployment, MethodError, Specs

Format = Literal["jpeg", "webp", "png"]
Subsampling = Literal["4:4:4", "4:2:0"]

_END = b"\xff\xd9"
_SCAN, _TABLES = 0xDA, (0xDB, 0xC4)
_WEBP_FRAMING = 12 + 8  # the RIFF header and one chunk's header


class Settings(base.Settings):
    """``quality`` is the knob."""

    quality: int = Field(ge=0, le=100)
    format: Format = "jpeg"
    subsampling: Subsampling = "4:2:0"
    header: Literal["sent", "shared"] = "sent"

    @model_validator(mode="after")
    def _only_jpeg(self) -> "Settings":
        if self.format != "jpeg" and (self.header != "sent" or self.subsampling != "4:2:0"):
            raise ValueError("`header: shared` and `subsampling` are for `format: jpeg` only")
        return self


class ImageFile:
    """A picture file."""

    summary: ClassVar[str] = "the photograph as JPEG, WebP or PNG; everything else runs on the server"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "quality"
    rates: ClassVar[tuple[Any, ...]] = (5, 10, 20, 40, 60, 80, 95)
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = "input"
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Nothing to prepare. Raises MethodError where the network's input is no picture."""
        (spec,) = context.specs
        if spec.dtype != torch.uint8 or len(spec.shape) != 3 or spec.shape[0] != 3:
            raise MethodError(f"image needs a picture of three bytes a pixel, not {spec.dtype} {spec.shape}")
        return Deployment(context.head, _Codec(settings), context.tail)


class _Codec:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._headers: dict[tuple[int, int], bytes] = {}

    def encode(self, cut: Cut) -> list[Bitstream]:
        (pictures,) = cut
        return [self._encode(picture) for picture in pictures.permute(0, 2, 3, 1).cpu().numpy()]

    def _encode(self, picture: "np.ndarray[Any, np.dtype[np.uint8]]") -> Bitstream:
        data = self._file(picture)
        if self.settings.format == "webp":
            return Bitstream(data, framing=_WEBP_FRAMING)
        if self.settings.format == "png":
            return Bitstream(data, framing=len(data) - _png_payload(data))
        scan, tables = _jpeg_segments(data)
        if self.settings.header == "sent":
            return Bitstream(data, side=tables, framing=scan - tables + len(_END))
        header = self._header(picture.shape[0], picture.shape[1])
        if not data.startswith(header) or not data.endswith(_END):
            raise MethodError("this Pillow writes JPEG headers that depend on the picture: use `header: sent`")
        return Bitstream(data[len(header) : -len(_END)])

    def _file(self, picture: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
        buffer = io.BytesIO()
        image = Image.fromarray(picture)
        quality = self.settings.quality
        if self.settings.format == "png":
            image.save(buffer, "PNG", compress_level=quality * 9 // 100)
        elif self.settings.format == "webp":
            image.save(buffer, "WEBP", quality=quality, method=6)
        else:  # tables fitted to the picture are smaller together with their scan, unless tables cost nothing
            fitted = self.settings.header == "sent"
            image.save(buffer, "JPEG", quality=quality, subsampling=self.settings.subsampling, optimize=fitted)
        return buffer.getvalue()

    def _header(self, height: int, width: int) -> bytes:
        """All bytes before the scan of any JPEG of this size and quality."""
        if (height, width) not in self._headers:
            data = self._file(np.zeros((height, width, 3), np.uint8))
            self._headers[height, width] = data[: _jpeg_segments(data)[0]]
        return self._headers[height, width]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        (spec,) = specs
        _, height, width = spec.shape
        pictures = [self._decode(data, height, width) for data in streams]
        return (torch.stack(pictures) if pictures else torch.zeros(0, *spec.shape, dtype=spec.dtype),)

    def _decode(self, data: bytes, height: int, width: int) -> torch.Tensor:
        if self.settings.header == "shared":
            data = self._header(height, width) + data + _END
        if self.settings.format == "webp" and _webp_size(data) != (width, height):
            raise BitstreamError(f"damaged bitstream: no WebP file of one picture of {(width, height)}")
        try:
            image = Image.open(io.BytesIO(data), formats=[self.settings.format.upper()])
            if image.size != (width, height):
                raise BitstreamError(f"damaged bitstream: a picture of {image.size} instead of {(width, height)}")
            pixels = np.array(image.convert("RGB"))
        except (BitstreamError, MemoryError):
            raise
        except Exception as error:  # Pillow's decoders raise a dozen kinds for damaged files
            raise BitstreamError(f"damaged bitstream: {error}") from error
        return torch.from_numpy(pixels).permute(2, 0, 1)


def _jpeg_segments(data: bytes) -> tuple[int, int]:
    """Where the scan's entropy-coded data begins, and how many bytes before it are tables (ITU-T T.81, B.1)."""
    at, tables = 2, 0
    while True:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _TABLES:
            tables += 2 + length
        at += 2 + length
        if marker == _SCAN:
            return at, tables


def _png_payload(data: bytes) -> int:
    """Bytes of compressed pixels: the contents of all IDAT chunks, which follow an 8-byte signature."""
    at, payload = 8, 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        payload += length if data[at + 4 : at + 8] == b"IDAT" else 0
        at += 12 + length
    return payload


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a lossy WebP file of one chunk (RFC 9649, 2.5; RFC 6386, 9.1), None for any other.

    libwebp takes memory for as many pixels as the file tells before anyone can ask how many these are.
    """
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8 " or data[23:26] != b"\x9d\x01\x2a" or len(data) < 30:
        return None
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return width, height


METHOD = ImageFile()

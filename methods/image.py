"""image: the photograph itself is compressed and sent; the server runs the whole backbone. A trivial baseline.

What is coded is what the network would see: the image after resizing and cropping, before normalization; the whole
image for detectors, which resize by themselves. JPEG, WebP, AVIF and JPEG XL have a quality; PNG has none (its files
are lossless; ``quality`` is then zlib's effort, 0 to 100, and moves only the time). With ``header: sent`` the bitstream
is an ordinary file. With ``header: shared`` (JPEG only) both sides know everything before the scan, which for one size
and quality is the same for every image, and only the scan travels.

Of a JPEG file, the scan is payload, quantization and Huffman tables are side information, the other segments framing.
Of any other file, the container's fixed parts are framing and the rest is payload.

AVIF is there where Pillow was built with it (from 11.3 on its wheels are), JPEG XL with the extra ``jpeg-xl``.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from splitbench.methods import base
from splitbench.methods.base import Bitstream, Context, Cut, Deployment, MethodError, Specs
from splitbench.methods.coding.image import image_files
from splitbench.methods.coding.image.image_files import JPEG_END, Format, Pixels

Subsampling = Literal["4:4:4", "4:2:0"]


class Settings(base.Settings):
    """``quality`` is the knob."""

    quality: int = Field(ge=0, le=100)
    format: Format = "jpeg"
    subsampling: Subsampling = "4:2:0"
    header: Literal["sent", "shared"] = "sent"

    @model_validator(mode="after")
    def _possible(self) -> "Settings":
        if self.format != "jpeg" and (self.header != "sent" or self.subsampling != "4:2:0"):
            raise ValueError("`header: shared` and `subsampling` are for `format: jpeg` only")
        if needed := image_files.missing(self.format):
            raise ValueError(needed)
        return self


class ImageFile:
    """An image file."""

    summary: ClassVar[str] = "the photograph as JPEG, WebP, PNG, AVIF or JPEG XL; everything else runs on the server"
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
        """Nothing to prepare. Raises MethodError where the network's input is not an image."""
        (spec,) = context.specs
        if spec.dtype != torch.uint8 or len(spec.shape) != 3 or spec.shape[0] != 3:
            raise MethodError(f"image needs an image of three bytes a pixel, not {spec.dtype} {spec.shape}")
        return Deployment(context.head, _Codec(settings), context.tail)


class _Codec:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._headers: dict[tuple[int, int], bytes] = {}

    def encode(self, cut: Cut) -> list[Bitstream]:
        (images,) = cut
        return [self._encode(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()]

    def _encode(self, image: Pixels) -> Bitstream:
        data = self._file(image)
        if self.settings.header == "sent":
            return Bitstream(data, *image_files.overhead(data, self.settings.format))
        header = self._header(image.shape[0], image.shape[1])
        if not data.startswith(header) or not data.endswith(JPEG_END):
            raise MethodError("this Pillow writes JPEG headers that depend on the image: use `header: sent`")
        return Bitstream(data[len(header) : -len(JPEG_END)])

    def _file(self, image: Pixels) -> bytes:
        quality = self.settings.quality
        options: dict[str, Any] = {"quality": quality}
        if self.settings.format == "png":
            options = {"compress_level": quality * 9 // 100}
        elif self.settings.format == "webp":
            options |= {"method": 6}
        elif self.settings.format == "jpeg":  # fitted tables and their scan are smaller, unless tables cost nothing
            options |= {"subsampling": self.settings.subsampling, "optimize": self.settings.header == "sent"}
        return image_files.write(image, self.settings.format, **options)

    def _header(self, height: int, width: int) -> bytes:
        """Return all bytes before the scan of any JPEG of this size and quality."""
        if (height, width) not in self._headers:
            data = self._file(np.zeros((height, width, 3), np.uint8))
            self._headers[height, width] = data[: image_files.jpeg_segments(data)[0]]
        return self._headers[height, width]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        (spec,) = specs
        _, height, width = spec.shape
        images = [self._decode(data, height, width) for data in streams]
        return (torch.stack(images) if images else torch.zeros(0, *spec.shape, dtype=spec.dtype),)

    def _decode(self, data: bytes, height: int, width: int) -> torch.Tensor:
        if self.settings.header == "shared":
            data = self._header(height, width) + data + JPEG_END
        pixels = image_files.read(data, self.settings.format, (height, width, 3))
        return torch.from_numpy(pixels).permute(2, 0, 1)


METHOD = ImageFile()

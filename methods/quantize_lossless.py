"""quantize-lossless: linear quantization as in quantize-rle, then a common lossless coder.

It says what a reader asks first: what about zlib, or a PNG? Levels are quantize-rle's, so that the decoded cut and the
accuracy are its for equal settings; only the bytes differ. No training, no tables.

1. *Range* and *quantization* are quantize-rle's. With ``bits: 16`` and ``bits: 32`` nothing is quantized: what is coded
   are the cut's values as float16 and float32; integers, as an image has them, keep their type.
2. *Coding*, ``coder``. ``zlib``, ``zstd``, ``xz`` and ``bz2`` (``coding/maps/compressors.py``) code all tensors at
   once, channel by channel. ``packing: packed`` puts as many levels into a byte as fit (two of 3 or 4 bits), and
   floats in memory order; ``planes`` are bit planes, or of floats all first bytes, then all second ones. Which takes
   fewer bytes depends on cut and coder, by up to 11 % for levels; floats with many zeros take up to 25 % more as
   planes.
   ``png``, ``webp`` and ``jpeg-xl`` code an image for each tensor, in which its channels lie side by side
   (``coding/maps/tiles.py``) in the layout that was best for the format: rows, columns and grid. Of floats, each byte
   is a separate channel.

Each coder is as strong as it is in reasonable time, and has no container where it can do without. Bitstream of one
image:

    ranges        2 or 4 bytes per group and tensor     side information; absent with ``range: calibrated``
    code          the rest                              payload; of an image's file, the fixed parts are framing
                  each image but the last is preceded by its length in 4 bytes, little-endian: framing
"""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator

from splitbench.methods import base
from splitbench.methods.base import Context, Deployment
from splitbench.methods.coding.channels import channels_in_front
from splitbench.methods.coding.image import image_files
from splitbench.methods.coding.maps import compressors
from splitbench.methods.coding.maps.byte_maps import LevelMaps, MapsCodec, MapsCoder, ValueMaps
from splitbench.methods.coding.maps.maps_coders import CompressedMaps, TiledMaps
from splitbench.methods.coding.maps.packing import Packing
from splitbench.methods.coding.quantization import quantizer
from splitbench.methods.coding.quantization.quantizer import Quantizer

_FLOATS = {16: torch.float16, 32: torch.float32}
_IMAGE_CODERS = ("png", "webp", "jpeg-xl")
_PNG_PACKS = 4  # bits at most


class Settings(quantizer.Settings):
    """``bits: 16`` and ``bits: 32`` are floats, not quantized. ``packing`` is for coders of bytes, not of images."""

    bits: Annotated[float, Field(ge=1, le=32), *quantizer.WHOLE]
    coder: Literal["zlib", "zstd", "xz", "bz2", "png", "webp", "jpeg-xl"] = "xz"
    packing: Packing = "packed"

    @model_validator(mode="after")
    def _possible(self) -> "Settings":
        if self.bits > 8 and self.bits not in _FLOATS:
            raise ValueError("`bits` is 1 to 8, or 16 or 32 for values that are not quantized")
        quantized = {*quantizer.Settings.model_fields} - {"bits"}
        if self.bits in _FLOATS and any(
            getattr(self, key) != type(self).model_fields[key].default for key in quantized
        ):
            raise ValueError(f"with `bits: {self.bits}` nothing is quantized: leave out {', '.join(sorted(quantized))}")
        if self.coder in _IMAGE_CODERS and self.packing != "packed":
            raise ValueError("`packing` is for `coder: zlib`, `zstd`, `xz` and `bz2`: an image has a byte for a level")
        if needed := compressors.missing(self.coder) or image_files.missing(self.coder):
            raise ValueError(needed)
        return self


class QuantizeLossless:
    """Linear quantization, or floats, and a common lossless coder."""

    summary: ClassVar[str] = "linear quantization + zlib, zstd, xz, bz2, PNG, lossless WebP or JPEG XL, no training"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "bits"
    rates: ClassVar[tuple[Any, ...]] = (1, 2, 3, 4, 5, 6, 7, 8)
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = None
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Calibration images, for calibrated ranges."""
        return frozenset({"calibration"} if settings.range == "calibrated" else ())

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Fit the ranges where they are calibrated.

        Raises:
            MethodError: Calibration images are missing, or a tensor is too large for an image.
        """
        return channels_in_front(partial(_deploy, settings), context)


def _deploy(settings: Any, context: Context) -> Deployment:
    if settings.bits in _FLOATS:
        shuffled = settings.coder in _IMAGE_CODERS or settings.packing == "planes"
        codec = MapsCodec(ValueMaps(_FLOATS[settings.bits], shuffled), _coder(settings, 8, "packed"))
        return Deployment(context.head, codec, context.tail)
    fitted = Quantizer.fit(settings, context)
    stored = fitted.stored()
    codec = MapsCodec(LevelMaps(fitted), _coder(settings, settings.top.bit_length(), settings.packing))
    return Deployment(context.head, codec, context.tail, stored, stored)


def _coder(settings: Settings, bits: int, packing: Packing) -> MapsCoder:
    """Return the coder for maps of so many bits, with what made the fewest bytes of photographs' feature maps."""
    if settings.coder == "png":  # zlib's strategy 1 passes over matches of a few bytes
        packed = {"bits": bits} if bits <= _PNG_PACKS else {}
        return TiledMaps("png", "rows", {"compress_level": 9, "compress_type": 1} | packed)
    if settings.coder == "webp":  # `quality` is the effort, of which more costs 50 times the time for 1 % of the bytes
        return TiledMaps("webp", "columns", {"lossless": True, "quality": 75, "method": 6})
    if settings.coder == "jpeg-xl":
        return TiledMaps("jpeg-xl", "grid", {"lossless": True, "effort": 7})
    return CompressedMaps(settings.coder, bits, packing)


METHOD = QuantizeLossless()

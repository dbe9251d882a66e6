"""feature-image: the channels of a cut as a lossy image file, side by side, or as a video. No training.

What sc2-benchmark calls JPEG features, with real bytes. Unlike the methods that quantize, it spends bits by the
frequencies within a channel's map; zeros do not stay exact.

1. *Scaling* to bytes, by ranges of a tensor or of each channel, from each image or from calibration images
   (``coding/quantization/quantizer.py`` with 8 bits); values beyond a calibrated range are clipped.
2. *Tiling* into a grey image for each tensor (``coding/maps/tiles.py``), about square. ``order: similar`` puts channels
   beside each other that were alike on calibration images: a chain, in which each channel is followed by the nearest of
   those that are left. Both sides store the order.
3. *Coding* as JPEG, WebP, AVIF or JPEG XL of a ``quality``, as whole files (``coding/image/image_files.py``).
   With ``format: h264`` and ``hevc`` channels are the frames of a video instead, in the same orders, so that each is
   predicted from others, as in MPEG's feature coding for machines (``coding/image/video.py``); small ones share frames.

Bitstream of one image:

    ranges        2 or 4 bytes per group and tensor     side information; absent with ``range: calibrated``
    files         the rest                              a JPEG's tables are side information, all containers framing
                  each but the last is preceded by its length in 4 bytes, little-endian: framing
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from splitbench.methods import base
from splitbench.methods.base import Context, Deployment, MethodError, TensorSpec
from splitbench.methods.coding.channels import channels_in_front
from splitbench.methods.coding.image import image_files, video
from splitbench.methods.coding.layout import map_shape
from splitbench.methods.coding.maps.byte_maps import LevelMaps, Maps, MapsCodec, MapsCoder
from splitbench.methods.coding.maps.maps_coders import TiledMaps, VideoMaps
from splitbench.methods.coding.quantization import linear, quantizer
from splitbench.methods.coding.quantization.quantizer import Quantizer

_BITS = 8
_COARSE = 8  # maps are compared as means over so many places each way, at most


class Settings(base.Settings):
    """``quality`` is the knob. ``order``: channels as the network has them, or similar ones beside each other."""

    quality: int = Field(ge=0, le=100)
    format: Literal["jpeg", "webp", "avif", "jpeg-xl", "h264", "hevc"] = "jpeg"
    granularity: linear.Granularity = "tensor"
    range: Literal["image", "calibrated"] = "calibrated"
    order: Literal["network", "similar"] = "network"

    @model_validator(mode="after")
    def _possible(self) -> "Settings":
        if needed := image_files.missing(self.format) or video.missing(self.format):
            raise ValueError(needed)
        return self


class FeatureImage:
    """The channels as an image's file."""

    summary: ClassVar[str] = "the cut's channels as an image's file or a video, no training"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "quality"
    rates: ClassVar[tuple[Any, ...]] = (5, 10, 20, 40, 60, 80, 95)
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = None
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Calibration images, for calibrated ranges and for the order."""
        return frozenset({"calibration"} if settings.range == "calibrated" or settings.order == "similar" else ())

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Fit the ranges and the order. Raises MethodError where calibration images are missing."""
        return channels_in_front(partial(_deploy, settings), context)


def _deploy(settings: Any, context: Context) -> Deployment:
    scaling = quantizer.Settings(bits=_BITS, granularity=settings.granularity, range=settings.range)
    fitted = Quantizer.fit(scaling, context)
    orders = _similar(fitted, context) if settings.order == "similar" else []
    stored = fitted.stored() | {f"order.{index}": order for index, order in enumerate(orders)}
    codec = MapsCodec(_OrderedMaps(fitted, orders), _coder(settings))
    return Deployment(context.head, codec, context.tail, stored, stored)


def _coder(settings: Settings) -> MapsCoder:
    if settings.format == "h264" or settings.format == "hevc":
        return VideoMaps(settings.format, settings.quality)
    more: dict[str, dict[str, Any]] = {"jpeg": {"optimize": True}, "webp": {"method": 6}}
    return TiledMaps(settings.format, "grid", {"quality": settings.quality} | more.get(settings.format, {}))


class _OrderedMaps(LevelMaps):
    """Levels whose channels are in the given orders, or in the network's where there are none."""

    def __init__(self, fitted: Quantizer, orders: Sequence[Tensor]) -> None:
        super().__init__(fitted)
        self.orders = orders

    def maps(self, x: Tensor, index: int) -> tuple[list[bytes], Maps]:
        """Return the ranges of each image and its levels, in order."""
        sides, maps = super().maps(x, index)
        return sides, maps[:, self.orders[index].numpy()] if self.orders else maps

    def tensor(self, maps: Maps, index: int, ends: linear.Range | None, spec: TensorSpec) -> Tensor:
        """One image's tensor, in the network's order again."""
        restored = maps
        if self.orders:
            restored = np.empty_like(maps)
            restored[self.orders[index].numpy()] = maps
        return super().tensor(restored, index, ends, spec)


def _similar(fitted: Quantizer, context: Context) -> list[Tensor]:
    """For each tensor its channels, int16, each followed by the nearest of those that are left."""
    sums: list[Tensor] = []
    for cut in context.calibration():
        scaled = [_coarse(fitted.levels(x, fitted.ends_of(x, index)), x) for index, x in enumerate(cut)]
        sums = [a + b for a, b in zip(sums, scaled, strict=True)] if sums else scaled
    if not sums:
        raise MethodError("no calibration images: name some in the sweep's `calibration`")
    return [_chain(features) for features in sums]


def _coarse(levels: Tensor, x: Tensor) -> Tensor:
    """Sums over the images of each channel's map, (C, places), of as many places for maps of any size."""
    maps = levels.reshape(len(x), *map_shape(x.shape[1:])).double()
    return nn.functional.adaptive_avg_pool2d(maps, _COARSE).sum(0).flatten(1).cpu()


def _chain(features: Tensor) -> Tensor:
    """Return an order of the rows, from the largest one on."""
    distances = torch.cdist(features, features)
    at = int(features.sum(1).argmax())
    order = [at]
    for _ in range(len(features) - 1):
        distances[:, at] = torch.inf
        at = int(distances[at].argmin())
        order.append(at)
    return torch.tensor(order, dtype=torch.int16 if len(order) < 2**15 else torch.int32)


METHOD = FeatureImage()

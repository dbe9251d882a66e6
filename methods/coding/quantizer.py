"""Linear quantization of a cut, as the methods share it: settings, ranges that are sent or fitted once, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from splitbench.methods import base
from splitbench.methods.base import BitstreamError, Context, TensorSpec
from splitbench.methods.coding import linear, ranges


class Settings(base.Settings):
    """The quantizer's settings; ``bits`` is the knob.

    ``granularity``: one range for a tensor, or one per channel. ``range``: from each image, and sent with it, or fitted
    once on calibration images. ``clip: mse`` narrows it to the share that quantizes with the least squared error.
    ``rounding: deadzone`` makes more levels zero.
    """

    bits: int = Field(ge=1, le=8)
    granularity: linear.Granularity = "tensor"
    range: Literal["image", "calibrated"] = "image"
    clip: ranges.Clip = "none"
    rounding: linear.Rounding = "nearest"


@dataclass(frozen=True)
class Quantizer:
    """Quantizes a cut's tensors.

    ``fitted`` holds a range (1, G) for each of them, or is None where every image has its own; ``known`` are the same
    on the CPU, where bitstreams are decoded.
    """

    settings: Settings
    fitted: list[linear.Range] | None = None
    known: Sequence[linear.Range] = ()

    @classmethod
    def fit(cls, settings: Settings, context: Context) -> "Quantizer":
        """Fit ranges where they are calibrated. Raises MethodError where calibration images are missing."""
        if settings.range == "image":
            return cls(settings)
        how = settings.granularity, settings.bits, settings.clip, settings.rounding
        fitted = ranges.fitted(context.calibration, *how)
        return cls(settings, fitted, [linear.Range(ends.low.cpu(), ends.high.cpu()) for ends in fitted])

    def stored(self) -> dict[str, Tensor]:
        """The fitted ranges, as both sides store them."""
        named = {f"low.{i}": ends.low for i, ends in enumerate(self.fitted or ())}
        return named | {f"high.{i}": ends.high for i, ends in enumerate(self.fitted or ())}

    def ends_of(self, x: Tensor, index: int) -> linear.Range:
        """The ranges (B or 1, G) of tensor ``index`` of a cut. Raises MethodError for NaN and infinite values."""
        groups = linear.grouped(x, self.settings.granularity)
        if self.fitted is not None:
            linear.extent(groups)  # refuses what cannot be coded
            return self.fitted[index]
        return ranges.of_images(groups, self.settings.bits, self.settings.clip, self.settings.rounding)

    def sent(self, ends: linear.Range, images: int) -> list[bytes]:
        """What each image's bitstream tells of its ranges."""
        return ranges.to_bytes(ends) if self.fitted is None else [b""] * images

    def received(self, data: memoryview, index: int, groups: int) -> tuple[linear.Range, memoryview]:
        """One image's ranges (1, G) of tensor ``index``, and the bytes behind them. Raises BitstreamError."""
        if self.fitted is not None:
            return self.known[index], data
        ends, used = ranges.from_bytes(data, groups)
        return ends, data[used:]

    def groups(self, spec: TensorSpec, images: int) -> tuple[int, ...]:
        """The shape (B, G, N) of so many images' levels."""
        empty = torch.empty(images, *spec.shape, device="meta")
        return tuple(linear.grouped(empty, self.settings.granularity).shape)

    def levels(self, x: Tensor, ends: linear.Range) -> Tensor:
        """Levels (B, G, N), uint8."""
        groups = linear.grouped(x, self.settings.granularity)
        return linear.quantize(groups, ends, self.settings.bits, self.settings.rounding)

    def symbols(self, x: Tensor, ends: linear.Range) -> Tensor:
        """Levels less their zero point, int32, in the shape of ``x``: 0 stands for 0."""
        zero = ends.steps(self.settings.bits)[1].int()[..., None]
        return (self.levels(x, ends).int() - zero).reshape(x.shape)

    def from_symbols(self, symbols: Tensor, ends: linear.Range, spec: TensorSpec) -> Tensor:
        """One image's tensor from symbols (1, ...). Raises BitstreamError for one that no level has."""
        bits = self.settings.bits
        levels = symbols.reshape(self.groups(spec, 1)).long() + ends.steps(bits)[1].long()[..., None]
        if bool(((levels < 0) | (levels >= 2**bits)).any()):
            raise BitstreamError("damaged bitstream: a symbol is no level of the quantizer")
        return self.values(levels, ends, spec)[0]

    def values(self, levels: Tensor, ends: linear.Range, spec: TensorSpec) -> Tensor:
        """The tensor (B, ...) of levels (B, G, N), as the network gave it."""
        values = linear.dequantize(levels, ends, self.settings.bits).reshape(len(levels), *spec.shape)
        return values.to(spec.dtype) if spec.dtype.is_floating_point else values.round().to(spec.dtype)

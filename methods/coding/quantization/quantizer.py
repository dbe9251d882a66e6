"""Linear quantization of a cut, as the methods share it: settings, ranges that are sent or fitted once, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, PlainSerializer
from torch import Tensor

from splitbench.methods import base
from splitbench.methods.base import BitstreamError, Context, TensorSpec
from splitbench.methods.coding.quantization import linear, ranges


def whole(bits: float) -> float:
    """Return whole numbers as such: keys hold 2, and not 2.0."""
    return int(bits) if bits == int(bits) else bits


WHOLE = AfterValidator(whole), PlainSerializer(whole, return_type=Any)
"""Annotations of a number that is a whole one where it can be, in keys, too."""


class Settings(base.Settings):
    """The quantizer's settings; ``bits`` is the knob.

    ``bits``: the logarithm of the number of levels, 1 to 8. A value between whole ones is rounded to a whole number of
    levels: 2.5 to 6. ``granularity``: one range for a tensor, or one per channel. ``range``: from each image, and sent
    with it, or fitted once on calibration images. ``clip: mse`` narrows it to the share that quantizes with the least
    squared error, ``clip: model`` to the limits with the least error of a Laplace distribution of the same moments.
    ``rounding: deadzone`` makes more levels zero.
    """

    bits: Annotated[float, Field(ge=1, le=8), *WHOLE]
    granularity: linear.Granularity = "tensor"
    range: Literal["image", "calibrated"] = "image"
    clip: ranges.Clip = "none"
    rounding: linear.Rounding = "nearest"

    @property
    def top(self) -> int:
        """The highest level; the lowest is 0."""
        return round(2**self.bits) - 1


@dataclass(frozen=True)
class Quantizer:
    """Quantizes a cut's tensors.

    ``fitted`` holds a range (1, G) for each of them, or is None where they are taken from each image; ``known`` are the
    same on the CPU, where bitstreams are decoded.
    """

    settings: Settings
    fitted: list[linear.Range] | None = None
    known: Sequence[linear.Range] = ()

    @classmethod
    def fit(cls, settings: Settings, context: Context) -> "Quantizer":
        """Fit ranges where they are calibrated. Raises MethodError where calibration images are missing."""
        if settings.range == "image":
            return cls(settings)
        how = settings.granularity, settings.top, settings.clip, settings.rounding
        fitted = ranges.fitted(context.calibration, *how)
        return cls(settings, fitted, [linear.Range(ends.low.cpu(), ends.high.cpu()) for ends in fitted])

    def stored(self) -> dict[str, Tensor]:
        """Return the fitted ranges, as both sides store them."""
        named = {f"low.{i}": ends.low for i, ends in enumerate(self.fitted or ())}
        return named | {f"high.{i}": ends.high for i, ends in enumerate(self.fitted or ())}

    def ends_of(self, x: Tensor, index: int) -> linear.Range:
        """Return the ranges (B or 1, G) of tensor ``index`` of a cut. Raises MethodError for NaN and infinity."""
        groups = linear.grouped(x, self.settings.granularity)
        if self.fitted is not None:
            linear.extent(groups)  # refuses what cannot be coded
            return self.fitted[index]
        return ranges.of_images(groups, self.settings.top, self.settings.clip, self.settings.rounding)

    def sent(self, ends: linear.Range, images: int) -> list[bytes]:
        """Return the side information on each image's ranges."""
        return ranges.to_bytes(ends) if self.fitted is None else [b""] * images

    def received(self, data: memoryview, index: int, groups: int) -> tuple[linear.Range, memoryview]:
        """One image's ranges (1, G) of tensor ``index``, and the bytes behind them. Raises BitstreamError."""
        if self.fitted is not None:
            return self.known[index], data
        ends, used = ranges.from_bytes(data, groups)
        return ends, data[used:]

    def groups(self, spec: TensorSpec, images: int) -> tuple[int, ...]:
        """Return the shape (B, G, N) of so many images' levels."""
        empty = torch.empty(images, *spec.shape, device="meta")
        return tuple(linear.grouped(empty, self.settings.granularity).shape)

    def levels(self, x: Tensor, ends: linear.Range) -> Tensor:
        """Levels (B, G, N), uint8."""
        groups = linear.grouped(x, self.settings.granularity)
        return linear.quantize(groups, ends, self.settings.top, self.settings.rounding)

    def symbols(self, x: Tensor, ends: linear.Range) -> Tensor:
        """Levels less their zero point, int32, in the shape of ``x``: 0 stands for 0."""
        zero = ends.steps(self.settings.top)[1].int()[..., None]
        return (self.levels(x, ends).int() - zero).reshape(x.shape)

    def from_symbols(self, symbols: Tensor, ends: linear.Range, spec: TensorSpec) -> Tensor:
        """One image's tensor from symbols (1, ...). Raises BitstreamError for one that no level has."""
        top = self.settings.top
        levels = symbols.reshape(self.groups(spec, 1)).long() + ends.steps(top)[1].long()[..., None]
        if bool(((levels < 0) | (levels > top)).any()):
            raise BitstreamError("damaged bitstream: a symbol is no level of the quantizer")
        return self.values(levels, ends, spec)[0]

    def values(self, levels: Tensor, ends: linear.Range, spec: TensorSpec) -> Tensor:
        """Return the tensor (B, ...) of levels (B, G, N), as the network gave it."""
        values = linear.dequantize(levels, ends, self.settings.top).reshape(len(levels), *spec.shape)
        return values.to(spec.dtype) if spec.dtype.is_floating_point else values.round().to(spec.dtype)

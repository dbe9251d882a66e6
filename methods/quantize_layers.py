"""quantize-layers: the levels of quantize-context in layers, each with a third of the step of the one before.

A device encodes once, and any number of the first layers decode: a link or a server drops the others. They decode to
what quantize-context codes with their step, so that the difference in bytes is what being layered costs.

1. *Quantization* is quantize-context's, with the step of the last layer. The layer before rounds its symbols to
   multiples of 3, and so on: intervals are three times as wide, and 0 stays in the middle of its interval. Decoded are
   the middles.
2. The *base layer* is coded as by quantize-context.
3. *Enhancement layers* say in which third of its interval each value is: range coding with tables by the channel, the
   coarse symbol and all its neighbours (``coding/context/refinement_contexts.py``). All tables are integers, counted on
   calibration images and stored on both sides.

Bitstream of one image, for each layer:

    length        1 or more bytes (``coding/layers.py``)      framing
    ranges        2 or 4 bytes per group and tensor           side information; in the base layer with ``range: image``
    symbols       the rest                                    payload: one stream through all tensors
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from splitbench.methods import base
from splitbench.methods.base import Bitstream, BitstreamError, Context, Cut, Deployment, Prefix, Specs, TensorSpec
from splitbench.methods.coding.channels import channels_in_front
from splitbench.methods.coding.context import context_tables
from splitbench.methods.coding.context.layered_coder import LayeredCoder, fit
from splitbench.methods.coding.context.neighbours import Maps
from splitbench.methods.coding.layers import divided, layered
from splitbench.methods.coding.layout import map_shape, stacked
from splitbench.methods.coding.quantization import quantizer
from splitbench.methods.coding.quantization.linear import Range
from splitbench.methods.coding.quantization.quantizer import Quantizer

LAYERS = 4


class Settings(quantizer.Settings):
    """The quantizer's settings, ``bits`` being those of the base layer; ``layers``, how many are sent, is the knob."""

    layers: int = Field(ge=1, le=LAYERS)
    bits: Annotated[float, Field(ge=1, le=3.3), *quantizer.WHOLE] = 2
    range: Literal["image", "calibrated"] = "calibrated"

    @property
    def top(self) -> int:
        """The highest level of the last layer; the lowest is 0."""
        return (round(2**self.bits) - 1) * int(3 ** (LAYERS - 1))

    def coding_revision(self) -> int:
        """See the base class."""
        return context_tables.REVISION


class QuantizeLayers:
    """Linear quantization in layers whose prefixes decode."""

    summary: ClassVar[str] = "quantize-context in layers: encoded once, and any number of the first ones decode"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "layers"
    rates: ClassVar[tuple[Any, ...]] = tuple(range(1, LAYERS + 1))
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = None
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Calibration images, for the tables."""
        return frozenset({"calibration"})

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Fit the ranges and tables of all layers. Raises MethodError where calibration images are missing."""
        every = settings.model_copy(update={"layers": LAYERS})
        whole = context.once(every, partial(channels_in_front, partial(_deploy, every), context))
        return replace(whole, codec=Prefix(whole.codec, settings.layers))


def _deploy(settings: Settings, context: Context) -> Deployment:
    fitted = Quantizer.fit(settings, context)
    largest = settings.top // 3 ** (LAYERS - 1)
    tables = [
        fit(map_shape(spec.shape)[0], largest, LAYERS, partial(_images, fitted, context, index))
        for index, spec in enumerate(context.specs)
    ]
    stored = fitted.stored()
    for index, tensor in enumerate(tables):
        stored |= tensor.to_tensors(str(index))
    return Deployment(context.head, _Codec(fitted, LayeredCoder(tables)), context.tail, stored, stored)


def _images(fitted: Quantizer, context: Context, index: int) -> Iterator[Maps]:
    """Yield the symbols of one tensor of the cut in each calibration image."""
    for cut in context.calibration():
        yield from _maps(fitted, cut[index], fitted.ends_of(cut[index], index))


def _maps(fitted: Quantizer, x: Tensor, ends: Range) -> Maps:
    """Return the symbols of the last layer, (B, C, H, W)."""
    symbols: Maps = fitted.symbols(x, ends).reshape(len(x), *map_shape(x.shape[1:])).contiguous().cpu().numpy()
    return symbols


class _Codec:
    def __init__(self, fitted: Quantizer, coder: LayeredCoder) -> None:
        self.quantizer, self.coder = fitted, coder

    def encode(self, cut: Cut) -> list[Bitstream]:
        ends = [self.quantizer.ends_of(x, index) for index, x in enumerate(cut)]
        sent = [self.quantizer.sent(span, len(x)) for x, span in zip(cut, ends, strict=True)]
        maps = [_maps(self.quantizer, x, span) for x, span in zip(cut, ends, strict=True)]
        sides = [b"".join(image) for image in zip(*sent, strict=True)]
        coded = [self.coder.encode(image) for image in zip(*maps, strict=True)]
        return [
            layered([side + first, *others], len(side)) for side, (first, *others) in zip(sides, coded, strict=True)
        ]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        return stacked([self._decode_image(data, specs) for data in streams], specs)

    def _decode_image(self, data: bytes, specs: Specs) -> list[Tensor]:
        first, *others = divided(data, LAYERS)
        ends = []
        for index, spec in enumerate(specs):
            span, first = self.quantizer.received(first, index, self.quantizer.groups(spec, 1)[1])
            ends.append(span)
        tensors = self.coder.decode([first, *others], [map_shape(spec.shape) for spec in specs])
        width = 3 ** (LAYERS - 1 - len(others))
        return [self._values(*tensor, width) for tensor in zip(tensors, ends, specs, strict=True)]

    def _values(self, maps: Maps, ends: Range, spec: TensorSpec, width: int) -> Tensor:
        """Return the middles of intervals so many levels wide. Raises BitstreamError for one beyond all levels."""
        top = self.quantizer.settings.top
        symbols = torch.from_numpy(maps).long().reshape(self.quantizer.groups(spec, 1))
        levels = symbols * width + ends.steps(top)[1].long()[..., None]
        clipped = levels.clamp(0, top)
        if bool(((levels - clipped).abs() > width // 2).any()):
            raise BitstreamError("damaged bitstream: a symbol is no level of the quantizer")
        return self.quantizer.values(clipped, ends, spec)[0]


METHOD = QuantizeLayers()
"""quantize-context in layers."""

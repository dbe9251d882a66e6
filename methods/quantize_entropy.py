"""quantize-entropy: linear quantization as in quantize-rle, then range coding with tables fitted on calibration images.

It shows how much of quantize-rle's rate is due to its coder: the levels are the same, so the decoded cut and the
accuracy are quantize-rle's for equal settings; only the bytes differ.

1. *Range* and *quantization* are quantize-rle's. A symbol is a level less its zero point, so 0 stands for 0.
   ``levels: designed`` takes such as were designed for few bits (``coding/quantization/designed_levels.py``).
2. *Entropy coding*, ``coder: range``: range coding (``coding/entropy/range_coder.py``) with integer tables
   (``coding/entropy/probability_tables.py``) that are counted on calibration images and stored on both sides, not sent.
   A tensor has a table per channel, or one for all, whichever takes fewer bits for calibration images and tables. Where
   a cut has its channels is in ``coding/layout.py``.
   ``coder: huffman``: Huffman coding (``coding/entropy/huffman.py``) with one table for all channels, as the authors of
   the bottleneck units do.

Bitstream of one image:

    ranges        2 or 4 bytes per group and tensor     side information; absent with ``range: calibrated``
    symbols       the rest                              payload: one stream through all tensors, no framing
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor

from splitbench.methods import base
from splitbench.methods.base import Context, Deployment, MethodError, TensorSpec
from splitbench.methods.coding.channels import channels_in_front
from splitbench.methods.coding.entropy.counts import Counts, cheapest
from splitbench.methods.coding.entropy.huffman import HuffmanCoder
from splitbench.methods.coding.entropy.probability_tables import Tables
from splitbench.methods.coding.entropy.range_coder import RangeCoder
from splitbench.methods.coding.layout import channel_axis
from splitbench.methods.coding.quantization import designed_levels
from splitbench.methods.coding.quantization.quantizer import Quantizer
from splitbench.methods.coding.quantization.symbols_codec import SymbolsCodec


class Settings(designed_levels.Settings):
    """``coder``: range coding with tables per channel, or Huffman coding with one table for all."""

    coder: Literal["range", "huffman"] = "range"


class QuantizeEntropy:
    """Linear quantization and entropy coding with fitted tables."""

    summary: ClassVar[str] = "linear quantization + range coding with calibrated tables, no training"
    version: ClassVar[int] = 2
    knob: ClassVar[str] = "bits"
    rates: ClassVar[tuple[Any, ...]] = (1, 2, 3, 4, 5, 6, 7, 8)
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = None
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Calibration images, for the tables."""
        return frozenset({"calibration"})

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Fit ranges and tables. Raises MethodError where calibration images are missing."""
        fit = partial(_deploy, settings)
        return channels_in_front(fit, context) if settings.granularity == "channel" else fit(context)


def _deploy(settings: Any, context: Context) -> Deployment:
    fitted = designed_levels.fit(settings, context)
    layouts, tables = _fit(fitted, settings, context)
    stored = fitted.stored()
    for index, table in enumerate(tables):
        stored |= table.to_tensors(str(index))
    coder = RangeCoder(tables) if settings.coder == "range" else HuffmanCoder(tables)
    return Deployment(context.head, SymbolsCodec(fitted, layouts, coder), context.tail, stored, stored)


def _fit(fitted: Quantizer, settings: Settings, context: Context) -> tuple[list["_GroupedRows"], list[Tables]]:
    """Return for each tensor of the cut the layout whose rows have separate tables, and the tables."""
    largest = settings.top
    candidates = [_layouts(spec, settings.coder) for spec in context.specs]
    counts = [
        [Counts(layout.shape(spec)[0], -largest, largest) for layout in layouts]
        for spec, layouts in zip(context.specs, candidates, strict=True)
    ]
    images = 0
    for cut in context.calibration():
        images += len(cut[0])
        for index, (x, layouts, ways) in enumerate(zip(cut, candidates, counts, strict=True)):
            symbols = fitted.symbols(x, fitted.ends_of(x, index))
            for layout, way in zip(layouts, ways, strict=True):
                way.add(layout.arrange(symbols))
    if images == 0:
        raise MethodError("no calibration images: name some in the sweep's `calibration`")
    best = [cheapest(ways) for ways in counts]
    chosen = [layouts[index] for layouts, index in zip(candidates, best, strict=True)]
    return chosen, [ways[index].tables() for ways, index in zip(counts, best, strict=True)]


def _layouts(spec: TensorSpec, coder: str) -> list["_GroupedRows"]:
    """Return the layouts that tables may belong to: one row, or one for each channel.

    Other axes may be of another size in the next image. A vector has one table anyway.
    """
    several = coder == "range" and len(spec.shape) > 1 and spec.elements > 0
    return [_GroupedRows(0), _GroupedRows(channel_axis(spec) + 1)] if several else [_GroupedRows(0)]


@dataclass(frozen=True)
class _GroupedRows:
    """Symbols as (B, G, N): the places along ``axis`` are groups; with axis 0 there is one."""

    axis: int

    def arrange(self, symbols: Tensor) -> Tensor:
        moved = symbols.movedim(self.axis, 1) if self.axis > 0 else symbols
        return moved.reshape(len(symbols), *self._shape(symbols.shape[1:]))

    def shape(self, spec: TensorSpec) -> tuple[int, int]:
        return self._shape(spec.shape)

    def _shape(self, shape: Sequence[int]) -> tuple[int, int]:
        groups = shape[self.axis - 1] if self.axis > 0 else 1
        return groups, math.prod(shape) // groups

    def restore(self, symbols: Tensor, spec: TensorSpec) -> Tensor:
        if self.axis == 0:
            return symbols.reshape(1, *spec.shape)
        channels, *others = spec.shape[self.axis - 1], *spec.shape[: self.axis - 1], *spec.shape[self.axis :]
        return symbols.reshape(1, channels, *others).movedim(1, self.axis)


METHOD = QuantizeEntropy()

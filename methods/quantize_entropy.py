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
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from splitbench.methods import base
from splitbench.methods.base import Bitstream, Context, Cut, Deployment, MethodError, Specs, TensorSpec
from splitbench.methods.coding.channels import channels_in_front
from splitbench.methods.coding.entropy.counts import Counts, cheapest
from splitbench.methods.coding.entropy.huffman import HuffmanCoder
from splitbench.methods.coding.entropy.probability_tables import Tables
from splitbench.methods.coding.entropy.range_coder import RangeCoder
from splitbench.methods.coding.layout import channel_axis
from splitbench.methods.coding.quantization import designed_levels
from splitbench.methods.coding.quantization.quantizer import Quantizer


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
    axes, tables = _fit(fitted, settings, context)
    stored = fitted.stored()
    for index, table in enumerate(tables):
        stored |= table.to_tensors(str(index))
    coder = RangeCoder(tables) if settings.coder == "range" else HuffmanCoder(tables)
    return Deployment(context.head, _Codec(fitted, axes, coder), context.tail, stored, stored)


def _fit(fitted: Quantizer, settings: Settings, context: Context) -> tuple[list[int], list[Tables]]:
    """For each tensor of the cut: the axis whose places have separate tables, 0 for one table; and the tables."""
    largest = settings.top
    candidates = [_axes(spec, settings.coder) for spec in context.specs]
    counts = [
        [Counts(_groups(spec.shape, axis), -largest, largest) for axis in axes]
        for spec, axes in zip(context.specs, candidates, strict=True)
    ]
    images = 0
    for cut in context.calibration():
        images += len(cut[0])
        for index, (x, axes, ways) in enumerate(zip(cut, candidates, counts, strict=True)):
            symbols = fitted.symbols(x, fitted.ends_of(x, index))
            for axis, way in zip(axes, ways, strict=True):
                way.add(_rows(symbols, axis))
    if images == 0:
        raise MethodError("no calibration images: name some in the sweep's `calibration`")
    best = [cheapest(ways) for ways in counts]
    axes = [candidate[index] for candidate, index in zip(candidates, best, strict=True)]
    return axes, [ways[index].tables() for ways, index in zip(counts, best, strict=True)]


def _axes(spec: TensorSpec, coder: str) -> list[int]:
    """Return the axes, counted with the batch's, that tables may belong to: 0 for one table, or that of the channels.

    Other axes may be of another size in the next image. A vector has one table anyway.
    """
    several = coder == "range" and len(spec.shape) > 1 and spec.elements > 0
    return [0, channel_axis(spec) + 1] if several else [0]


def _groups(shape: tuple[int, ...], axis: int) -> int:
    return shape[axis - 1] if axis > 0 else 1


def _rows(x: Tensor, axis: int) -> Tensor:
    """(B, ...) as (B, G, N), with the places along ``axis`` as groups."""
    groups = _groups(tuple(x.shape[1:]), axis)
    moved = x.movedim(axis, 1) if axis > 0 else x
    return moved.reshape(len(x), groups, math.prod(x.shape[1:]) // groups)


class _Codec:
    def __init__(self, fitted: Quantizer, axes: list[int], coder: RangeCoder | HuffmanCoder) -> None:
        self.quantizer, self.axes, self.coder = fitted, axes, coder

    def encode(self, cut: Cut) -> list[Bitstream]:
        sides = [b""] * len(cut[0])
        symbols = []
        for index, (x, axis) in enumerate(zip(cut, self.axes, strict=True)):
            ends = self.quantizer.ends_of(x, index)
            symbols.append(_rows(self.quantizer.symbols(x, ends), axis).contiguous().cpu().numpy())
            sides = [a + b for a, b in zip(sides, self.quantizer.sent(ends, len(x)), strict=True)]
        payloads = (self.coder.encode(image) for image in zip(*symbols, strict=True))
        return [Bitstream(side + data, len(side)) for side, data in zip(sides, payloads, strict=True)]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        rows = [self._decode_image(memoryview(data), specs) for data in streams]
        empty = [torch.zeros(0, *spec.shape, dtype=spec.dtype) for spec in specs]
        return tuple(torch.stack(tensors) for tensors in zip(*rows, strict=True)) if rows else tuple(empty)

    def _decode_image(self, data: memoryview, specs: Specs) -> list[Tensor]:
        ends = []
        for index, spec in enumerate(specs):
            span, data = self.quantizer.received(data, index, self.quantizer.groups(spec, 1)[1])
            ends.append(span)
        templates = [torch.empty(1, *spec.shape, device="meta") for spec in specs]
        layouts = [_rows(x, axis) for x, axis in zip(templates, self.axes, strict=True)]
        coded = self.coder.decode(data, [(x.shape[1], x.shape[2]) for x in layouts])
        tensors = []
        for rows, axis, spec, span in zip(coded, self.axes, specs, ends, strict=True):
            moved = [spec.shape[axis - 1], *spec.shape[: axis - 1], *spec.shape[axis:]] if axis > 0 else spec.shape
            symbols = torch.from_numpy(rows).reshape(1, *moved)
            tensors.append(self.quantizer.from_symbols(symbols.movedim(1, axis) if axis > 0 else symbols, span, spec))
        return tensors


METHOD = QuantizeEntropy()

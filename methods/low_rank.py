"""low-rank: the leading singular vectors of each image's cut, quantized and range coded. No training.

A tensor is taken as a matrix of C channels by N places and sent as the product of C x r and r x N. Unlike the methods
that quantize each value, this spends its bits on what channels have in common.

1. *Factors* (``coding/factors.py``): nearly the best approximation of rank r, by subspace iteration. The device
   computes matrix products, whose MACs are counted; the orthogonalizations between them, far fewer where r is small
   beside N, are not. Each singular value is divided evenly between its two vectors.
2. *Quantization*: one step per image and tensor; the largest entry gets the outermost of the levels of ``bits``.
3. *Coding*: range coding (``coding/entropy/range_coder.py``) with a table for each component of either factor, counted
   on calibration images.

A tensor that was never negative on calibration images is cut off at 0 after decoding.

Bitstream of one image:

    steps         4 bytes per tensor, float32     side information
    symbols       the rest                        payload: left and right factor of every tensor, no framing
"""

import math
import struct
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from splitbench.methods import base
from splitbench.methods.base import Bitstream, BitstreamError, Context, Cut, Deployment, MethodError, Specs, TensorSpec
from splitbench.methods.coding.entropy.counts import Counts
from splitbench.methods.coding.entropy.range_coder import RangeCoder
from splitbench.methods.coding.factors import as_matrix, factorize, from_matrix
from splitbench.methods.coding.layout import stacked


class Settings(base.Settings):
    """``rank`` is the knob: how many components are sent. ``bits`` of a factor's entry before coding."""

    rank: int = Field(ge=1, le=256)
    bits: int = Field(default=6, ge=2, le=12)
    iterations: int = Field(default=2, ge=0, le=10)


class LowRank:
    """Truncated singular value decompositions."""

    summary: ClassVar[str] = "the cut's leading singular vectors, quantized and range coded, no training"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "rank"
    rates: ClassVar[tuple[Any, ...]] = (1, 2, 4, 8, 16, 32)
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = None
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Calibration images, for the tables."""
        return frozenset({"calibration"})

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Count the tables. Raises MethodError where calibration images are missing."""
        largest = 2 ** (settings.bits - 1) - 1
        counts = [[Counts(settings.rank, -largest, largest) for _ in range(2)] for _ in context.specs]
        signed = [False] * len(context.specs)
        images = 0
        for cut in context.calibration():
            images += len(cut[0])
            for index, (x, spec) in enumerate(zip(cut, context.specs, strict=True)):
                signed[index] = signed[index] or bool((x < 0).any())
                for image in x:
                    factors = _symbols(image, spec, settings)[1]
                    for count, factor in zip(counts[index], factors, strict=True):
                        count.add(torch.from_numpy(factor))
        if images == 0:
            raise MethodError("no calibration images: name some in the sweep's `calibration`")
        tables = [count.tables() for pair in counts for count in pair]
        stored = {"signed": torch.tensor(signed)}
        for index, table in enumerate(tables):
            stored |= table.to_tensors(str(index))
        return Deployment(context.head, _Codec(settings, RangeCoder(tables), signed), context.tail, stored, stored)


def _symbols(image: Tensor, spec: TensorSpec, settings: Settings) -> tuple[float, list[NDArray[np.int32]]]:
    """Return the step of one image's tensor, and its factors (rank, C) and (rank, N) in steps."""
    matrix = as_matrix(image.float(), spec)
    if not bool(torch.isfinite(matrix).all()):
        raise MethodError("low-rank cannot code NaN or infinite values: the cut has some")
    left, right = factorize(matrix, settings.rank, settings.iterations)
    largest = 2 ** (settings.bits - 1) - 1
    most = max((float(factor.abs().max()) for factor in (left, right) if factor.numel()), default=0.0)
    step = float(np.float32(most / largest)) or 1.0
    return step, [
        (factor / step).round().clamp(-largest, largest).to(torch.int32).cpu().numpy() for factor in (left, right)
    ]


class _Codec:
    def __init__(self, settings: Settings, coder: RangeCoder, signed: Sequence[bool]) -> None:
        self.settings, self.coder, self.signed = settings, coder, signed

    def encode(self, cut: Cut) -> list[Bitstream]:
        return [self._encode_image(image) for image in zip(*cut, strict=True)]

    def _encode_image(self, image: Sequence[Tensor]) -> Bitstream:
        specs = [TensorSpec(tuple(x.shape), x.dtype) for x in image]
        parts = [_symbols(x, spec, self.settings) for x, spec in zip(image, specs, strict=True)]
        side = b"".join(struct.pack("<f", step) for step, _ in parts)
        return Bitstream(side + self.coder.encode([factor for _, factors in parts for factor in factors]), len(side))

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        return stacked([self._decode_image(memoryview(data), specs) for data in streams], specs)

    def _decode_image(self, data: memoryview, specs: Specs) -> list[Tensor]:
        sent = 4 * len(specs)
        if len(data) < sent:
            raise BitstreamError(f"damaged bitstream: {len(data)} bytes, where {sent} of steps come first")
        steps = struct.unpack(f"<{len(specs)}f", data[:sent])
        if not all(math.isfinite(step) and step > 0 for step in steps):
            raise BitstreamError("damaged bitstream: a step that is not above 0")
        shapes = [(self.settings.rank, size) for spec in specs for size in as_matrix(_like(spec), spec).shape]
        factors = [torch.from_numpy(rows).float() for rows in self.coder.decode(data[sent:], shapes)]
        tensors = []
        for index, (spec, step) in enumerate(zip(specs, steps, strict=True)):
            left, right = (factor * step for factor in factors[2 * index : 2 * index + 2])
            values = from_matrix(left.T @ right, spec)
            tensors.append(_typed(values if self.signed[index] else values.relu(), spec))
        return tensors


def _like(spec: TensorSpec) -> Tensor:
    return torch.empty(spec.shape, device="meta")


def _typed(values: Tensor, spec: TensorSpec) -> Tensor:
    return values.to(spec.dtype) if spec.dtype.is_floating_point else values.round().to(spec.dtype)


METHOD = LowRank()

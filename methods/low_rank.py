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
from dataclasses import dataclass
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
from splitbench.methods.coding.factors import as_matrix, factorize, from_matrix, matrix_shape
from splitbench.methods.coding.layout import channel_axis


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
        factors = [_Factors.of(spec, settings) for spec in context.specs]
        counts = [[Counts(one.rank, -one.largest, one.largest) for _ in range(2)] for one in factors]
        signed = [False] * len(factors)
        images = 0
        for cut in context.calibration():
            images += len(cut[0])
            for index, (x, one) in enumerate(zip(cut, factors, strict=True)):
                signed[index] = signed[index] or bool((x < 0).any())
                for image in x:
                    for count, symbols in zip(counts[index], one.symbols(image)[1], strict=True):
                        count.add(torch.from_numpy(symbols))
        if images == 0:
            raise MethodError("no calibration images: name some in the sweep's `calibration`")
        tables = [count.tables() for pair in counts for count in pair]
        stored = {"signed": torch.tensor(signed)}
        for index, table in enumerate(tables):
            stored |= table.to_tensors(str(index))
        return Deployment(context.head, _Codec(factors, RangeCoder(tables), signed), context.tail, stored, stored)


@dataclass(frozen=True, slots=True)
class _Factors:
    """How one tensor of a cut is factorized; ``axis`` is that of its channels, ``largest`` the outermost symbol."""

    axis: int
    rank: int
    largest: int
    iterations: int

    @classmethod
    def of(cls, spec: TensorSpec, settings: Settings) -> "_Factors":
        axis = channel_axis(spec)
        rank = min(settings.rank, max(1, matrix_shape(spec.shape, axis)[0]))
        return cls(axis, rank, 2 ** (settings.bits - 1) - 1, settings.iterations)

    def symbols(self, image: Tensor) -> tuple[float, list[NDArray[np.int32]]]:
        """Return the step of one image's tensor, and its factors (rank, C) and (rank, N) in steps."""
        matrix = as_matrix(image.float(), self.axis)
        if not bool(torch.isfinite(matrix).all()):
            raise MethodError("low-rank cannot code NaN or infinite values: the cut has some")
        with torch.autocast(matrix.device.type, enabled=False):  # in float32, whatever the network computes in
            pair = factorize(matrix, self.rank, self.iterations)
        most = max((float(factor.abs().max()) for factor in pair if factor.numel()), default=0.0)
        step = float(np.float32(most / self.largest)) or 1.0
        rounded = ((factor / step).round().clamp(-self.largest, self.largest) for factor in pair)
        return step, [factor.to(torch.int32).cpu().numpy() for factor in rounded]

    def restored(self, symbols: Sequence[NDArray[np.int32]], step: float, spec: TensorSpec, signed: bool) -> Tensor:
        """Return the tensor that symbols stand for. In float64, which no damaged step takes beyond its bounds."""
        left, right = (torch.from_numpy(factor).double() * step for factor in symbols)
        values = from_matrix(left.T @ right, spec.shape, self.axis)
        values = values if signed else values.relu()
        if spec.dtype.is_floating_point:
            bounds = torch.finfo(spec.dtype)
            return values.clamp(bounds.min, bounds.max).to(spec.dtype)
        whole = torch.iinfo(spec.dtype)
        return values.round().clamp(whole.min, whole.max).to(spec.dtype)


class _Codec:
    def __init__(self, factors: Sequence[_Factors], coder: RangeCoder, signed: Sequence[bool]) -> None:
        self.factors, self.coder, self.signed = factors, coder, signed

    def encode(self, cut: Cut) -> list[Bitstream]:
        return [self._encode_image(image) for image in zip(*cut, strict=True)]

    def _encode_image(self, image: Sequence[Tensor]) -> Bitstream:
        parts = [one.symbols(x) for one, x in zip(self.factors, image, strict=True)]
        side = b"".join(struct.pack("<f", step) for step, _ in parts)
        return Bitstream(side + self.coder.encode([symbols for _, pair in parts for symbols in pair]), len(side))

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        rows = [self._decode_image(memoryview(data), specs) for data in streams]
        empty = [torch.zeros(0, *spec.shape, dtype=spec.dtype) for spec in specs]
        return tuple(torch.stack(tensors) for tensors in zip(*rows, strict=True)) if rows else tuple(empty)

    def _decode_image(self, data: memoryview, specs: Specs) -> list[Tensor]:
        sent = 4 * len(specs)
        if len(data) < sent:
            raise BitstreamError(f"damaged bitstream: {len(data)} bytes, where {sent} of steps come first")
        steps = struct.unpack(f"<{len(specs)}f", data[:sent])
        if not all(math.isfinite(step) and step > 0 for step in steps):
            raise BitstreamError("damaged bitstream: a step that is not above 0")
        shapes = [
            (one.rank, size)
            for one, spec in zip(self.factors, specs, strict=True)
            for size in matrix_shape(spec.shape, one.axis)
        ]
        symbols = self.coder.decode(data[sent:], shapes)
        pairs = zip(symbols[::2], symbols[1::2], strict=True)
        parts = zip(self.factors, pairs, steps, specs, self.signed, strict=True)
        return [one.restored(pair, step, spec, signed) for one, pair, step, spec, signed in parts]


METHOD = LowRank()

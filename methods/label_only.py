"""label-only: everything runs on the device, only its answer is sent. A trivial baseline that deep splits must beat.

Bitstream of one image: k class indices, 2 bytes each, little-endian, the likeliest first; where k > 1, then one byte
for each: its probability p as round(-8 log2 p), at most 255. All of it is payload. What was not sent decodes to a
score of minus infinity.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from splitbench.methods import base
from splitbench.methods.base import Bitstream, BitstreamError, Context, Cut, Deployment, MethodError, Specs

_PARTS_OF_A_BIT = 8
_CLASSES = 2**16


class Settings(base.Settings):
    """``k``, the number of labels sent, is the knob."""

    k: int = Field(ge=1, le=100)


class LabelOnly:
    """The label, or the likeliest k with their probabilities."""

    summary: ClassVar[str] = "everything on the device; the label, or the likeliest k labels, are sent"
    version: ClassVar[int] = 2
    knob: ClassVar[str] = "k"
    rates: ClassVar[tuple[Any, ...]] = (1, 5)
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    only_at: ClassVar[str | None] = "output"
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Nothing to prepare. Raises MethodError where the output is not a vector of class scores, or has too few."""
        shape = context.specs[0].shape
        if len(context.specs) != 1 or len(shape) != 1 or shape[0] > _CLASSES:
            raise MethodError(f"label-only needs one vector of at most {_CLASSES} class scores, not {shape}")
        if settings.k > shape[0]:
            raise MethodError(f"label-only cannot send {settings.k} labels of a backbone with {shape[0]} classes")
        return Deployment(context.head, _Codec(settings.k), context.tail)


class _Codec:
    def __init__(self, k: int) -> None:
        self.k = k

    def encode(self, cut: Cut) -> list[Bitstream]:
        (scores,) = cut
        if not bool(torch.isfinite(scores).all()):
            raise MethodError("the backbone's scores are not finite numbers")
        # Of equal scores, which half precision has many of, the first class comes first, on every device.
        likeliest = scores.argsort(dim=1, descending=True, stable=True)[:, : self.k]
        probabilities = torch.softmax(scores.double(), 1).gather(1, likeliest)
        labels = likeliest.cpu().numpy().astype("<u2")
        coded = torch.round(-_PARTS_OF_A_BIT * torch.log2(probabilities)).clamp(0, 255).cpu().numpy().astype(np.uint8)
        return [
            Bitstream(label.tobytes() + (part.tobytes() if self.k > 1 else b""))
            for label, part in zip(labels, coded, strict=True)
        ]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        (spec,) = specs
        scores = torch.full((len(streams), *spec.shape), -torch.inf, dtype=spec.dtype)
        size = 2 * self.k if self.k == 1 else 3 * self.k
        for row, data in zip(scores, streams, strict=True):
            if len(data) != size:
                raise BitstreamError(f"damaged bitstream: {len(data)} bytes instead of {size}")
            labels = np.frombuffer(data[: 2 * self.k], "<u2").astype(np.int64)
            if labels.max() >= len(row) or len(set(labels.tolist())) < self.k:
                raise BitstreamError("damaged bitstream: a label is out of range or repeated")
            coded = np.frombuffer(data[2 * self.k :] or bytes(1), np.uint8).astype(np.float64)
            # Equal codes keep the order in which they were sent.
            logarithm = -np.log(2.0) * coded / _PARTS_OF_A_BIT - 1e-4 * np.arange(self.k)
            row[torch.from_numpy(labels)] = torch.from_numpy(logarithm).to(spec.dtype)
        return (scores,)


METHOD = LabelOnly()

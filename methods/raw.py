"""raw: the cut as it is, in float32 or float16. What compression has to beat.

Bitstream of one image: every tensor of the cut in order, little-endian, in memory order; all of it payload. Integer
tensors (an image's pixels at split point ``input``) keep their type.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from splitbench.methods import base
from splitbench.methods.base import Bitstream, BitstreamError, Context, Cut, Deployment, MethodError, Specs


class Settings(base.Settings):
    """``dtype`` is the knob."""

    dtype: Literal["float32", "float16"]


class Raw:
    """The cut, uncompressed."""

    summary: ClassVar[str] = "the cut as it is, in float32 or float16"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "dtype"
    rates: ClassVar[tuple[Any, ...]] = ("float32", "float16")
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = None
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Nothing to prepare."""
        return Deployment(context.head, _Codec(getattr(torch, settings.dtype)), context.tail)


class _Codec:
    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def _sent(self, dtype: torch.dtype) -> torch.dtype:
        return self.dtype if dtype.is_floating_point else dtype

    def encode(self, cut: Cut) -> list[Bitstream]:
        parts: list[list[bytes]] = [[] for _ in range(len(cut[0]))]
        for x in cut:
            sent = x.to(self._sent(x.dtype))
            if not bool(torch.isfinite(sent).all()):
                raise MethodError(f"the cut has values that {self.dtype} cannot hold (NaN, infinity or too large)")
            for part, row in zip(parts, sent.cpu().numpy(), strict=True):
                part.append(row.astype(row.dtype.newbyteorder("<")).tobytes())
        return [Bitstream(b"".join(part)) for part in parts]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        dtypes = [np.dtype(str(self._sent(spec.dtype)).removeprefix("torch.")).newbyteorder("<") for spec in specs]
        sizes = [spec.elements * dtype.itemsize for spec, dtype in zip(specs, dtypes, strict=True)]
        for data in streams:
            if len(data) != sum(sizes):
                raise BitstreamError(f"damaged bitstream: {len(data)} bytes instead of {sum(sizes)}")
        tensors, start = [], 0
        for spec, dtype, size in zip(specs, dtypes, sizes, strict=True):
            flat = np.frombuffer(b"".join(data[start : start + size] for data in streams), dtype)
            native = flat.astype(dtype.newbyteorder("="))
            tensors.append(torch.from_numpy(native).reshape(len(streams), *spec.shape).to(spec.dtype))
            start += size
        return tuple(tensors)


METHOD = Raw()

"""A tensor of a cut as maps of bytes (C, H, W), for coders that know bytes or images only, and back.

``LevelMaps`` are a quantizer's levels, ``ValueMaps`` the values themselves, in memory order or shuffled: all highest
bytes first, then all second ones, as HDF5's shuffle filter has them. Both have the same verbs; channels come first.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitbench.methods.base import Bitstream, BitstreamError, Cut, MethodError, Specs, TensorSpec
from splitbench.methods.coding.layout import map_shape, stacked
from splitbench.methods.coding.quantization import linear
from splitbench.methods.coding.quantization.quantizer import Quantizer

Maps = npt.NDArray[np.uint8]
"""One image's maps of one tensor, (C, H, W)."""

Shape = tuple[int, int, int]


class ByteMaps(Protocol):
    """Turns tensors into maps and back."""

    def maps(self, x: Tensor, index: int) -> tuple[list[bytes], Maps]:
        """Return the side information on each image's ranges, and its maps, (B, C, H, W)."""
        ...

    def shape(self, spec: TensorSpec) -> Shape:
        """Return the shape of one image's maps."""
        ...

    def received(self, data: memoryview, index: int, spec: TensorSpec) -> tuple[linear.Range | None, memoryview]:
        """One image's ranges, and the bytes behind them. Raises BitstreamError."""
        ...

    def tensor(self, maps: Maps, index: int, ends: linear.Range | None, spec: TensorSpec) -> Tensor:
        """One image's tensor, number ``index`` of the cut. Raises BitstreamError for maps that no tensor has."""
        ...


class LevelMaps:
    """The levels of a quantizer."""

    def __init__(self, quantizer: Quantizer) -> None:
        self.quantizer = quantizer

    def maps(self, x: Tensor, index: int) -> tuple[list[bytes], Maps]:
        """Return the ranges and levels of each image. Raises MethodError for NaN and infinite values."""
        ends = self.quantizer.ends_of(x, index)
        levels = self.quantizer.levels(x, ends).reshape(len(x), *map_shape(x.shape[1:]))
        return self.quantizer.sent(ends, len(x)), levels.cpu().numpy()

    def shape(self, spec: TensorSpec) -> Shape:
        """Return the tensor's shape as maps."""
        return map_shape(spec.shape)

    def received(self, data: memoryview, index: int, spec: TensorSpec) -> tuple[linear.Range | None, memoryview]:
        """One image's ranges."""
        return self.quantizer.received(data, index, self.quantizer.groups(spec, 1)[1])

    def tensor(self, maps: Maps, index: int, ends: linear.Range | None, spec: TensorSpec) -> Tensor:
        """One image's tensor, dequantized."""
        assert ends is not None  # noqa: S101 - what `received` returned
        if maps.size and int(maps.max()) > self.quantizer.settings.top:
            raise BitstreamError("damaged bitstream: a symbol is no level of the quantizer")
        levels = torch.from_numpy(np.ascontiguousarray(maps)).reshape(self.quantizer.groups(spec, 1))
        return self.quantizer.values(levels, ends, spec)[0]


class ValueMaps:
    """Values in ``dtype``; integers stay as they are.

    Bytes of one kind are alike, signs and exponents above all: ``shuffled``, each is in a separate map. In memory
    order, a value's bytes lie side by side, which is better where many values are the same, as zeros are after a ReLU.
    """

    def __init__(self, dtype: torch.dtype, shuffled: bool) -> None:
        self.dtype, self.shuffled = dtype, shuffled

    def maps(self, x: Tensor, index: int) -> tuple[list[bytes], Maps]:
        """Return the bytes of each image. Raises MethodError for values that the type cannot hold."""
        values = x.to(self._coded(x.dtype))
        if not bool(torch.isfinite(values).all()):
            raise MethodError(f"the cut has values that {self.dtype} cannot hold (NaN, infinity or too large)")
        array = values.reshape(len(x), math.prod(x.shape[1:]), 1).cpu().numpy()
        array = np.ascontiguousarray(array, array.dtype.newbyteorder(">")).view(np.uint8)
        shape = len(x), *self.shape(TensorSpec(tuple(x.shape[1:]), x.dtype))
        return [b""] * len(x), (array.transpose(0, 2, 1) if self.shuffled else array).reshape(shape)

    def shape(self, spec: TensorSpec) -> Shape:
        """As many maps for a channel as its values have bytes, or maps that are as many times as wide."""
        channels, height, width = map_shape(spec.shape)
        size = self._coded(spec.dtype).itemsize
        return (channels * size, height, width) if self.shuffled else (channels, height, width * size)

    def received(self, data: memoryview, index: int, spec: TensorSpec) -> tuple[linear.Range | None, memoryview]:
        """No ranges."""
        return None, data

    def tensor(self, maps: Maps, index: int, ends: linear.Range | None, spec: TensorSpec) -> Tensor:
        """One image's tensor."""
        dtype = torch.empty(0, dtype=self._coded(spec.dtype)).numpy().dtype
        split = maps.reshape(dtype.itemsize, -1).T if self.shuffled else maps.reshape(-1, dtype.itemsize)
        split = np.ascontiguousarray(split)
        values = torch.from_numpy(split.view(dtype.newbyteorder(">")).astype(dtype)).reshape(spec.shape)
        if not bool(torch.isfinite(values).all()):
            raise BitstreamError("damaged bitstream: a value is no number or infinite")
        return values.to(spec.dtype)

    def _coded(self, dtype: torch.dtype) -> torch.dtype:
        return self.dtype if dtype.is_floating_point else dtype


class MapsCoder(Protocol):
    """Codes the maps of all tensors of one image."""

    def encode(self, maps: Sequence[Maps]) -> Bitstream:
        """Code one image's maps. Raises MethodError where they are too large."""
        ...

    def decode(self, data: memoryview, shapes: Sequence[Shape]) -> list[Maps]:
        """Return the maps, of these shapes. Raises BitstreamError."""
        ...


class MapsCodec:
    """A codec of tensors as maps: their ranges first, then what the coder makes of the maps."""

    def __init__(self, values: ByteMaps, coder: MapsCoder) -> None:
        self.values, self.coder = values, coder

    def encode(self, cut: Cut) -> list[Bitstream]:
        """One bitstream for each image."""
        parts = [self.values.maps(x, index) for index, x in enumerate(cut)]
        sides = [b"".join(each) for each in zip(*(sides for sides, _ in parts), strict=True)]
        coded = [self.coder.encode(each) for each in zip(*(maps for _, maps in parts), strict=True)]
        return [
            Bitstream(side + code.data, len(side) + code.side, code.framing)
            for side, code in zip(sides, coded, strict=True)
        ]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        """Return the tensors of the images."""
        return stacked([self._decode_image(memoryview(data), specs) for data in streams], specs)

    def _decode_image(self, data: memoryview, specs: Specs) -> list[Tensor]:
        ends = []
        for index, spec in enumerate(specs):
            span, data = self.values.received(data, index, spec)
            ends.append(span)
        maps = self.coder.decode(data, [self.values.shape(spec) for spec in specs])
        return [
            self.values.tensor(found, index, span, spec)
            for index, (found, span, spec) in enumerate(zip(maps, ends, specs, strict=True))
        ]

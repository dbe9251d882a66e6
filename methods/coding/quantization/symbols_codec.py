"""A codec of quantized cuts: the quantizer's ranges, then one stream of all symbols by an entropy coder."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitbench.methods.base import Bitstream, Cut, Specs, TensorSpec
from splitbench.methods.coding.layout import stacked
from splitbench.methods.coding.quantization import linear
from splitbench.methods.coding.quantization.quantizer import Quantizer

Symbols = npt.NDArray[np.int32]


class SymbolCoder(Protocol):
    """Codes one image's symbols, an array for each tensor of the cut."""

    def encode(self, symbols: Sequence[Symbols]) -> bytes:
        """Code arrays of any shape that the coder knows. Raises MethodError for others."""
        ...

    def bits(self, symbols: Sequence[Symbols]) -> float:
        """Return what the coder's model says that they take."""
        ...

    def decode(self, data: memoryview, shapes: Any) -> Sequence[Symbols]:
        """Return the arrays, of these shapes. Raises BitstreamError."""
        ...


class SymbolLayout(Protocol):
    """The layout in which a coder takes the symbols of one tensor of the cut."""

    def arrange(self, symbols: Tensor) -> Tensor:
        """(B, ...) in the coder's layout."""
        ...

    def shape(self, spec: TensorSpec) -> tuple[int, ...]:
        """Return the shape of one image's symbols in that layout."""
        ...

    def restore(self, symbols: Tensor, spec: TensorSpec) -> Tensor:
        """Return the inverse of :meth:`arrange` for one image, (1, ...)."""
        ...


class SymbolsCodec:
    """Sends the ranges of each tensor where they are taken from the image, then all symbols."""

    def __init__(self, quantizer: Quantizer, layouts: Sequence[SymbolLayout], coder: SymbolCoder) -> None:
        self.quantizer, self.layouts, self.coder = quantizer, layouts, coder

    def encode(self, cut: Cut) -> list[Bitstream]:
        """One bitstream for each image."""
        ends = self._ends(cut)
        sent = [self.quantizer.sent(span, len(x)) for x, span in zip(cut, ends, strict=True)]
        sides = [b"".join(image) for image in zip(*sent, strict=True)]
        payloads = map(self.coder.encode, self._symbols(cut, ends))
        return [Bitstream(side + data, len(side)) for side, data in zip(sides, payloads, strict=True)]

    def _ends(self, cut: Cut) -> list[linear.Range]:
        return [self.quantizer.ends_of(x, index) for index, x in enumerate(cut)]

    def _symbols(self, cut: Cut, ends: Sequence[linear.Range]) -> Iterator[tuple[Symbols, ...]]:
        """Yield each image's symbols in the coder's layout."""
        quantized = map(self.quantizer.symbols, cut, ends)
        arranged = [layout.arrange(x) for layout, x in zip(self.layouts, quantized, strict=True)]
        return zip(*(x.contiguous().cpu().numpy() for x in arranged), strict=True)

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        """Return the tensors of the images."""
        return stacked([self._decode_image(memoryview(data), specs) for data in streams], specs)

    def _decode_image(self, data: memoryview, specs: Specs) -> list[Tensor]:
        ends = []
        for index, spec in enumerate(specs):
            span, data = self.quantizer.received(data, index, self.quantizer.groups(spec, 1)[1])
            ends.append(span)
        coded = self.coder.decode(data, [layout.shape(spec) for layout, spec in zip(self.layouts, specs, strict=True)])
        return [
            self.quantizer.from_symbols(layout.restore(torch.from_numpy(symbols), spec), span, spec)
            for symbols, layout, span, spec in zip(coded, self.layouts, ends, specs, strict=True)
        ]

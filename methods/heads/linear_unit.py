"""A unit without an entropy model: values in a fixed number of bits each."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from splitbench.methods.base import Bitstream, BitstreamError, Codec, Cut, MethodError, Specs, Unit
from splitbench.methods.coding.maps.packing import pack, packed_size, unpack

_LEAST = 1e-6


class LinearUnit(Unit):
    """Rounds values from 0 to the greatest one of training images to 2^bits levels."""

    greatest: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("greatest", torch.zeros(()))

    def begin(self, cut: Cut) -> None:
        """See the base class: a batch's own greatest value counts until the unit is frozen or finished."""

    def forward(self, *cut: Tensor) -> tuple[Cut, Tensor]:
        """See the base class."""
        (x,) = cut
        fixed = self.greatest > 0  # on the device, which no step waits for
        greatest = torch.where(fixed, self.greatest, x.detach().amax().clamp_min(_LEAST))
        step = greatest / (2**self.bits - 1)
        rounded = levels(x, step, self.bits) * step
        return (x + (rounded - x).detach(),), x.new_full((len(x),), float(self.bits * x[0].numel()))

    def finish(self, cuts: Iterable[Cut]) -> None:
        """See the base class."""
        self.eval()
        found = [x.amax() for (x,) in cuts]
        if not found:
            raise MethodError("no training images to fit the quantizer's range to")
        self.greatest.copy_(torch.stack(found).amax().clamp_min(_LEAST))

    def freeze(self, cuts: Iterable[Cut]) -> None:
        """See the base class: the decoder then learns what will be sent."""
        self.finish(cuts)

    def reopen(self) -> None:
        """See the base class."""
        self.greatest.zero_()

    def codec(self) -> Codec:
        """See the base class."""
        if not self.greatest > 0:
            raise MethodError("the unit has no range: its training never finished")
        return _Codec(self.greatest, self.bits)

    def sides(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """See the base class: both need the range."""
        return {"greatest": self.greatest}, {"greatest": self.greatest}


def levels(x: Tensor, step: Tensor, bits: int) -> Tensor:
    """Return the whole number of steps nearest to each value, from 0 to 2^bits - 1."""
    return (x / step).round().clamp(0, 2**bits - 1)


class _Codec:
    def __init__(self, greatest: Tensor, bits: int) -> None:
        self.greatest, self.bits = greatest, bits

    @property
    def step(self) -> Tensor:
        step: Tensor = self.greatest / (2**self.bits - 1)
        return step

    def encode(self, cut: Cut) -> list[Bitstream]:
        (x,) = cut
        if not bool(torch.isfinite(x).all()):
            raise MethodError("no level stands for NaN or infinite values: the cut has some")
        symbols = levels(x, self.step.to(x), self.bits).to(torch.uint8).flatten(1).cpu().numpy()
        return [Bitstream(pack(image, self.bits, "packed")) for image in symbols]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        (spec,) = specs
        count, size = math.prod(spec.shape), packed_size(spec.elements, self.bits, "packed")
        wrong = next((len(data) for data in streams if len(data) != size), None)
        if wrong is not None:
            raise BitstreamError(f"damaged bitstream: {wrong} bytes instead of {size}")
        images = [torch.from_numpy(unpack(data, count, self.bits, "packed")) for data in streams]
        symbols = torch.stack(images) if images else torch.zeros(0, count, dtype=torch.uint8)
        values = symbols.to(self.greatest.device) * self.step
        return (values.to(spec.dtype).reshape(len(streams), *spec.shape),)

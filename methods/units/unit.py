"""The unit for a whole cut: one unit per tensor, and one bitstream per image without framing between them."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from splitbench.methods.base import Bitstream, Codec, Cut, MethodError, Specs, Unit
from splitbench.methods.coding.context.neighbours import Maps
from splitbench.methods.coding.entropy.counts import Counts
from splitbench.methods.coding.layout import map_shape
from splitbench.methods.units.coders import CODERS, HIGHEST_IN_TABLE, Coder, CoderKind, Stored, StoredTables
from splitbench.methods.units.tensor_unit import TensorUnit

_LARGEST = 2**30
_NO_CALIBRATION = "no calibration images: name some in the sweep's `calibration`"
_CALIBRATION_SYMBOLS = 2**25
"""Symbols of calibration images that tables are fitted to, at most: they are in memory at once."""


class CutUnit(Unit):
    """A :class:`TensorUnit` for each tensor of a cut.

    Args:
        specs: The cut's tensors, all of floating point.
        channels: Channels of each latent; where None, a quarter of the tensor's, at least two.
        stride: Of encoder and decoder along each spatial axis.
        step: The quantizer's step, or ``learned`` for one per channel that is trained.
        coder: A name in :data:`~splitbench.methods.units.coders.CODERS`; its tables are those that training ends with.

    Raises:
        MethodError: a tensor of another type than float32, or of a shape that no unit takes.
    """

    part: ClassVar[type[TensorUnit]] = TensorUnit
    """The unit of each tensor."""

    def __init__(
        self,
        specs: Specs,
        *,
        channels: int | None,
        stride: int,
        step: float | Literal["learned"],
        coder: str,
    ) -> None:
        super().__init__()
        if not all(spec.dtype.is_floating_point for spec in specs):
            raise MethodError("a unit codes what layers compute; whole numbers cross here: split further in")
        other = next((spec for spec in specs if spec.dtype != torch.float32), None)
        if other is not None:
            dtype = str(other.dtype).removeprefix("torch.")
            raise MethodError(
                f"a unit computes in float32, and {dtype} crosses here ({other.role}): let the network compute in "
                "float32; a sweep's `precision` runs it in half precision"
            )
        self.parts = nn.ModuleList(self.part(spec, channels, stride, step) for spec in specs)
        self.coder = CODERS[coder]
        self.tables = StoredTables()

    @property
    def units(self) -> list[TensorUnit]:
        """The unit of each tensor of the cut."""
        return [part for part in self.parts if isinstance(part, TensorUnit)]

    def begin(self, cut: Cut) -> None:
        """See the base class."""
        for unit, x in zip(self.units, cut, strict=True):
            unit.begin(x)

    def forward(self, *cut: Tensor) -> tuple[Cut, Tensor]:
        """See the base class."""
        pairs = [unit(x) for unit, x in zip(self.units, cut, strict=True)]
        return tuple(decoded for decoded, _ in pairs), torch.stack([bits for _, bits in pairs]).sum(0)

    @torch.no_grad()
    def finish(self, cuts: Iterable[Cut]) -> None:
        """Build the coder's tables from the counts of symbols in training images.

        The learned density makes the rate differentiable in training; tables of counts make bitstreams smaller.
        """
        self.eval()
        self.tables.put(self._counted(self.coder, cuts, "no training images to make the coder's tables of"))

    def _counted(self, kind: CoderKind, cuts: Iterable[Cut], missing: str) -> list[Stored]:
        """Return the tables that counts of each tensor's symbols make. Raises MethodError(missing) without images."""
        counts = [Counts(unit.channels, 0, HIGHEST_IN_TABLE) for unit in self.units]
        for cut in cuts:
            for unit, count, x in zip(self.units, counts, cut, strict=True):
                count.add(unit.latent(x).round().flatten(2).to(torch.int32))
        if not any(count.histogram.any() for count in counts):
            raise MethodError(missing)
        return [kind.count(count).to_tensors() for count in counts]

    def reopen(self) -> None:
        """See the base class."""
        self.tables.put([])

    @torch.no_grad()
    def with_coder(self, kind: CoderKind, cuts: Iterable[Cut]) -> Self:
        """Return this unit with a coder whose tables come of cuts of calibration images; the networks are shared.

        Raises:
            MethodError: there are no images.
        """
        recoded = copy.copy(self)
        recoded._modules = self._modules | {"tables": StoredTables()}
        recoded.coder = kind
        recoded.tables.put(
            self._counted(kind, cuts, _NO_CALIBRATION) if kind.fit is None else self._fitted(kind.fit, cuts)
        )
        return recoded

    def _fitted(self, fit: Callable[[Sequence[Maps]], Stored], cuts: Iterable[Cut]) -> list[Stored]:
        """Return the tables of each tensor's maps of symbols. Raises MethodError where there are no images."""
        images: list[list[Maps]] = [[] for _ in self.units]
        room = _CALIBRATION_SYMBOLS
        for cut in cuts:
            for unit, maps, x in zip(self.units, images, cut, strict=True):
                maps += (found := _maps(unit, x))
                room -= sum(image.size for image in found)
            if room < 0:
                break
        if not images[0]:
            raise MethodError(_NO_CALIBRATION)
        return [fit(maps) for maps in images]

    def codec(self) -> Codec:
        """See the base class."""
        stored = self.tables.get()
        if len(stored) != len(self.units):
            raise MethodError("the unit has no coder's tables: its training never finished")
        return self._codec(stored)

    def _codec(self, stored: Sequence[Stored]) -> Codec:
        return UnitCodec([unit.without_rate() for unit in self.units], self.coder.build(stored))

    def sides(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return the encoders for the device and the decoders for the server, and steps and tables for both."""
        both = {f"tables.{name}": tensor for name, tensor in self.tables.state_dict().items()}
        device, server = dict(both), dict(both)
        for index, unit in enumerate(self.units):
            for name, tensor in unit.state_dict().items():
                part = name.partition(".")[0]
                if part in unit.on_device and "num_batches" not in name:
                    device[f"{index}.{name}"] = tensor
                if part in unit.on_server and "num_batches" not in name:
                    server[f"{index}.{name}"] = tensor
        return device, server

    def parameters_without_decay(self) -> Iterator[nn.Parameter]:
        """See the base class."""
        for unit in self.units:
            yield from unit.parameters_without_decay()


class UnitCodec:
    """Codes the latents of units; what both sides hold, and nothing of training."""

    def __init__(self, units: Sequence[TensorUnit], coder: Coder) -> None:
        self.units = units
        self.coder = coder

    @torch.no_grad()
    def encode(self, cut: Cut) -> list[Bitstream]:
        """See ``Codec``."""
        if not all(bool(torch.isfinite(x).all()) for x in cut):
            raise MethodError("a unit cannot code NaN or infinite values: the cut has some")
        if len(cut[0]) == 0:
            return []
        symbols = [_maps(unit, x) for unit, x in zip(self.units, cut, strict=True)]
        return [self.bitstream(image) for image in zip(*symbols, strict=True)]

    def bitstream(self, symbols: Sequence[Maps]) -> Bitstream:
        """Code one image's symbols."""
        return Bitstream(self.coder.encode(symbols))

    @torch.no_grad()
    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        """See ``Codec``."""
        if not streams:
            return tuple(torch.zeros(0, *spec.shape, dtype=spec.dtype) for spec in specs)
        sizes = [unit.latent_sizes(spec.shape) for unit, spec in zip(self.units, specs, strict=True)]
        images = [self.coder.decode(data, [map_shape(size) for size in sizes]) for data in streams]
        decoded = []
        for unit, size, spec, symbols in zip(self.units, sizes, specs, zip(*images, strict=True), strict=True):
            latent = torch.from_numpy(np.stack(symbols)).reshape(len(streams), *size).to(unit.floor)
            decoded.append(unit.decoded(latent, spec.shape).to(spec.dtype))
        return tuple(decoded)


def _maps(unit: TensorUnit, x: Tensor) -> list[Maps]:
    """The symbols of each image, (c, H, W), of what a head sends in whatever precision."""
    with torch.autocast(x.device.type, enabled=False):  # codecs compute in float32, whatever the network does
        latent = unit.latent(x.to(unit.floor)).round().clamp(0, _LARGEST).to(torch.int32)
    return [*latent.reshape(len(x), *map_shape(latent.shape[1:])).cpu().numpy()]

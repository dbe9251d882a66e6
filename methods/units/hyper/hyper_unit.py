"""A unit that codes its symbols with a scale hyperprior, ``unit: hyperprior``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from splitbench.methods.base import Bitstream, Codec, Cut, MethodError
from splitbench.methods.coding.context.neighbours import Maps
from splitbench.methods.coding.layout import map_shape
from splitbench.methods.units.coders import CoderKind, Stored
from splitbench.methods.units.hyper.hyper_coder import HyperCoder
from splitbench.methods.units.hyper.hyperprior import HyperTensorUnit
from splitbench.methods.units.hyper.scale_counts import ScaleCounts
from splitbench.methods.units.tensor_unit import TensorUnit
from splitbench.methods.units.unit import CutUnit, UnitCodec


class HyperCutUnit(CutUnit):
    """A unit for a whole cut with a hyperprior for each tensor; arguments are those of the base class."""

    part: ClassVar[type[TensorUnit]] = HyperTensorUnit

    @property
    def hyper_units(self) -> list[HyperTensorUnit]:
        """The unit of each tensor."""
        return [unit for unit in self.units if isinstance(unit, HyperTensorUnit)]

    def sides(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """See the base class; the analysis is on the device, and the synthesis on both sides, among the tables."""
        device, server = super().sides()
        analyses = {
            f"{index}.analysis.{name}": tensor
            for index, unit in enumerate(self.hyper_units)
            for name, tensor in unit.hyperprior.analysis.state_dict().items()
        }
        return {**device, **analyses}, server

    def _counted(self, kind: CoderKind, cuts: Iterable[Cut], missing: str) -> list[Stored]:
        counts = [ScaleCounts(unit.hyperprior) for unit in self.hyper_units]
        for cut in cuts:
            for unit, count, x in zip(self.units, counts, cut, strict=True):
                symbols = unit.latent(x).round()
                count.add(symbols.reshape(len(symbols), *map_shape(symbols.shape[1:])))
        if not any(count.histogram.any() for count in counts):
            raise MethodError(missing)
        return [count.to_tensors() for count in counts]

    def _codec(self, stored: Sequence[Stored]) -> Codec:
        analyses = [unit.hyperprior.analysis for unit in self.hyper_units]
        return _Codec([unit.without_rate() for unit in self.units], HyperCoder(analyses, stored))


class _Codec(UnitCodec):
    coder: HyperCoder

    def bitstream(self, symbols: Sequence[Maps]) -> Bitstream:
        """See the base class."""
        data, side = self.coder.encode_with_side(symbols)
        return Bitstream(data, side)

"""The unit for what a new head sends: quantizer, density and coder, without an encoder and a decoder of its own."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from splitbench.methods.units.tensor_unit import TensorUnit
from splitbench.methods.units.unit import CutUnit


class LatentTensorUnit(TensorUnit):
    """A unit for latents (c, H, W), none of which is negative: symbols are their multiples of the step."""

    on_device: ClassVar[tuple[str, ...]] = ("log_step",)
    on_server: ClassVar[tuple[str, ...]] = ("log_step",)

    def add_layers(self, width: int, kernel: int) -> None:
        """See the base class: only what the rate is estimated by."""
        self.encoder = nn.Sequential()
        self.add_rate()

    def begin(self, x: Tensor) -> None:
        """See the base class: there is no scale to fit."""

    def decoded(self, symbols: Tensor, shape: Sequence[int]) -> Tensor:
        """See the base class: what the symbols stand for."""
        return self.levels(symbols)


class LatentUnit(CutUnit):
    """A unit for the one tensor that a new head sends."""

    part: ClassVar[type[TensorUnit]] = LatentTensorUnit

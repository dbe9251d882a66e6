"""One unit for all rates: quantizer steps and decoder gains per channel that follow lambda.

The gain units of Cui, Wang, Gao, Guo, Feng and Bai, "Asymmetric gained deep image compression with continuous rate
adaptation" (CVPR 2021, arXiv 2003.02012), in the unit of ``tensor_unit.py``: at each of a few knots of log(lambda)
every channel has a gain before the quantizer (here its step, whose reciprocal it is) and one after it, and between
knots both are interpolated in their logarithms, so that a unit codes at any lambda within the knots. One density of the
unscaled latents serves all rates: a symbol's likelihood is its integral over the quantizer's interval.

In training every image of a batch has its own lambda: with one per batch, the statistics of the decoder's norms would
be those of that lambda in training, and those of all of them afterwards.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from splitbench.methods.base import Cut, Specs, VariableUnit
from splitbench.methods.units.tensor_unit import TensorUnit
from splitbench.methods.units.unit import CutUnit

KNOTS = 6


class VariableTensorUnit(TensorUnit):
    """A unit for one tensor; ``position`` is where between its knots it codes, 0 to KNOTS - 1, shape () or (B,)."""

    on_device: ClassVar[tuple[str, ...]] = ("encoder", "log_steps")
    on_server: ClassVar[tuple[str, ...]] = ("widen", "grow", "last", "floor", "log_steps", "log_gains")

    def add_steps(self, step: float | Literal["learned"]) -> None:
        """See the base class: a step and a gain per knot."""
        first = 1.0 if step == "learned" else step
        self.log_steps = nn.Parameter(torch.full((KNOTS, self.channels), math.log(first)))
        self.log_gains = nn.Parameter(torch.zeros(KNOTS, self.channels))
        self.position = torch.zeros(())  # no buffer: processes that train together have batches of several sizes

    @torch.no_grad()
    def spread(self, ratio: float) -> None:
        """Let steps grow with the root of lambda, by ``ratio`` over all: the distortion grows with a step's square."""
        self.log_steps.add_(torch.linspace(-0.25, 0.25, KNOTS)[:, None] * math.log(ratio))

    def steps(self) -> Tensor:
        """See the base class: those at the position."""
        return self._between(self.log_steps).exp()

    def density_scale(self) -> Tensor:
        """See the base class: densities are those of latents before the step divides them."""
        return self.steps()

    def levels(self, symbols: Tensor) -> Tensor:
        """See the base class."""
        return symbols * (self._between(self.log_steps) + self._between(self.log_gains)).exp()

    def parameters_without_decay(self) -> Iterator[nn.Parameter]:
        """See the base class."""
        yield from (*self.density.parameters(), self.log_steps, self.log_gains)

    def _between(self, knots: Tensor) -> Tensor:
        position = self.position.to(knots).reshape(-1)
        below = position.floor().clamp(0, KNOTS - 2)
        part, index = (position - below)[:, None], below.long()
        return torch.lerp(knots[index], knots[index + 1], part).reshape(len(position), -1, *[1] * self.axes)


class VariableCutUnit(CutUnit, VariableUnit):
    """A unit for a whole cut that codes at every lambda from ``least`` to ``most``; other arguments as the base class.

    Training ends without tables: they are made of calibration images for each lambda that it is deployed at.
    """

    part: ClassVar[type[TensorUnit]] = VariableTensorUnit

    def __init__(self, specs: Specs, *, lmbda: tuple[float, float], **more: Any) -> None:
        super().__init__(specs, **more)
        self.lmbda = lmbda
        for part in self._parts():
            part.spread(lmbda[1] / lmbda[0])

    def _parts(self) -> list[VariableTensorUnit]:
        return [unit for unit in self.units if isinstance(unit, VariableTensorUnit)]

    def finish(self, cuts: Iterable[Cut]) -> None:
        """See the base class."""
        self.eval()

    def sides(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """See the base class; the position is on both sides, and all that is switched beside the tables."""
        positions = {f"{index}.position": part.position for index, part in enumerate(self._parts())}
        device, server = super().sides()
        return {**device, **positions}, {**server, **positions}

    def at(self, lmbda: Tensor) -> None:
        """See the base class."""
        least, most = self.lmbda
        position = (KNOTS - 1) * (lmbda / least).log() / math.log(most / least)
        for part in self._parts():
            part.position = position.clamp(0, KNOTS - 1).to(part.floor)

"""One unit for all rates: quantizer steps and decoder gains per channel that follow lambda.

The gain units of Cui, Wang, Gao, Guo, Feng and Bai, "Asymmetric gained deep image compression with continuous rate
adaptation" (CVPR 2021, arXiv 2003.02012), in the unit of ``tensor_unit.py``: at each of a few knots of log(lambda)
every channel has a gain before the quantizer (here its step, whose reciprocal it is) and one after it, and between
knots both are interpolated in their logarithms, so that a unit codes at any lambda within the knots. One density of the
unscaled latents serves all rates: a symbol's likelihood is its integral over the quantizer's interval.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from splitbench.methods.base import Cut, MethodError, Specs, VariableUnit
from splitbench.methods.units.tensor_unit import TensorUnit
from splitbench.methods.units.unit import CutUnit

KNOTS = 6


class VariableTensorUnit(TensorUnit):
    """A unit for one tensor; ``position`` is where between its knots it codes, from 0 to KNOTS - 1."""

    on_device: ClassVar[tuple[str, ...]] = ("encoder", "log_steps", "position")
    on_server: ClassVar[tuple[str, ...]] = ("widen", "grow", "last", "floor", "log_steps", "log_gains", "position")

    position: Tensor

    def add_steps(self, step: float | Literal["learned"]) -> None:
        """See the base class: a step and a gain per knot."""
        first = 1.0 if step == "learned" else step
        self.log_steps = nn.Parameter(torch.full((KNOTS, self.channels), math.log(first)))
        self.log_gains = nn.Parameter(torch.zeros(KNOTS, self.channels))
        self.register_buffer("position", torch.zeros(()))

    @torch.no_grad()
    def spread(self, ratio: float) -> None:
        """Let steps grow with the root of lambda, by ``ratio`` over all: the distortion grows with a step's square."""
        self.log_steps.add_(torch.linspace(-0.25, 0.25, KNOTS)[:, None] * math.log(ratio))

    def steps(self) -> Tensor:
        """See the base class: those at the position."""
        return self._between(self.log_steps).exp()

    def density_scale(self) -> Tensor:
        """See the base class: densities are those of latents before the step divides them."""
        return self.steps().reshape(-1, 1, 1)

    def levels(self, symbols: Tensor) -> Tensor:
        """See the base class."""
        return symbols * (self._between(self.log_steps) + self._between(self.log_gains)).exp()

    def parameters_without_decay(self) -> Iterator[nn.Parameter]:
        """See the base class."""
        yield from (*self.density.parameters(), self.log_steps, self.log_gains)

    def _between(self, knots: Tensor) -> Tensor:
        below = self.position.floor().clamp(0, KNOTS - 2)
        part, index = self.position - below, below.long()
        return torch.lerp(knots[index], knots[index + 1], part).reshape(1, -1, *[1] * self.axes)


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

    def at(self, lmbda: float) -> None:
        """See the base class. Raises MethodError outside of the range that it is trained for."""
        least, most = self.lmbda
        if not least <= lmbda <= most:
            raise MethodError(f"lmbda {lmbda:g} is beyond what this unit is trained for: {least:g} to {most:g}")
        position = (KNOTS - 1) * math.log(lmbda / least) / math.log(most / least)
        for part in self._parts():
            part.position.fill_(position)

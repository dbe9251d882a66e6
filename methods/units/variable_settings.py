"""Settings of methods with one unit for all rates, what they ask the trainer for, and what they deploy."""

import copy
from functools import partial
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator

from splitbench.methods.base import Context, Deployment, Learning, MethodError
from splitbench.methods.units import settings as units
from splitbench.methods.units.coders import CODERS
from splitbench.methods.units.variable import VariableCutUnit


class VariableSettings(units.Settings):
    """Settings of a unit that is trained once for every ``lmbda`` from ``least`` to ``most``, and deployed at any.

    All rate points of a curve share the training. The coder's tables are made of calibration images for each of them.
    """

    least: float = Field(default=0.1, ge=1e-6, le=1e6)
    most: float = Field(default=30.0, ge=1e-6, le=1e6)
    step: Literal["learned"] = "learned"
    unit: Literal["plain"] = "plain"
    rate: Literal["density"] = "density"
    start: Literal["own"] = "own"
    epochs: int = Field(default=20, ge=1)

    @model_validator(mode="after")
    def _is_within(self) -> Self:
        if not self.least < self.most:
            raise ValueError(f"`least` is {self.least:g}: it must be below `most`, {self.most:g}")
        if not self.least <= self.lmbda <= self.most:
            raise ValueError(
                f"`lmbda` {self.lmbda:g} is beyond what the unit is trained for, {self.least:g} to {self.most:g}: "
                "widen `least` and `most`"
            )
        return self

    def for_training(self) -> Self:
        """See the base class: lambda and coder act after training only, and none begins with a neighbour."""
        return self.model_copy(update={"lmbda": self.least, "coder": "range", "next_epochs": 3})


def needs(_: Any) -> frozenset[str]:
    """Return what they all need: training images, and calibration images for the coder's tables."""
    return frozenset({"train", "calibration"})


def learning(settings: VariableSettings, context: Context, **more: Any) -> Learning:
    """Return the untrained unit and how to train it, as for other units. Raises MethodError likewise."""
    bounds = settings.least, settings.most
    return units.learning(settings, context, partial(VariableCutUnit, lmbda=bounds), lmbda=bounds, **more)


def deployed(settings: VariableSettings, context: Context) -> Deployment:
    """Return the deployment at one lambda of what was trained. Raises MethodError where nothing was."""
    learned = context.learned()
    unit = copy.deepcopy(learned.unit)  # what was trained serves other rate points, too
    if not isinstance(unit, VariableCutUnit):
        raise MethodError("what was trained is no unit for all rates")
    unit.at(torch.tensor(settings.lmbda))
    frozen = learned.head is context.head
    cuts = context.calibration() if frozen else context.calibration_by(learned.head)
    unit = unit.with_coder(CODERS[settings.coder], cuts)
    device, server = unit.sides()
    return Deployment(learned.head, unit.codec(), learned.tail, device, server)

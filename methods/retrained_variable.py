"""The whole model retrained once, with one unit for all rates: the upper bound of ``bottleneck-variable``.

The unit and the training of ``bottleneck_variable.py``; head and tail are trained along with it, so that one copy of
all weights serves every rate.
"""

from typing import Any, ClassVar

from pydantic import Field

from splitbench.methods import base
from splitbench.methods.base import Context, Deployment, Learning
from splitbench.methods.units import variable_settings as units


class Settings(units.VariableSettings):
    """Settings of the unit; head and tail are trained at ``backbone_lr_scale`` times the learning rate."""

    learning_rate: float = Field(default=4e-3, gt=0)
    backbone_lr_scale: float = Field(default=0.25, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)


class RetrainedVariable:
    """A unit and a whole model for all rates."""

    summary: ClassVar[str] = "the whole model retrained once, with one unit for all rates"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "lmbda"
    rates: ClassVar[tuple[Any, ...]] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 12.0, 30.0)
    only_at: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Training and calibration images."""
        return units.needs(settings)

    def learn(self, settings: Any, context: Context) -> Learning:
        """Return the unit to train with head and tail, with another lambda for every image."""
        return units.learning(settings, context, train_backbone=True, backbone_lr_scale=settings.backbone_lr_scale)

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Deploy head, unit and tail at one lambda. Raises MethodError where nothing was trained."""
        return units.deployed(settings, context)


METHOD = RetrainedVariable()

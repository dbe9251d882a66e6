"""The whole model retrained for every rate point: the costly practice that lighter methods are compared with.

The same unit and coder as in ``bottleneck``, but every weight of head and tail is trained along with it, so that each
rate point has a separate copy of all weights.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from splitbench.methods import base, units
from splitbench.methods.base import Context, Deployment, Learning


class Settings(units.Settings):
    """Settings of units, and of the backbone; ``weights: scratch`` begins with random weights.

    Pretrained weights need smaller steps than a new unit: head and tail are trained at ``backbone_lr_scale`` times the
    learning rate. A backbone that has overfitted its training images needs little (0.02 to 0.1) and
    ``distortion: distill``.
    """

    weights: Literal["pretrained", "scratch"] = "pretrained"
    learning_rate: float = Field(default=4e-3, gt=0)
    backbone_lr_scale: float = Field(default=0.25, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)


class Retrained:
    """A unit and a whole model per rate point."""

    summary: ClassVar[str] = "the whole model retrained with a bottleneck for every rate point"
    version: ClassVar[int] = 2
    knob: ClassVar[str] = "lmbda"
    rates: ClassVar[tuple[Any, ...]] = (0.03, 0.1, 0.3, 1.0)
    only_at: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Training images, and calibration images for some coders."""
        return units.needs(settings)

    def learn(self, settings: Any, context: Context) -> Learning:
        """Return the unit to train with head and tail."""
        scratch = settings.weights == "scratch"
        return units.learning(
            settings,
            context,
            train_backbone=True,
            backbone_lr_scale=1.0 if scratch else settings.backbone_lr_scale,
            from_scratch=scratch,
        )

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Deploy the trained head, unit and tail. Raises MethodError where nothing was trained."""
        return units.deployed(settings, context)


METHOD = Retrained()

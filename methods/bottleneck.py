"""Lightweight units in a frozen backbone, one per rate point (Datta et al., ICPR 2022, arXiv 2208.11596).

Head and tail are frozen; only the unit between them is trained, for rate and distortion, and only the unit is swapped
when the rate changes.
"""

from typing import Any, ClassVar

from splitbench.methods import base, units
from splitbench.methods.base import Context, Deployment, Learning


class Bottleneck:
    """A unit per rate point between frozen head and tail."""

    summary: ClassVar[str] = "lightweight units in the frozen backbone, trained for rate and distortion"
    version: ClassVar[int] = 2
    knob: ClassVar[str] = "lmbda"
    rates: ClassVar[tuple[Any, ...]] = (0.03, 0.1, 0.3, 1.0)
    only_at: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    Settings: ClassVar[type[base.Settings]] = units.Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Training images, and calibration images for some coders."""
        return units.needs(settings)

    def learn(self, settings: Any, context: Context) -> Learning:
        """Return the unit to train, alone."""
        return units.learning(settings, context)

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Deploy the backbone's head and tail with the trained unit. Raises MethodError where nothing was trained."""
        return units.deployed(settings, context)


METHOD = Bottleneck()

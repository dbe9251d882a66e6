"""One lightweight unit in a frozen backbone for all rates, with gains per channel that follow the rate.

The frozen backbone and the unit of ``bottleneck`` (Datta et al., ICPR 2022, arXiv 2208.11596); the gains of Cui et al.
(CVPR 2021, arXiv 2003.02012). Hossain, Duan, Huang and Zhu ("Flexible variable-rate image feature compression for
edge-cloud systems", ICMEW 2023) train one network for a range of lambda in the same way, by drawing it.

When the rate changes, one number is switched and the coder's tables.
"""

from typing import Any, ClassVar

from splitbench.methods import base
from splitbench.methods.base import Context, Deployment, Learning
from splitbench.methods.units import variable_settings as units


class BottleneckVariable:
    """One unit between frozen head and tail, trained for a range of rates."""

    summary: ClassVar[str] = "one lightweight unit in the frozen backbone for all rates, by gains that follow lambda"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "lmbda"
    rates: ClassVar[tuple[Any, ...]] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 12.0, 30.0)
    only_at: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    Settings: ClassVar[type[base.Settings]] = units.VariableSettings

    def needs(self, settings: Any) -> frozenset[str]:
        """Training and calibration images."""
        return units.needs(settings)

    def learn(self, settings: Any, context: Context) -> Learning:
        """Return the unit to train, alone, with another lambda for every image."""
        return units.learning(settings, context)

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Deploy the unit at one lambda. Raises MethodError where nothing was trained."""
        return units.deployed(settings, context)


METHOD = BottleneckVariable()

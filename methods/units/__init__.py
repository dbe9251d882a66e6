"""Trainable units: lightweight encoders and decoders for a cut, shared by the methods that train them."""

from splitbench.methods.units.settings import Settings, deployed, learning, needs
from splitbench.methods.units.unit import CutUnit

__all__ = ["CutUnit", "Settings", "deployed", "learning", "needs"]

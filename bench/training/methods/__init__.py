"""Trains what methods that learn ask for: a unit between frozen halves, or the whole model with it."""

from splitbench.bench.training.methods import curves
from splitbench.bench.training.methods.stage import Stage

__all__ = ["Stage", "curves"]

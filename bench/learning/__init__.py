"""Trains what methods that learn ask for: a unit between frozen halves, or the whole model with it."""

from splitbench.bench.learning import curves
from splitbench.bench.learning.stage import Stage

__all__ = ["Stage", "curves"]

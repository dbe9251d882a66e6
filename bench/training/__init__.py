"""The trainer, of bundled networks and of every method that learns: read ``trainer.py`` from top to bottom.

It is independent of what it trains: a *step* maps (model, batch) to measures, of which ``loss`` is differentiated. On
the CPU the same seed, data and number of threads yield the same weights, in one go or resumed after a kill.
"""

from splitbench.bench.training import distributed
from splitbench.bench.training.batches import Augment
from splitbench.bench.training.metrics import Measures, Step, TensorBatch, classify, validate
from splitbench.bench.training.recipe import Recipe
from splitbench.bench.training.report import Report, TrainingError
from splitbench.bench.training.trainer import train
from splitbench.bench.training.weights import save

__all__ = [
    "Augment",
    "Measures",
    "Recipe",
    "Report",
    "Step",
    "TensorBatch",
    "TrainingError",
    "classify",
    "distributed",
    "save",
    "train",
    "validate",
]

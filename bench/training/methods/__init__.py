"""Trains what methods ask for: a unit between frozen head and tail, or the whole model with it.

``method_trainer.py`` trains the cells of one pass, by ``rate_point.py`` for each rate point.
"""

from splitbench.bench.training.methods.method_trainer import MethodTrainer, TrainingInputs
from splitbench.bench.training.methods.trainings import Training, Trainings

__all__ = ["MethodTrainer", "Training", "TrainingInputs", "Trainings"]

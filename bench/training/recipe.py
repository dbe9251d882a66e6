"""How to train: a recipe's numbers, its learning-rate schedule, and the optimizer's parameter groups."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import nn

from splitbench.bench.training.report import TrainingError

TrainingPrecision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train, with AdamW (Loshchilov and Hutter 2019).

    Attributes:
        epochs: Times that every training image is seen.
        batch_size: Images per step and process.
        learning_rate: The highest.
        weight_decay: For matrices and kernels only: see :func:`parameter_groups`.
        warmup: Fraction of all steps over which the learning rate rises.
        clip: The largest norm of the gradient; ``math.inf`` for no clipping.
        ema: Where not None, an exponential moving average of the weights, over about 1 / (1 - ema) steps, is validated
            and kept.
        best: The measure on held-out images that chooses the best epoch: the lowest ``loss``, or the highest of any
            other.
        seed: Of the order, the augmentation and whatever the model draws in training.
        precision: Of the forward pass; ``bfloat16`` needs CUDA.

    Raises:
        TrainingError: a number that makes no sense.
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip: float = 1.0
    ema: float | None = None
    best: str = "loss"
    seed: int = 0
    precision: TrainingPrecision = "float32"

    def __post_init__(self) -> None:
        self._require(self.epochs >= 1, "epochs", "at least 1")
        self._require(self.batch_size >= 1, "batch_size", "at least 1")
        self._require(0 < self.learning_rate < math.inf, "learning_rate", "above 0")
        self._require(0 <= self.weight_decay < math.inf, "weight_decay", "at least 0")
        self._require(0 <= self.warmup < 1, "warmup", "a fraction of all steps, at least 0 and below 1")
        self._require(self.clip > 0, "clip", "above 0 (.inf for no clipping)")
        self._require(self.ema is None or 0 <= self.ema < 1, "ema", "none, or at least 0 and below 1")
        self._require(
            self.precision in get_args(TrainingPrecision), "precision", " or ".join(get_args(TrainingPrecision))
        )

    def _require(self, valid: bool, name: str, what: str) -> None:
        if not valid:
            raise TrainingError(f"the recipe's {name} is {getattr(self, name)!r}; it must be {what}")

    def learning_rate_at(self, progress: float) -> float:
        """Return the learning rate after a fraction ``progress`` of all steps: linear warm-up, then a half cosine."""
        if progress < self.warmup:
            return self.learning_rate * (progress / self.warmup)
        decay = math.pi * (progress - self.warmup) / (1 - self.warmup)
        return self.learning_rate * (0.5 + 0.5 * math.cos(decay))


ParameterGroups = list[dict[str, Any]]
"""For an optimizer; ``lr_scale`` multiplies the recipe's learning rate."""


def parameter_groups(
    parameters: Iterable[nn.Parameter],
    weight_decay: float,
    *,
    without_decay: Iterable[nn.Parameter] = (),
    lr_scale: float = 1.0,
) -> ParameterGroups:
    """Group the parameters that require a gradient into those that decay and those that do not.

    Weight decay spares norms, biases and single numbers (fewer than two axes), and all of ``without_decay``.
    """
    spared = set(without_decay)
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in parameters:
        if parameter.requires_grad:
            (decayed if parameter.ndim > 1 and parameter not in spared else others).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay, "lr_scale": lr_scale},
        {"params": others, "weight_decay": 0.0, "lr_scale": lr_scale},
    ]

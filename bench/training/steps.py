"""What the trainer asks of a step, and the step of a classifier."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Batch = tuple[Tensor, ...]
"""What a data set's items become when they are stacked: inputs and targets, batch axis first."""
Measures = dict[str, Tensor]
"""Scalars, means over a batch, by name: ``loss``, and what else is worth watching."""
Step = Callable[[nn.Module, Any], Measures]
"""Computes the measures of a batch, on the model's device. It runs the model by calling it, not through its methods:
what it is given may be wrapped for several processes or compiled. ``model.training`` tells training from validation."""
Augment = Callable[[Any, torch.Generator], Any]
"""Varies a batch on its way to the device, with random numbers from the generator only."""


def classify(label_smoothing: float = 0.0) -> Step:
    """The step of a classifier, for batches of (inputs, class indices): cross entropy, and ``accuracy`` in percent."""

    def step(model: nn.Module, batch: Batch) -> Measures:
        inputs, labels = batch
        logits = model(inputs)
        loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing if model.training else 0.0)
        return {"loss": loss, "accuracy": 100 * (logits.argmax(1) == labels).float().mean()}

    return step

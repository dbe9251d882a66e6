"""What a training step measures: the step of a classifier, means over images, and validation."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from splitbench.bench.training import distributed
from splitbench.bench.training.batches import Batches, BatchShare, Collate
from splitbench.bench.training.recipe import TrainingPrecision

TensorBatch = tuple[Tensor, ...]
"""Stacked items of a data set: inputs and targets, batch axis first."""
Measures = dict[str, Tensor]
"""Scalars by name, means over a batch: ``loss``, and what else is worth watching."""
Step = Callable[[nn.Module, Any], Measures]
"""Computes the measures of a batch, on the model's device. It must call the model rather than its methods, since the
model may be wrapped for several processes. ``model.training`` distinguishes training from validation."""


def classify(label_smoothing: float = 0.0) -> Step:
    """Return the step of a classifier, for batches of inputs and class indices, (B, ...) and (B,).

    Its measures are cross entropy and ``accuracy`` in percent.
    """

    def step(model: nn.Module, batch: TensorBatch) -> Measures:
        inputs, labels = batch
        logits = model(inputs)
        loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing if model.training else 0.0)
        return {"loss": loss, "accuracy": 100 * (logits.argmax(1) == labels).float().mean()}

    return step


class Means:
    """Means over images of a step's measures, kept on the device until they are read."""

    def __init__(self) -> None:
        self._totals: dict[str, Tensor] = {}
        self._images = 0

    def add(self, measures: Measures, images: int) -> None:
        """Add the measures of a batch, means over ``images`` images."""
        for name, value in measures.items():
            total = value.detach().double() * images if images else torch.zeros_like(value, dtype=torch.float64)
            self._totals[name] = self._totals[name] + total if name in self._totals else total
        self._images += images

    def local(self) -> dict[str, float]:
        """Return the means of this process."""
        return {name: total / max(1, self._images) for name, total in zip(self._totals, self._read(), strict=True)}

    def all_processes(self) -> dict[str, float]:
        """Return the means over all processes, the same in each; every process must have added a batch."""
        sums = torch.tensor([*self._read(), self._images], dtype=torch.float64)
        *totals, images = distributed.all_reduce(sums).tolist()
        return {name: total / images for name, total in zip(self._totals, totals, strict=True)}

    def _read(self) -> list[float]:
        """Return all totals in one transfer, since each transfer waits for a GPU."""
        totals = list(self._totals.values())
        values: list[float] = torch.stack([x.to(totals[0].device) for x in totals]).tolist() if totals else []
        return values


def validate(
    model: nn.Module,
    step: Step,
    data: Dataset[Any],
    *,
    batch_size: int = 256,
    collate: Collate | None = None,
    host_fields: int = 0,
) -> dict[str, float]:
    """Return the step's measures in evaluation mode, averaged over all images of ``data``, by this process alone.

    ``collate`` and ``host_fields`` are those of :func:`~splitbench.bench.training.trainer.train`.
    """
    device = next(model.parameters()).device
    batches = Batches(data, batch_size, device, collate=collate, host_fields=host_fields)
    return evaluate(model, step, batches).local()


@torch.no_grad()
def evaluate(
    model: nn.Module, step: Step, batches: Iterable[BatchShare], precision: TrainingPrecision = "float32"
) -> Means:
    """Return the step's measures over batches, with the model in evaluation mode."""
    model.eval()
    means = Means()
    for batch, images, _ in batches:
        with autocast(next(model.parameters()).device, precision):
            measures = step(model, batch)
        means.add(measures, images)
    return means


def autocast(device: torch.device, precision: TrainingPrecision) -> AbstractContextManager[Any]:
    """Run matrix products and convolutions in ``precision``."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, getattr(torch, precision))

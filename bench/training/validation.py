"""Measures on data that is not trained on, and means over batches."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from splitbench.bench.training import distributed
from splitbench.bench.training.batches import Batches, Collate, Share
from splitbench.bench.training.steps import Measures, Step
from splitbench.bench.utils.precision import Precision


class Means:
    """Means over images of what steps return, kept on the device until they are asked for."""

    def __init__(self) -> None:
        self._totals: dict[str, torch.Tensor] = {}
        self._images = 0

    def add(self, measures: Measures, images: int) -> None:
        """Add a batch's means over so many images."""
        for name, value in measures.items():
            share = value.detach().double() * images if images else torch.zeros_like(value, dtype=torch.float64)
            self._totals[name] = self._totals[name] + share if name in self._totals else share
        self._images += images

    def here(self) -> dict[str, float]:
        """The means so far, of this process."""
        return {name: total / max(1, self._images) for name, total in zip(self._totals, self._read(), strict=True)}

    def everywhere(self) -> dict[str, float]:
        """The means over all processes, the same in each; every process must have added a batch."""
        sums = torch.tensor([*self._read(), self._images], dtype=torch.float64)
        *totals, images = distributed.total(sums).tolist()
        return {name: total / images for name, total in zip(self._totals, totals, strict=True)}

    def _read(self) -> list[float]:
        """All totals at once, since each look waits for a GPU."""
        totals = list(self._totals.values())
        found: list[float] = torch.stack([x.to(totals[0].device) for x in totals]).tolist() if totals else []
        return found


def validate(
    model: nn.Module,
    step: Step,
    data: Dataset[Any],
    batch_size: int = 256,
    collate: Collate | None = None,
    stay: int = 0,
) -> dict[str, float]:
    """The step's measures in evaluation mode, averaged over the images of ``data``, all of them by this process.

    ``collate`` and ``stay`` are as for ``train``.
    """
    device = next(model.parameters()).device
    return measured(model, step, Batches(data, batch_size, device, collate, stay=stay)).here()


@torch.no_grad()
def measured(model: nn.Module, step: Step, batches: Iterable[Share], precision: Precision = "float32") -> Means:
    """The step's measures in evaluation mode."""
    model.eval()
    means = Means()
    for batch, images, _ in batches:
        with cast(next(model.parameters()).device, precision):
            measures = step(model, batch)
        means.add(measures, images)
    return means


def cast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Lets matrix products and convolutions run in ``precision``."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, getattr(torch, precision))

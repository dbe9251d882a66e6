"""What the trainings of the synthetic benchmark's networks share: images in memory, the recipe, and the report."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from splitbench.bench import training
from splitbench.bench.backbones import registry
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.metrics.macs import count_macs, count_step_macs
from splitbench.bench.results import provenance
from splitbench.bench.training import Augment, Recipe, Step, TensorBatch
from splitbench.bench.utils import progress
from splitbench.bench.utils.files import write_file
from splitbench.datasets.base import Dataset

HELD_OUT = 1000
"""Images at the end of the training set by which the best epoch is chosen."""


@dataclass(frozen=True, slots=True)
class _Items(TorchDataset[TensorBatch]):
    images: Dataset
    item: Callable[[Dataset, int], TensorBatch]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> TensorBatch:
        return self.item(self.images, index)


def load_tensors(
    images: Dataset, item: Callable[[Dataset, int], TensorBatch], what: str, workers: int = 0
) -> TensorDataset:
    """Load all images as tensors, each drawn once by ``item``: faster than drawing them every epoch."""
    size = 100
    batches = DataLoader(_Items(images, item), size, num_workers=workers)
    parts: tuple[Tensor, ...] = ()
    for number, batch in enumerate(progress.track(batches, f"drawing {what}", unit="x 100 images")):
        if not parts:  # filled in place: concatenating batches at the end would take twice the memory
            parts = tuple(torch.empty((len(images), *part.shape[1:]), dtype=part.dtype) for part in batch)
        for whole, part in zip(parts, batch, strict=True):
            whole[number * size : number * size + len(part)] = part
    return TensorDataset(*parts)


@dataclass(frozen=True, slots=True)
class FittedNetwork:
    """A trained network, read back from its file, its training and held-out images, and its report's first fields."""

    backbone: Backbone
    seen: Subset[TensorBatch]
    held_out: Subset[TensorBatch]
    facts: Mapping[str, Any]


def fit(
    name: str,
    network: nn.Module,
    model: nn.Module,
    *,
    step: Step,
    augment: Augment,
    images: TensorDataset,
    recipe: Recipe,
    out: Path,
) -> FittedNetwork:
    """Train ``network``, a part of ``model``, and write it to ``out``, matrices and kernels in float16.

    A run that was killed resumes from its last epoch: its state lies beside ``out`` until the weights are written.
    """
    held_out = min(HELD_OUT, len(images) // 5)
    parts = Subset(images, range(len(images) - held_out)), Subset(images, range(len(images) - held_out, len(images)))
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = out.with_suffix(".checkpoint")
    with _one_thread():
        outcome = training.train(
            model, step, *parts, recipe, augment=augment, checkpoint=checkpoint, identity={"network": name}
        )
    first_batch = tuple(tensor[: recipe.batch_size] for tensor in images.tensors)
    macs = count_step_macs(model, lambda: step(model, first_batch)["loss"])
    training.save(network, out, float16=True)
    checkpoint.unlink(missing_ok=True)

    # Reported is what the file holds, read as users read it.
    backbone = registry.build(f"splitbench/{name}", {}, str(out), {})
    facts = {
        "seed": recipe.seed,
        "threads": 1,
        "processor": provenance.processor(torch.device("cpu")),
        "versions": provenance.versions(),
        "train_seconds": round(outcome.seconds, 1),
        "train_images": outcome.images,
        "train_macs": macs // len(first_batch[0]) * outcome.images,
        "best_epoch": outcome.best_epoch + 1,
    }
    return FittedNetwork(backbone, parts[0], parts[1], facts)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: another number rounds sums differently, and so ends in other weights."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def report(
    trained: FittedNetwork, out: Path, *, command: str, example: Any, accuracy: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a report on a training beside its weights ``out``, and return it; MACs are counted on ``example``."""
    backbone = trained.backbone
    facts = dict(trained.facts)
    best_epoch = facts.pop("best_epoch")
    written = {
        "backbone": backbone.name,
        "weights": backbone.weights,
        "command": command,
        **facts,
        "best_epoch": best_epoch,
        **accuracy,
        "parameters": sum(parameter.numel() for parameter in backbone.model.parameters()),
        "macs": count_macs(backbone.model, example),
    }
    write_file(out.with_suffix(".json"), json.dumps(written, indent=2) + "\n")
    return written

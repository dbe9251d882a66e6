"""Trains one rate point: examples, the trainer, the coder's tables, and what it cost."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset

from splitbench.bench import training
from splitbench.bench.metrics.macs import count_macs, count_step_macs
from splitbench.bench.training import Measures, Recipe, Report, Step, distributed
from splitbench.bench.training.methods.examples import STAY, Examples, listed
from splitbench.bench.training.methods.learner import Learner
from splitbench.bench.training.methods.training_data import Pool
from splitbench.bench.training.methods.warm_up import Restorer
from splitbench.bench.utils import provenance
from splitbench.methods.base import Cut, Learning

_TABLE_IMAGES = 2000
"""Training images whose symbols the coder's tables are made from."""


def train_rate_point(
    learner: Learner, learning: Learning, recipe: Recipe, pool: Pool, checkpoint: Path, key: str, fresh: bool
) -> dict[str, Any]:
    """Train ``learner`` where it lies, until it can be deployed.

    Args:
        learner: With the weights that it begins with.
        learning: What its method asked for.
        recipe: How to train.
        pool: The training images.
        checkpoint: Where the state is kept; a killed training goes on from there.
        key: Of the training; a checkpoint of another is refused.
        fresh: Whether the unit is new: its scales are fitted, and it learns to restore the cut if ``learning`` asks so.

    Returns:
        What it took: ``train_seconds``, running a frozen head for examples that are kept included where this training
        did it, ``train_images``, ``train_macs``, as if it had been trained alone, ``best_epoch``, ``processor``,
        ``processes``, ``versions``, the ``history``, and that of ``restoring`` where the unit learned that first.

    Raises:
        TrainingError: it diverged, or its checkpoint cannot be written; what was reached stays in the checkpoint.
    """
    begun = time.perf_counter()
    with torch.no_grad():
        sent = learner.frozen[0](pool.example)
        cut = sent[: learner.tensors]
        if fresh:
            learner.unit.begin(cut)
    kept = pool.examples(None if learner.own else learner.frozen[0], cut, learning.flip)
    lesson = _Lesson(pool, learner.frozen[0], learner.tensors, len(sent) > learner.tensors)
    restored: Report | None = None
    macs = 0
    if fresh and learning.restore and not learning.scratch:
        # The pretrained head's outputs may be kept here even where it is trained afterwards.
        shown = pool.examples(learner.frozen[0], cut, learning.flip)
        first = checkpoint.with_name(f"{checkpoint.stem}.restoring{checkpoint.suffix}")
        identity = {"training": key, "lesson": "restoring"}
        restored, spent = lesson.give(Restorer(learner), shown, replace(recipe, **learning.restore), first, identity)
        macs += spent + (_head_macs(learner.frozen[0], shown, pool) if shown is not kept else 0)
    aside = time.perf_counter() - begun - (restored.seconds if restored else 0)
    report, spent = lesson.give(learner, kept, recipe, checkpoint, {"training": key})
    macs += spent + _head_macs(learner.frozen[0], kept, pool)
    begun = time.perf_counter()
    learner.halve()
    learner.eval()
    with torch.no_grad():
        learner.unit.finish(_cuts(learner, kept, pool, recipe.batch_size))
    aside += time.perf_counter() - begun
    reports = [report, *([restored] if restored else [])]
    return {
        "train_seconds": round(sum(one.seconds for one in reports) + aside, 2),
        "train_images": sum(one.images for one in reports),
        "train_macs": macs,
        "best_epoch": report.best_epoch,
        "processor": provenance.processor(pool.device),
        "processes": distributed.world(),
        "versions": provenance.versions(),
        "history": report.history,
        **({"restoring": restored.history} if restored else {}),
    }


@dataclass(frozen=True)
class _Lesson:
    """Gives batches of a pool to a learner or its unit; ``numbers`` says that the head sends sizes besides the cut."""

    pool: Pool
    head: nn.Module
    tensors: int
    numbers: bool

    def give(
        self, model: nn.Module, shown: Examples, recipe: Recipe, checkpoint: Path, identity: Mapping[str, str]
    ) -> tuple[Report, int]:
        """Train ``model``; returns the report, and the MACs of all its steps."""

        def step(model: nn.Module, batch: Any) -> Measures:
            *inputs, index, version = batch
            if shown.cuts:
                sizes = self.pool.sizes(self.head, self.tensors, len(index)) if self.numbers else ()
                kept: Measures = model(None, lambda: self.pool.truth(index, version), (*inputs, *sizes))
                return kept
            (pixels,) = inputs
            groups = self.pool.backbone.alike(pixels)
            if len(groups) == 1:
                return self._seen(model, pixels, index, version)
            parts = []
            for places in groups:
                rows = torch.tensor(places, device=index.device)
                parts.append(self._seen(model, [pixels[place] for place in places], index[rows], version[rows]))
            shares = [len(places) / len(index) for places in groups]
            return {
                name: torch.stack([part[name] * share for part, share in zip(parts, shares, strict=True)]).sum()
                for name in parts[0]
            }

        macs = _step_macs(model, step, shown, self.pool, recipe.batch_size)
        report = training.train(
            model,
            step,
            _without_rest(shown.train, recipe.batch_size * distributed.world()),
            shown.held_out,
            recipe,
            shown.augment,
            self.pool.progress,
            checkpoint=checkpoint,
            identity=identity,
            collate=None if shown.cuts or self.pool.in_memory else listed,
            stay=STAY,
        )
        return report, macs * report.images

    def _seen(self, model: nn.Module, pixels: Any, index: Tensor, version: Tensor) -> Measures:
        out: Measures = model(self.pool.inputs(pixels), lambda: self.pool.truth(index, version))
        return out


def _head_macs(head: nn.Module, shown: Examples, pool: Pool) -> int:
    """MACs of running a frozen head once for all examples that are kept."""
    return count_macs(head, pool.example) // pool.count * shown.head_runs if shown.cuts else 0


def _without_rest(data: TorchDataset[Any], batch: int) -> TorchDataset[Any]:
    """The data without the last few, where they would leave a process a batch of one image: no batch norm can."""
    count = len(data)  # type: ignore[arg-type]
    rest = count % batch
    return Subset(data, range(count - rest)) if 0 < rest < 2 * distributed.world() and rest < count else data


def _step_macs(model: nn.Module, step: Step, shown: Examples, pool: Pool, batch_size: int) -> int:
    """MACs per image of one training step, forward and backward."""
    batch = next(pool.loader(shown, min(pool.count, batch_size)))
    return count_step_macs(model, lambda: step(model, batch)["loss"]) // len(batch[-1])


def _cuts(learner: Learner, shown: Examples, pool: Pool, batch_size: int) -> Iterator[Cut]:
    """Cuts of training images as the trained head makes them."""
    seen = 0
    for *inputs, index, _ in pool.loader(shown, batch_size):
        if shown.cuts:
            yield tuple(inputs[: learner.tensors])
        else:
            for places in pool.backbone.alike(inputs[0]):
                rows = pool.inputs([inputs[0][place] for place in places])
                yield tuple(learner.head(rows)[: learner.tensors])
        seen += len(index)
        if seen >= _TABLE_IMAGES:
            return

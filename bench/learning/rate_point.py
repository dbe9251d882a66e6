"""Trains one rate point: examples, the trainer, the coder's tables, and what it cost."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset

from splitbench.bench import training
from splitbench.bench.learning.examples import Examples, listed
from splitbench.bench.learning.learner import Learner
from splitbench.bench.learning.pool import Pool
from splitbench.bench.metrics.macs import count_macs, count_training_macs
from splitbench.bench.training import Measures, Recipe, Step, distributed
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
        fresh: Whether the unit is new, so that its scales are to be fitted.

    Returns:
        What it took: ``train_seconds``, running a frozen head for examples that are kept included where this training
        did it, ``train_images``, ``train_macs``, as if it had been trained alone, ``best_epoch``, and the ``history``.

    Raises:
        TrainingError: it diverged, or its checkpoint cannot be written; what was reached stays in the checkpoint.
    """
    begun = time.perf_counter()
    with torch.no_grad():
        sent = learner.frozen[0](pool.example)
        cut = sent[: learner.tensors]
        if fresh:
            learner.unit.begin(cut)
    numbers = sent[learner.tensors :]
    shown = pool.examples(learner.frozen[0] if learner.head is learner.frozen[0] else None, cut, learning.flip)

    def step(model: nn.Module, batch: Any) -> Measures:
        *inputs, index, version = batch

        def truth() -> Any:
            return pool.truth(index, version)

        if shown.cuts:
            sizes = pool.sizes(learner.frozen[0], learner.tensors, len(index)) if numbers else ()
            kept: Measures = model(None, truth, (*inputs, *sizes))
            return kept
        out: Measures = model(pool.inputs(inputs[0]), truth)
        return out

    macs = _step_macs(learner, step, shown, pool, recipe.batch_size)
    aside = time.perf_counter() - begun
    report = training.train(
        learner,
        step,
        _without_rest(shown.train, recipe.batch_size * distributed.world()),
        shown.held_out,
        recipe,
        shown.augment,
        pool.progress,
        checkpoint=checkpoint,
        identity={"training": key},
        collate=None if shown.cuts or pool.in_memory else listed,
    )
    begun = time.perf_counter()
    learner.halve()
    learner.eval()
    with torch.no_grad():
        learner.unit.finish(_cuts(learner, shown, pool, recipe.batch_size))
    aside += time.perf_counter() - begun
    head_macs = count_macs(learner.head, pool.example) // pool.count if shown.cuts else 0
    return {
        "train_seconds": round(report.seconds + aside, 2),
        "train_images": report.images,
        "train_macs": macs * report.images + head_macs * shown.head_runs,
        "best_epoch": report.best_epoch,
        "history": report.history,
    }


def _without_rest(data: TorchDataset[Any], batch: int) -> TorchDataset[Any]:
    """The data without the last few, where they would leave a process a batch of one image: no batch norm can."""
    count = len(data)  # type: ignore[arg-type]
    rest = count % batch
    return Subset(data, range(count - rest)) if 0 < rest < 2 * distributed.world() and rest < count else data


def _step_macs(learner: Learner, step: Step, shown: Examples, pool: Pool, batch_size: int) -> int:
    """MACs per image of one training step, forward and backward; weights and statistics are put back."""
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    batch = next(pool.loader(shown, min(pool.count, batch_size)))
    learner.train()
    with torch.random.fork_rng(devices=[]):
        with torch.no_grad():
            step(learner, batch)  # what is worked out once and kept is not a step's
        macs = count_training_macs(lambda: step(learner, batch)["loss"]) // len(batch[-1])
    learner.zero_grad(set_to_none=True)
    learner.load_state_dict(before)
    return macs


def _cuts(learner: Learner, shown: Examples, pool: Pool, batch_size: int) -> Iterator[Cut]:
    """Cuts of training images as the trained head makes them."""
    seen = 0
    for *inputs, index, _ in pool.loader(shown, batch_size):
        values = inputs if shown.cuts else learner.head(pool.inputs(inputs[0]))
        yield tuple(values[: learner.tensors])
        seen += len(index)
        if seen >= _TABLE_IMAGES:
            return

"""Trains one rate point: read :func:`train_rate_point` from top to bottom."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset

from splitbench.bench import training
from splitbench.bench.metrics.macs import count_macs, count_step_macs
from splitbench.bench.results import provenance
from splitbench.bench.training import Measures, Recipe, Report, Step, distributed
from splitbench.bench.training.methods.distillation import HeadDistillation
from splitbench.bench.training.methods.examples import HOST_FIELDS, Examples, FrozenHead
from splitbench.bench.training.methods.learner import Learner, WarmUp
from splitbench.bench.training.methods.losses import Loss
from splitbench.bench.training.methods.training_data import TrainingData
from splitbench.bench.utils.progress import Show
from splitbench.methods.base import Cut

OnEpoch = Callable[[Mapping[str, float]], None]
"""Called with the measures of an epoch."""

_TABLE_IMAGES = 2000
"""Training images whose symbols the coder's tables are made of."""


def train_rate_point(
    learner: Learner,
    data: TrainingData,
    recipe: Recipe,
    *,
    checkpoint: Path,
    key: str,
    new_unit: bool,
    distance: Loss,
    show: Show,
    say: Callable[[str], None],
    on_epoch: OnEpoch = lambda measures: None,
) -> dict[str, Any]:
    """Train ``learner`` in place, until it can be deployed.

    Args:
        learner: With the weights that it begins with.
        data: The training images.
        recipe: How to train.
        checkpoint: The file of the state, from which a killed training resumes.
        key: Of the training; a checkpoint of another is refused.
        new_unit: Whether the unit's scales are to be fitted, and the unit warmed up if the method asks for it.
        distance: What a new head first learns to lessen, see :class:`HeadDistillation`.
        show: Shows the loop over all steps, and that of a warm-up.
        on_epoch: Called with each epoch's row of the learning curve, without the warm-up's.
        say: Called with a message where the training is resumed.

    Returns:
        What it took: ``train_seconds``, including the frozen head's run over all examples where this training did it,
        ``train_images``, ``train_macs``, as if it had been trained alone, ``best_epoch``, ``processor``,
        ``processes``, ``versions``, the ``history``, and that of the ``warm_up`` where there was one.

    Raises:
        TrainingError: it diverged, or its checkpoint cannot be written; what was reached stays in the checkpoint.
    """
    learning = learner.learning
    started = time.perf_counter()
    with torch.no_grad():
        sent = learner.frozen[0](data.example)
        head = FrozenHead(learner.frozen[0], learner.tensors, sizes=len(sent) > learner.tensors)
        cut = sent[: learner.tensors]
        if new_unit:
            learner.begin(data.example, cut)
    has_new_head = learning.new_head is not None
    examples = data.cuts(head, cut, learning.flip) if learner.has_frozen_head else data.pictures(learning.flip)
    macs, reports = 0, []
    if new_unit and learning.warm_up and not learning.from_scratch:
        _try_step(learner, examples, data, head, recipe.batch_size)
        # A new head needs images; all others cuts, even where the head is trained afterwards.
        warm_up_examples = examples if has_new_head else data.cuts(head, cut, learning.flip)
        report, step_macs = _train(
            HeadDistillation(learner, distance) if has_new_head else WarmUp(learner),
            warm_up_examples,
            data,
            head,
            replace(recipe, **learning.warm_up),
            checkpoint=checkpoint.with_name(f"{checkpoint.stem}.warm-up{checkpoint.suffix}"),
            identity={"training": key, "stage": "warm-up"},
            show=show,
            say=lambda message: say(f"warm-up {message}"),
        )
        macs += step_macs + (_head_macs(head, warm_up_examples, data) if warm_up_examples is not examples else 0)
        reports.append(report)
        if has_new_head:
            learner.freeze_encoder()
            with torch.no_grad():
                learner.eval().unit.freeze(_cuts(learner, examples, data, recipe.batch_size))
    seconds = time.perf_counter() - started - sum(report.seconds for report in reports)

    report, step_macs = _train(
        learner,
        examples,
        data,
        head,
        recipe,
        checkpoint=checkpoint,
        identity={"training": key},
        show=show,
        on_epoch=on_epoch,
        say=say,
    )
    macs += step_macs + _head_macs(head, examples, data)
    reports.append(report)

    started = time.perf_counter()
    learner.round_to_float16()
    learner.eval()
    with torch.no_grad():
        learner.unit.finish(_cuts(learner, examples, data, recipe.batch_size))
    seconds += time.perf_counter() - started
    return {
        "train_seconds": round(seconds + sum(report.seconds for report in reports), 2),
        "train_images": sum(report.images for report in reports),
        "train_macs": macs,
        "best_epoch": report.best_epoch,
        "processor": provenance.processor(data.device),
        "processes": distributed.world_size(),
        "versions": provenance.versions(),
        "history": report.history,
        **({"warm_up": reports[0].history} if len(reports) > 1 else {}),
    }


def _train(
    model: Learner | WarmUp | HeadDistillation,
    examples: Examples,
    data: TrainingData,
    head: FrozenHead,
    recipe: Recipe,
    *,
    checkpoint: Path,
    identity: Mapping[str, str],
    show: Show,
    say: Callable[[str], None],
    on_epoch: OnEpoch = lambda measures: None,
) -> tuple[Report, int]:
    """Train a learner or its unit; return the report, and the MACs of all steps."""
    step = _cut_step(data, head) if examples.are_cuts else _picture_step(data)
    macs_per_image = _try_step(model, examples, data, head, recipe.batch_size)
    report = training.train(
        model,
        step,
        _without_single_images(examples.train, recipe.batch_size * distributed.world_size()),
        examples.held_out,
        recipe,
        augment=examples.augment,
        groups=model.parameter_groups(recipe.weight_decay),
        collate=examples.collate,
        host_fields=HOST_FIELDS,
        checkpoint=checkpoint,
        identity=identity,
        show=show,
        on_epoch=on_epoch,
        say=say,
    )
    return report, macs_per_image * report.images


def _try_step(
    model: Learner | WarmUp | HeadDistillation, examples: Examples, data: TrainingData, head: FrozenHead, size: int
) -> int:
    """Take a step that changes nothing, so that a later stage's mistake shows at once; return its MACs per image."""
    step = _cut_step(data, head) if examples.are_cuts else _picture_step(data)
    batch = next(data.batches(examples, min(data.example_images, size)))
    return count_step_macs(model, lambda: step(model, batch)["loss"]) // len(batch[-1])


def _cut_step(data: TrainingData, head: FrozenHead) -> Step:
    """Return the step for batches of a frozen head's outputs."""

    def step(model: nn.Module, batch: Any) -> Measures:
        *cut, index, version = batch
        sent = (*cut, *data.sizes(head, len(index)))
        measures: Measures = model(None, lambda: data.targets(index, version), sent)
        return measures

    return step


def _picture_step(data: TrainingData) -> Step:
    """Return the step for batches of images; where sizes differ, the mean over groups that fit the head."""

    def step(model: nn.Module, batch: Any) -> Measures:
        pixels, index, version = batch
        groups = data.backbone.alike(pixels)
        if len(groups) == 1:
            return measure(model, pixels, index, version)
        measured, fractions = [], []
        for group in groups:
            rows = torch.tensor(group, device=index.device)
            measured.append(measure(model, [pixels[row] for row in group], index[rows], version[rows]))
            fractions.append(len(group) / len(index))
        return {
            name: torch.stack([each[name] * share for each, share in zip(measured, fractions, strict=True)]).sum()
            for name in measured[0]
        }

    def measure(model: nn.Module, pixels: Any, index: torch.Tensor, version: torch.Tensor) -> Measures:
        measures: Measures = model(data.inputs(pixels), lambda: data.targets(index, version))
        return measures

    return step


def _head_macs(head: FrozenHead, examples: Examples, data: TrainingData) -> int:
    """MACs of running a frozen head once for all examples that are its outputs."""
    if not examples.are_cuts:
        return 0
    return count_macs(head.module, data.example) // data.example_images * examples.head_runs


def _without_single_images(data: TorchDataset[Any], batch: int) -> TorchDataset[Any]:
    """Return data without the last few, where a process would get a batch of one image: batch norm fails on it."""
    count = len(data)  # type: ignore[arg-type]
    rest = count % batch
    return Subset(data, range(count - rest)) if 0 < rest < 2 * distributed.world_size() and rest < count else data


def _cuts(learner: Learner, examples: Examples, data: TrainingData, batch_size: int) -> Iterator[Cut]:
    """Cuts of training images as the trained head makes them."""
    images = 0
    for *inputs, index, _ in data.batches(examples, batch_size):
        if examples.are_cuts:
            yield tuple(inputs)
        else:
            for group in data.backbone.alike(inputs[0]):
                rows = data.inputs([inputs[0][row] for row in group])
                yield tuple(learner.head(rows)[: learner.tensors])
        images += len(index)
        if images >= _TABLE_IMAGES:
            return

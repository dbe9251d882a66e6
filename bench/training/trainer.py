"""The trainer: read :func:`train` from top to bottom."""

import math
import time
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from splitbench.bench.training import checkpoint as checkpoints
from splitbench.bench.training import distributed
from splitbench.bench.training.batches import Batches, Collate
from splitbench.bench.training.errors import TrainingError
from splitbench.bench.training.recipe import Recipe
from splitbench.bench.training.report import Report
from splitbench.bench.training.saving import copy, put
from splitbench.bench.training.session import Session, apart, begin
from splitbench.bench.training.steps import Augment, Step
from splitbench.bench.training.validation import Means, cast, measured
from splitbench.bench.utils import progress
from splitbench.bench.utils.log import LOG

_SELDOM = 10
"""Steps between looks at the measures where a look is dear: it waits for a GPU, or for other processes."""


def train(
    model: nn.Module,
    step: Step,
    data: Dataset[Any],
    held_out: Dataset[Any],
    recipe: Recipe,
    augment: Augment | None = None,
    show_progress: bool = True,
    *,
    checkpoint: Path | None = None,
    collate: Collate | None = None,
    stay: int = 0,
    identity: Mapping[str, Any] | None = None,
) -> Report:
    """Train the parameters that require a gradient, where they lie, and leave the best epoch's weights in ``model``.

    With a ``checkpoint``, a run that was killed goes on from its last whole epoch when it is called again with the
    same arguments; on the CPU it ends in the same weights, bit for bit. A run that was done returns at once, so
    remove the file when its weights are saved elsewhere. With several processes (see ``distributed``) every one
    calls this, all with the same arguments, and the checkpoint is on storage that all of them see.

    Args:
        model: Trained in place, on the device that its parameters are on. What must not change, it keeps from
            changing itself: parameters by ``requires_grad``, statistics of norms by its ``train`` method. A module's
            attribute ``no_decay`` names parameters of its own that weight decay spares.
        step: What to compute for a batch.
        data: A map-style data set, by default of tuples of tensors and numbers.
        held_out: Likewise; training images that are not trained on, by which the best epoch is chosen.
        recipe: The numbers.
        augment: Applied to training batches only, before they are moved to the model's device.
        show_progress: Whether to draw a bar, with the epoch's means so far and the time left.
        checkpoint: A file for the state, written at the start and after every epoch.
        collate: Makes a batch of a list of items, where stacking them will not do: detectors need lists.
        stay: How many parts at a batch's end stay on the host, for a step that looks something up by them there:
            reading them from a GPU would wait for it.
        identity: What else tells this training from others: backbone, split, rate point, weights it starts from.
            A checkpoint with another is refused.

    Raises:
        TrainingError: no data, nothing to train, a recipe that does not fit the step or the device, a checkpoint of
            another training or one that cannot be saved, or a loss that is no longer finite: then the model holds
            the best weights so far, and the error the report.
    """
    begun = time.perf_counter()
    device = _device(model, data, held_out, recipe)
    rank, world = distributed.rank(), distributed.world()
    with _own_random_numbers(device, apart(recipe.seed, rank)):
        net = distributed.wrapped(model)
        now = begin(model, recipe)
        vary = None if augment is None else lambda batch: augment(batch, now.random)
        how = recipe.batch_size, device, collate
        batches = Batches(data, *how, now.order, rank, world, vary, stay)
        checks = Batches(held_out, *how, None, rank, world, None, stay)
        steps = recipe.epochs * len(batches)
        facts = checkpoints.facts(model, batches.count, checks.count, recipe, device, identity or {})
        if checkpoint is not None:
            saved = _read(checkpoint, facts)
            if saved is not None:
                now.restore(saved)
            else:  # at once: a place that cannot be written should not cost an epoch
                _write(checkpoint, facts, now)
        alone = model
        if recipe.compile:
            alone = torch.compile(model)  # type: ignore[assignment]
            net = alone if world == 1 else torch.compile(net)  # type: ignore[assignment]
        report, before = now.report, now.report.seconds
        done = len(report.history)
        if done < recipe.epochs:
            _try(alone, step, checks, recipe)

        with progress.bar(
            total=steps,
            initial=done * len(batches),
            unit="step",
            disable=not show_progress or rank > 0,
            dynamic_ncols=True,
        ) as bar:
            for epoch in range(done, recipe.epochs):
                bar.set_description(f"epoch {epoch + 1}/{recipe.epochs}")
                net.train()
                means = Means()
                for number, (batch, images, whole) in enumerate(batches, epoch * len(batches)):
                    rate = _set_pace(now, recipe, number / steps)
                    with cast(device, recipe.precision):
                        measures = step(net, batch)
                    # Processes' gradients are averaged: each loss counts for as many images as it is of.
                    now.scaler.scale(measures["loss"] * (images * world / whole)).backward()  # type: ignore[no-untyped-call]
                    now.scaler.unscale_(now.optimizer)
                    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
                    now.scaler.step(now.optimizer)
                    now.scaler.update()
                    now.optimizer.zero_grad(set_to_none=True)
                    if now.average is not None:
                        now.average.add(model, number)
                    means.add(measures, images)
                    report.images += whole
                    last = number + 1 == (epoch + 1) * len(batches)
                    if last or number % _SELDOM == 0 or (device.type == "cpu" and world == 1):
                        seen = _look(now, means, recipe, number)
                        bar.set_postfix({name: f"{value:.3g}" for name, value in seen.items()}, refresh=False)
                    bar.update()

                trained = copy(model)
                if now.average is not None:
                    put(model, now.average.weights)
                distributed.spread(model.buffers())
                found = measured(alone, step, checks, recipe.precision).everywhere()
                if not math.isfinite(found["loss"]):
                    raise _diverged(now, f"the loss on held-out images is {found['loss']}", recipe, number)
                score = -found["loss"] if recipe.best == "loss" else found[recipe.best]
                if score > now.best:
                    now.best, report.best_epoch, now.kept = score, epoch, copy(model)
                put(model, trained)
                report.seconds = before + time.perf_counter() - begun
                report.history.append(
                    {"epoch": epoch + 1, "images": report.images, "seconds": report.seconds, "learning_rate": rate}
                    | {f"train_{name}": value for name, value in means.everywhere().items()}
                    | found
                )
                LOG.info("%s", _progress(report, recipe.epochs))
                if checkpoint is not None:
                    _write(checkpoint, facts, now)
    put(model, now.kept)
    model.eval()
    return report


def _device(model: nn.Module, data: Any, held_out: Any, recipe: Recipe) -> torch.device:
    """The model's device, after a look at what could be wrong before anything is computed."""
    for what, images in (("training", data), ("held-out", held_out)):
        if not isinstance(images, Sized) or len(images) == 0:
            raise TrainingError(f"no {what} data")
    first = next(model.parameters(), None)
    if first is None:
        raise TrainingError("nothing to train: the model has no parameters")
    if recipe.precision != "float32" and first.device.type != "cuda":
        raise TrainingError(
            f"precision {recipe.precision} needs a CUDA device, and the model is on the {first.device.type}: "
            "move it, or train in float32"
        )
    if recipe.precision == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise TrainingError("this GPU has no bfloat16: train in float16 or float32")
    return first.device


@contextmanager
def _own_random_numbers(device: torch.device, seed: int) -> Iterator[None]:
    """Seeds whatever draws from torch's own generators, and gives the caller's state back in the end."""
    with torch.random.fork_rng(range(torch.cuda.device_count()) if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _progress(report: Report, epochs: int) -> str:
    """The last epoch as a line."""
    last, done = report.history[-1], len(report.history)
    measures = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name not in ("epoch", "images"))
    left = tqdm.format_interval(report.seconds / done * (epochs - done))
    return f"epoch {done} of {epochs}: {measures}; about {left} left"


def _read(path: Path, facts: checkpoints.Facts) -> dict[str, Any] | None:
    state = checkpoints.read(path, facts)
    epochs = -1 if state is None else len(state["report"]["history"])
    if len({int(one) for one in distributed.gathered(torch.tensor([epochs]))}) > 1:
        raise TrainingError(f"not all processes see the same {path}: put it on storage that all machines share")
    return state


def _write(path: Path, facts: checkpoints.Facts, now: Session) -> None:
    """Rank 0 writes; if it cannot, every process raises, none being left to wait for the others."""
    state = now.state()
    failure: str | None = None
    if distributed.rank() == 0:
        try:
            checkpoints.write(path, facts, state)
        except TrainingError as error:
            failure = str(error)
    if distributed.total(torch.tensor(float(failure is not None))):
        put(now.model, now.kept)
        raise TrainingError(failure or f"process 0 cannot save the checkpoint {path}; it says why", now.report)


def _try(alone: nn.Module, step: Step, checks: Batches, recipe: Recipe) -> None:
    """Validate on one batch, so that a mistake there does not show after an epoch only."""
    with torch.random.fork_rng([checks.device] if checks.device.type == "cuda" else []):
        found = measured(alone, step, [next(iter(checks))], recipe.precision).here()
    if missing := {"loss", recipe.best} - set(found):
        raise TrainingError(f"the step gives {', '.join(found)}; it must give loss and the recipe's best: no {missing}")


def _set_pace(now: Session, recipe: Recipe, done: float) -> float:
    rate, momentum = recipe.pace(done)
    for group in now.optimizer.param_groups:
        group["lr"], group["betas"] = rate * group["share"], (momentum, 0.999)
    return rate


def _look(now: Session, means: Means, recipe: Recipe, number: int) -> dict[str, float]:
    """The means so far; stops where the loss is no longer finite, in all processes if in one."""
    found = means.here()
    if distributed.total(torch.tensor(float(not math.isfinite(found["loss"])))):
        raise _diverged(now, f"the loss is {found['loss']}", recipe, number)
    return found


def _diverged(now: Session, what: str, recipe: Recipe, number: int) -> TrainingError:
    put(now.model, now.kept)
    now.model.eval()
    best = now.report.best_epoch
    held = "what it began with" if best < 0 else f"those after epoch {best + 1}, the best so far"
    epoch = len(now.report.history) + 1
    return TrainingError(
        f"{what} in epoch {epoch} of {recipe.epochs} (step {number + 1}): training diverged. The model's weights are "
        f"{held}. Train with a lower learning rate than {recipe.learning_rate:g}, a longer warm-up or a smaller clip",
        now.report,
    )

"""The trainer: read :func:`train` from top to bottom."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from splitbench.bench.training import checkpointing, distributed
from splitbench.bench.training.batches import Augment, Batches, BatchShare, Collate
from splitbench.bench.training.checkpointing import Checkpoint, Facts
from splitbench.bench.training.metrics import Means, Step, autocast, evaluate
from splitbench.bench.training.recipe import ParameterGroups, Recipe, parameter_groups
from splitbench.bench.training.report import Report, TrainingError
from splitbench.bench.training.state import TrainingState, rank_seed
from splitbench.bench.training.weights import copy_weights, load_weights
from splitbench.bench.utils import progress
from splitbench.bench.utils.log import LOG
from splitbench.bench.utils.progress import Show, Stage

_LOG_INTERVAL = 10
"""Steps between looks at the measures where a look is expensive: it waits for a GPU, or for other processes."""


def train(
    model: nn.Module,
    step: Step,
    data: Dataset[Any],
    held_out: Dataset[Any],
    recipe: Recipe,
    *,
    augment: Augment | None = None,
    groups: ParameterGroups | None = None,
    collate: Collate | None = None,
    host_fields: int = 0,
    checkpoint: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    show: Show = progress.bar,
    on_epoch: Callable[[Mapping[str, float]], None] = lambda measures: None,
    say: Callable[[str], None] = LOG.info,
) -> Report:
    """Train the parameters that require a gradient, in place, and leave the best epoch's weights in ``model``.

    With a ``checkpoint``, a killed run resumes from its last whole epoch when this is called again with the same
    arguments; on the CPU it ends in the same weights, bit for bit. A finished run returns at once, so remove the file
    when its weights are saved elsewhere. With several processes (see ``distributed``) every one calls this, all with
    the same arguments, and the checkpoint is on storage that all of them see.

    Args:
        model: The model, on the device where it is trained. Parts are frozen by ``requires_grad`` and, for statistics
            of norms, by the model's ``train`` method.
        step: Computes the measures of a batch.
        data: A map-style data set, by default of tuples of tensors and numbers.
        held_out: Likewise; training images that are not trained on, which choose the best epoch.
        recipe: The numbers.
        augment: Applied to training batches before they are moved to the model's device.
        groups: Of parameters for the optimizer; where None, those of :func:`parameter_groups`.
        collate: Makes a batch of a list of items, where stacking them will not do: detectors need lists.
        host_fields: How many fields at a batch's end stay on the host, for a step that looks something up by them:
            reading them from a GPU would wait for it.
        checkpoint: A file for the state, written at the start and after every epoch.
        identity: What else distinguishes this training from others: backbone, split, rate point, initial weights. A
            checkpoint with another identity is refused.
        show: Shows the loop over all steps, in process 0, with the epoch's means so far.
        on_epoch: Called in process 0 with each epoch's row of the report.
        say: Called with a message where a training is resumed.

    Returns:
        What was done.

    Raises:
        TrainingError: no data, nothing to train, a recipe that does not fit the step or the device, a checkpoint of
            another training or one that cannot be saved, or a loss that is no longer finite: then the model holds
            the best weights so far, and the error the report.
    """
    started = time.perf_counter()
    _check(model, data, held_out, recipe)
    device = next(model.parameters()).device
    with _seeded(device, rank_seed(recipe)):
        net = distributed.data_parallel(model)
        groups = groups or parameter_groups(model.parameters(), recipe.weight_decay)
        state = TrainingState.initial(model, recipe, groups)
        load = partial(
            Batches,
            size=recipe.batch_size,
            device=device,
            collate=collate,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            host_fields=host_fields,
        )
        vary = None if augment is None else lambda batch: augment(batch, state.augmentation)
        loop = _Loop(net, step, recipe, state, load(data, order=state.order, transform=vary), load(held_out))
        file = None if checkpoint is None else Checkpoint(checkpoint, loop.facts(identity or {}))
        if file is not None and not file.restore(state):
            file.save(state)  # at once: a place that cannot be written should not cost an epoch
        epochs_done, seconds_before = len(state.report.history), state.report.seconds
        if 0 < epochs_done < recipe.epochs:
            say(f"resumed after epoch {epochs_done} of {recipe.epochs}")
        if epochs_done < recipe.epochs:
            loop.try_validation()

        with (show if distributed.rank() == 0 else progress.silent)(
            loop.total_steps, "training", "steps", initial=epochs_done * len(loop.batches), worth=recipe.epochs
        ) as stage:
            for epoch in range(epochs_done, recipe.epochs):
                stage.set_description(f"epoch {epoch + 1}/{recipe.epochs}")
                trained = loop.train_epoch(epoch, stage)
                measured = loop.validate()
                state.report.seconds = seconds_before + time.perf_counter() - started
                state.report.add_epoch(trained, measured)
                LOG.info("%s", _last_epoch(state.report, recipe.epochs))
                if file is not None:
                    file.save(state)
                if distributed.rank() == 0:
                    on_epoch(state.report.history[-1])
    load_weights(model, state.best_weights)
    model.eval()
    return state.report


@dataclass(frozen=True)
class _Loop:
    """What an epoch takes: the model to call, how it is trained, and on what.

    Attributes:
        net: ``state.model``, wrapped where several processes train it.
        step: Computes the measures of a batch.
        recipe: The numbers.
        state: What changes.
        batches: To train on.
        validation: To measure on.
    """

    net: nn.Module
    step: Step
    recipe: Recipe
    state: TrainingState
    batches: Batches
    validation: Batches

    @property
    def total_steps(self) -> int:
        """The steps of all epochs."""
        return self.recipe.epochs * len(self.batches)

    def facts(self, identity: Mapping[str, Any]) -> Facts:
        """Return what identifies this training in a checkpoint."""
        return checkpointing.facts(
            self.state.model,
            self.recipe,
            images=self.batches.images,
            held_out=self.validation.images,
            device=self.batches.device,
            identity=identity,
        )

    def try_validation(self) -> None:
        """Validate on one batch, so that a mistake there does not show only after an epoch."""
        device = self.validation.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            first = [next(iter(self.validation))]
            measured = evaluate(self.state.model, self.step, first, self.recipe.precision).local()
        if missing := {"loss", self.recipe.best} - set(measured):
            raise TrainingError(
                f"the step measures {', '.join(measured)}, but training needs its loss and the recipe's best: "
                f"add {' and '.join(sorted(missing))}"
            )

    def train_epoch(self, epoch: int, stage: Stage) -> dict[str, float]:
        """Take the steps of an epoch; return its last learning rate, and the measures' means as ``train_<name>``."""
        self.net.train()
        means = Means()
        device, end = self.batches.device, (epoch + 1) * len(self.batches)
        look_always = device.type == "cpu" and distributed.world_size() == 1
        for number, share in enumerate(self.batches, epoch * len(self.batches)):
            learning_rate = self._take_step(number, share, means)
            if look_always or number % _LOG_INTERVAL == 0 or number + 1 == end:
                current = means.local()
                if distributed.all_reduce(torch.tensor(float(not math.isfinite(current["loss"])))):
                    raise self._diverged(number, f"the loss is {current['loss']}")
                stage.set_postfix({name: f"{value:.3g}" for name, value in current.items()}, refresh=False)
            stage.update()
        means_of_all = means.all_processes()
        return {"learning_rate": learning_rate} | {f"train_{name}": value for name, value in means_of_all.items()}

    def _take_step(self, number: int, share: BatchShare, means: Means) -> float:
        """Take one step, counted from 0 through all epochs; return its learning rate."""
        recipe, state = self.recipe, self.state
        learning_rate = recipe.learning_rate_at(number / self.total_steps)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate * group["lr_scale"]
        with autocast(self.batches.device, recipe.precision):
            measures = self.step(self.net, share.content)
        # Gradients are averaged over processes: each loss counts for as many images as it is of.
        weight = share.images * distributed.world_size() / share.batch_images
        (measures["loss"] * weight).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        if state.average is not None:
            state.average.update(state.model, number)
        means.add(measures, share.images)
        state.report.images += share.batch_images
        return learning_rate

    def validate(self) -> dict[str, float]:
        """Measure the weights after an epoch, averaged if the recipe says so, and keep the best so far."""
        state, recipe = self.state, self.recipe
        trained = copy_weights(state.model)
        if state.average is not None:
            load_weights(state.model, state.average.weights)
        distributed.broadcast(state.model.buffers())
        measured = evaluate(state.model, self.step, self.validation, recipe.precision).all_processes()
        if not math.isfinite(measured["loss"]):
            last = (len(state.report.history) + 1) * len(self.batches) - 1
            raise self._diverged(last, f"the loss on held-out images is {measured['loss']}")
        score = -measured["loss"] if recipe.best == "loss" else measured[recipe.best]
        if score > state.best_score:
            state.best_score, state.best_weights = score, copy_weights(state.model)
            state.report.best_epoch = len(state.report.history)
        load_weights(state.model, trained)
        return measured

    def _diverged(self, number: int, what: str) -> TrainingError:
        """Load the best weights so far, and return the error that ends the training in this step."""
        state, recipe = self.state, self.recipe
        load_weights(state.model, state.best_weights)
        state.model.eval()
        best, epoch = state.report.best_epoch, len(state.report.history) + 1
        weights = "the initial ones" if best < 0 else f"those after epoch {best + 1}, the best so far"
        return TrainingError(
            f"{what} in epoch {epoch} of {recipe.epochs} (step {number + 1}): training diverged. The model's weights "
            f"are {weights}. Train with a lower learning rate than {recipe.learning_rate:g}, a longer warm-up or "
            "a smaller clip",
            state.report,
        )


def _check(model: nn.Module, data: Any, held_out: Any, recipe: Recipe) -> None:
    """Refuse, before anything is computed, what cannot be trained."""
    for what, images in (("training", data), ("held-out", held_out)):
        if not isinstance(images, Sized) or len(images) == 0:
            raise TrainingError(f"no {what} data")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainingError("nothing to train: no parameter of the model requires a gradient")
    device = next(model.parameters()).device
    if recipe.precision != "float32" and device.type != "cuda":
        raise TrainingError(
            f"precision {recipe.precision} needs a CUDA device, and the model is on the {device.type}: "
            "move it, or train in float32"
        )
    if recipe.precision == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise TrainingError("this GPU has no bfloat16: train in float32")


@contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's global generators, and restore the caller's state in the end."""
    with torch.random.fork_rng(range(torch.cuda.device_count()) if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _last_epoch(report: Report, epochs: int) -> str:
    """Format the last epoch as a line."""
    last, done = report.history[-1], len(report.history)
    measures = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name not in ("epoch", "images"))
    left = tqdm.format_interval(report.seconds / done * (epochs - done))
    return f"epoch {done} of {epochs}: {measures}; about {left} left"

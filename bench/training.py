"""The trainer, for the embedded networks now and for methods that learn: read it from top to bottom.

It knows nothing of what it trains: a *step* maps (model, batch) to measures, of which ``loss`` is differentiated. On
the CPU the same seed, data and number of threads give the same weights.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

Batch = tuple[Tensor, ...]
"""What a data set's items become when they are stacked: inputs and targets, batch axis first."""
Measures = dict[str, Tensor]
"""Scalars, means over a batch, by name: ``loss``, and what else is worth watching."""
Step = Callable[[nn.Module, Batch], Measures]
Augment = Callable[[Batch, torch.Generator], Batch]
"""Varies a batch on its way into the network, with random numbers from the generator only."""


class TrainingError(Exception):
    """Training cannot go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. The learning rate rises over ``warmup`` of all steps, then falls to 0 as half a cosine.

    ``weight_decay`` is for matrices and kernels only; ``clip`` is the largest norm of the gradient; ``ema`` averages
    weights over about 1 / (1 - ema) steps; ``best`` names the measure on the held-out part by which the best epoch is
    chosen: the lowest ``loss``, or the highest of any other.
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
    workers: int = 0


@dataclass(slots=True)
class Report:
    """What a training run did: measures on the held-out part per epoch, the best epoch, seconds and images seen."""

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    images: int = 0
    seconds: float = 0.0


def classify(label_smoothing: float = 0.0) -> Step:
    """The step of a classifier, for batches of (inputs, class indices): cross entropy, and ``accuracy`` in percent."""

    def step(model: nn.Module, batch: Batch) -> Measures:
        inputs, labels = batch
        logits = model(inputs)
        loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing if model.training else 0.0)
        return {"loss": loss, "accuracy": 100 * (logits.argmax(1) == labels).float().mean()}

    return step


def train(
    model: nn.Module,
    step: Step,
    data: Dataset[Batch],
    held_out: Dataset[Batch],
    recipe: Recipe,
    augment: Augment | None = None,
    progress: bool = True,
) -> Report:
    """Train the parameters that require a gradient, where they lie, and leave the best epoch's weights in ``model``.

    Args:
        model: Trained in place, on the device that its parameters are on.
        step: What to compute for a batch; it can tell training from validation by ``model.training``.
        data: A map-style data set whose items are tuples of tensors, or of numbers.
        held_out: Likewise; training images that are not trained on, by which the best epoch is chosen.
        recipe: The numbers.
        augment: Applied to training batches only.
        progress: Whether to draw a bar.

    Raises:
        TrainingError: no training data, or a loss that is no longer finite.
    """
    if not isinstance(data, Sized) or len(data) == 0:
        raise TrainingError("no training data")
    begun = time.perf_counter()
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        random = torch.Generator().manual_seed(recipe.seed)
        batches = DataLoader(
            data, recipe.batch_size, shuffle=True, num_workers=recipe.workers, generator=random, drop_last=False
        )
        steps = recipe.epochs * len(batches)
        optimizer = torch.optim.AdamW(_groups(model, recipe.weight_decay), lr=recipe.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: _rate(at / steps, recipe.warmup))
        average = _copy(model) if recipe.ema is not None else None
        report, best, kept = Report(), -math.inf, _copy(model)

        with tqdm(total=steps, unit="step", disable=not progress) as bar:
            for epoch in range(recipe.epochs):
                model.train()
                for number, batch in enumerate(_moved(batches, model)):
                    measures = step(model, augment(batch, random) if augment else batch)
                    loss = measures["loss"]
                    if not torch.isfinite(loss):
                        raise TrainingError(f"the loss is {loss.item()} in epoch {epoch}; lower the learning rate")
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
                    optimizer.step()
                    schedule.step()
                    if average is not None and recipe.ema is not None:
                        # A short memory at first, or the random weights of the beginning would stay for long.
                        _blend(average, model, min(recipe.ema, (1 + bar.n) / (10 + bar.n)))
                    report.images += len(batch[0])
                    bar.update()
                    if number % 10 == 0:
                        bar.set_postfix({name: f"{value.item():.3g}" for name, value in measures.items()})

                current = _copy(model)
                model.load_state_dict(current if average is None else average)
                found = validate(model, step, held_out, recipe.batch_size, recipe.workers)
                score = -found["loss"] if recipe.best == "loss" else found[recipe.best]
                if score > best:
                    best, report.best_epoch, kept = score, epoch, _copy(model)
                model.load_state_dict(current)
                report.history.append(found)
                bar.set_description(
                    f"epoch {epoch + 1}/{recipe.epochs}, held out {recipe.best} {found[recipe.best]:.3g}"
                )
    model.load_state_dict(kept)
    model.eval()
    report.seconds = time.perf_counter() - begun
    return report


@torch.no_grad()
def validate(
    model: nn.Module, step: Step, data: Dataset[Batch], batch_size: int = 256, workers: int = 0
) -> dict[str, float]:
    """The step's measures in evaluation mode, averaged over the images of ``data``."""
    model.eval()
    totals: dict[str, float] = {}
    count = 0
    for batch in _moved(DataLoader(data, batch_size, num_workers=workers), model):
        for name, value in step(model, batch).items():
            totals[name] = totals.get(name, 0.0) + float(value) * len(batch[0])
        count += len(batch[0])
    return {name: total / count for name, total in totals.items()}


def save(model: nn.Module, path: Path, half: bool = False, metadata: Mapping[str, str] | None = None) -> None:
    """Write the weights as .safetensors, complete or not at all.

    With ``half``, matrices and kernels are stored in float16; norms, biases and statistics stay as they are, being
    small and of any magnitude.
    """
    weights = {
        name: (value.half() if half and value.is_floating_point() and value.ndim > 1 else value).cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        save_file(weights, name, dict(metadata or {}))
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _rate(done: float, warmup: float) -> float:
    """The learning rate's factor when a share ``done`` of all steps is done."""
    if done < warmup:
        return done / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (done - warmup) / max(1e-9, 1 - warmup))


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels decay; norms and biases do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _moved(batches: DataLoader[Batch], model: nn.Module) -> Iterator[Batch]:
    """The batches, on the model's device."""
    device = next(model.parameters()).device
    for batch in batches:
        yield tuple(part.to(device, non_blocking=True) for part in batch)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def _blend(average: dict[str, Tensor], model: nn.Module, keep: float) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - keep)
        else:
            average[name].copy_(value)

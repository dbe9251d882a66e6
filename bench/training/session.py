"""All that changes while a model is trained: what a checkpoint holds besides a training's facts."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from splitbench.bench.training import distributed
from splitbench.bench.training.recipe import Recipe, groups
from splitbench.bench.training.report import Report
from splitbench.bench.training.saving import Average, Weights, copy, put


@dataclass(slots=True)
class Session:
    """All that changes while a model is trained.

    Attributes:
        model: The model.
        optimizer: Over its trained parameters.
        scaler: Of the loss, in float16; in other precisions it does nothing.
        order: Draws the order of images, the same in every process.
        random: For augmentation; with one process it is ``order`` itself.
        average: Of the weights, where the recipe wants one.
        kept: The best weights so far; those it began with before there are any.
        best: Their score, the higher the better.
        report: What was done so far.
    """

    model: nn.Module
    optimizer: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    order: torch.Generator
    random: torch.Generator
    average: Average | None
    kept: Weights
    best: float = -math.inf
    report: Report = field(default_factory=Report)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def state(self) -> dict[str, Any]:
        """All of it, for a checkpoint; every process must ask for it."""
        return {
            "weights": copy(self.model),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "order": self.order.get_state(),
            "random": distributed.gathered(self.random.get_state()),
            "torch": distributed.gathered(torch.get_rng_state()),
            "cuda": distributed.gathered(torch.cuda.get_rng_state(self.device)) if self.device.type == "cuda" else [],
            "average": None if self.average is None else self.average.weights,
            "kept": self.kept,
            "best": self.best,
            "report": asdict(self.report),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state, in this process."""
        rank = distributed.rank()
        put(self.model, state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.random.set_state(state["random"][rank])
        self.order.set_state(state["order"])
        torch.set_rng_state(state["torch"][rank])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"][rank], self.device)
        if self.average is not None:
            self.average.weights = self._here(state["average"])
        self.kept, self.best = self._here(state["kept"]), state["best"]
        self.report = Report(**state["report"])

    def _here(self, weights: Weights) -> Weights:
        # Tensors of a model may be on several devices, or some always on the CPU.
        return {name: weights[name].to(value.device) for name, value in self.kept.items()}


def begin(model: nn.Module, recipe: Recipe) -> Session:
    """A session before its first step.

    Raises:
        TrainingError: nothing to train, or a ``no_decay`` that names no parameter.
    """
    optimizer = torch.optim.AdamW(groups(model, recipe.weight_decay), lr=recipe.learning_rate)
    device = next(model.parameters()).device
    order = torch.Generator().manual_seed(recipe.seed)
    alone = distributed.world() == 1
    random = order if alone else torch.Generator().manual_seed(apart(recipe.seed, distributed.rank()))
    return Session(
        model,
        optimizer,
        torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16"),
        order,
        random,
        None if recipe.ema is None else Average(model, recipe.ema),
        copy(model),
    )


def apart(seed: int, rank: int) -> int:
    """A seed of a process's own; that of rank 0 is the seed itself."""
    return seed + 1_000_003 * rank

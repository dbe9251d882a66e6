"""Everything that changes while a model is trained: what a checkpoint holds."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from splitbench.bench.training import distributed
from splitbench.bench.training.recipe import ParameterGroups, Recipe
from splitbench.bench.training.report import Report
from splitbench.bench.training.weights import MovingAverage, Weights, copy_weights, load_weights


@dataclass(slots=True)
class TrainingState:
    """Everything that changes while a model is trained.

    Attributes:
        model: The model.
        optimizer: Over its trained parameters.
        order: Draws the order of images, the same in every process.
        augmentation: Draws the variations of images; with one process it is ``order`` itself.
        average: Of the weights, where the recipe asks for one.
        best_weights: Those of the best epoch so far, or the initial ones before the first.
        best_score: Of that epoch, the higher the better.
        report: What was done so far.
    """

    model: nn.Module
    optimizer: torch.optim.AdamW
    order: torch.Generator
    augmentation: torch.Generator
    average: MovingAverage | None
    best_weights: Weights
    best_score: float = -math.inf
    report: Report = field(default_factory=Report)

    @classmethod
    def initial(cls, model: nn.Module, recipe: Recipe, groups: ParameterGroups) -> "TrainingState":
        """Return the state before the first step."""
        order = torch.Generator().manual_seed(recipe.seed)
        return cls(
            model=model,
            optimizer=torch.optim.AdamW(groups, lr=recipe.learning_rate),
            order=order,
            augmentation=order if distributed.world_size() == 1 else torch.Generator().manual_seed(rank_seed(recipe)),
            average=None if recipe.ema is None else MovingAverage(model, recipe.ema),
            best_weights=copy_weights(model),
        )

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return next(self.model.parameters()).device

    def to_dict(self) -> dict[str, Any]:
        """Return the state as a checkpoint stores it; every process must call this."""
        on_cuda = self.device.type == "cuda"
        return {
            "weights": copy_weights(self.model),
            "optimizer": self.optimizer.state_dict(),
            "order": self.order.get_state(),
            "augmentation": distributed.all_gather(self.augmentation.get_state()),
            "torch": distributed.all_gather(torch.get_rng_state()),
            "cuda": distributed.all_gather(torch.cuda.get_rng_state(self.device)) if on_cuda else [],
            "average": None if self.average is None else self.average.weights,
            "best_weights": self.best_weights,
            "best_score": self.best_score,
            "report": asdict(self.report),
        }

    def load_dict(self, state: dict[str, Any]) -> None:
        """Continue from a stored state, in this process; torch's global generators are set, too."""
        rank = distributed.rank()
        load_weights(self.model, state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.augmentation.set_state(state["augmentation"][rank])
        self.order.set_state(state["order"])
        torch.set_rng_state(state["torch"][rank])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"][rank], self.device)
        if self.average is not None:
            self.average.weights = self._on_device(state["average"])
        self.best_weights, self.best_score = self._on_device(state["best_weights"]), state["best_score"]
        self.report = Report(**state["report"])

    def _on_device(self, weights: Weights) -> Weights:
        # Tensors of a model may be on several devices, or some always on the CPU.
        return {name: weights[name].to(value.device) for name, value in self.best_weights.items()}


def rank_seed(recipe: Recipe) -> int:
    """Return this process's seed; that of rank 0 is the recipe's."""
    return recipe.seed + 1_000_003 * distributed.rank()

"""How to train: a recipe's numbers, and what they make of each step."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import nn

from splitbench.bench.training.errors import TrainingError
from splitbench.bench.utils.precision import Precision

Schedule = Literal["cosine", "one-cycle"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train, with AdamW (Loshchilov and Hutter 2019).

    Attributes:
        epochs: Times that every training image is seen.
        batch_size: Images per step and process.
        learning_rate: The highest.
        weight_decay: For matrices and kernels only: see :func:`groups`.
        warmup: Share of all steps over which the learning rate rises.
        clip: The largest norm of the gradient; ``math.inf`` for no clipping.
        ema: Where not None, what is validated and kept are weights averaged over about 1 / (1 - ema) steps.
        best: The measure on the held-out part by which the best epoch is chosen: the lowest ``loss``, or the highest
            of any other.
        seed: Of the order, the augmentation and whatever the model draws in training.
        schedule: ``cosine`` rises as a line, then falls to 0 as half a cosine. ``one-cycle`` (Smith and Topin 2018)
            rises and falls as half cosines, its momentum falling and rising; 0.3 is a usual warm-up for it.
        precision: Of the forward pass. Lower ones are for CUDA; float16 scales the loss.
        compile: Whether to compile the model by ``torch.compile``; needs a C++ compiler, and minutes for large models.

    Raises:
        TrainingError: a number that makes no sense.
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
    schedule: Schedule = "cosine"
    precision: Precision = "float32"
    compile: bool = False

    def __post_init__(self) -> None:
        self._need(self.epochs >= 1, "epochs", "at least 1")
        self._need(self.batch_size >= 1, "batch_size", "at least 1")
        self._need(0 < self.learning_rate < math.inf, "learning_rate", "above 0")
        self._need(0 <= self.weight_decay < math.inf, "weight_decay", "at least 0")
        self._need(0 <= self.warmup < 1, "warmup", "a share of all steps, at least 0 and below 1")
        self._need(self.clip > 0, "clip", "above 0 (.inf for no clipping)")
        self._need(self.ema is None or 0 <= self.ema < 1, "ema", "none, or at least 0 and below 1")
        self._need(self.schedule in get_args(Schedule), "schedule", " or ".join(get_args(Schedule)))
        self._need(self.precision in get_args(Precision), "precision", ", ".join(get_args(Precision)))

    def _need(self, good: bool, name: str, what: str) -> None:
        if not good:
            raise TrainingError(f"the recipe's {name} is {getattr(self, name)!r}; it must be {what}")

    def pace(self, done: float) -> tuple[float, float]:
        """Learning rate and momentum (AdamW's first beta) of the step before which a share ``done`` of all is done."""
        rising = done < self.warmup
        if self.schedule == "one-cycle":
            height = 1 - _fall(done, self.warmup) if rising else _fall(done - self.warmup, 1 - self.warmup)
            lowest = _START if rising else 0.0
            return self.learning_rate * (lowest + (1 - lowest) * height), _SLOW + (_QUICK - _SLOW) * height
        height = done / self.warmup if rising else _fall(done - self.warmup, 1 - self.warmup)
        return self.learning_rate * height, 0.9


# One-cycle's first learning rate as a share of the highest, and its momentum at the ends of the cycle and at its top;
# PyTorch's OneCycleLR has the same.
_START, _SLOW, _QUICK = 1 / 25, 0.95, 0.85


def _fall(gone: float, whole: float) -> float:
    """Half a cosine, from 1 to 0."""
    return 0.5 + 0.5 * math.cos(math.pi * gone / whole)


def groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters that require a gradient, for an optimizer: those that decay and those that do not.

    Norms, biases and single numbers (anything of fewer than two axes) do not decay, nor do the parameters that a
    module names in its attribute ``no_decay``, a tuple of names of its own parameters:

        entropy_bottleneck.no_decay = ("quantiles",)

    A module's attribute ``share`` is what part of the learning rate its parameters get: all, where nothing says so.
    """
    spared: set[int] = set()
    for module in model.modules():
        own = dict(module.named_parameters(recurse=False))
        names = getattr(module, "no_decay", ())
        unknown = [name for name in names if name not in own]
        if unknown:
            raise TrainingError(f"{type(module).__name__}.no_decay names no parameters of it: {', '.join(unknown)}")
        spared |= {id(own[name]) for name in names}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise TrainingError("nothing to train: no parameter of the model requires a gradient")
    shares: dict[int, float] = {}
    for module in model.modules():  # inner ones after those that they are in
        if (share := getattr(module, "share", None)) is not None:
            shares |= {id(parameter): float(share) for parameter in module.parameters()}
    found: dict[tuple[float, bool], list[nn.Parameter]] = {
        (share, decays): [] for share in sorted({1.0, *shares.values()}, reverse=True) for decays in (True, False)
    }
    for parameter in trained:
        decays = parameter.ndim > 1 and id(parameter) not in spared
        found[shares.get(id(parameter), 1.0), decays].append(parameter)
    return [
        {"params": parameters, "weight_decay": weight_decay if decays else 0.0, "share": share}
        for (share, decays), parameters in found.items()
    ]

"""Settings of methods that learn, what they ask the trainer for, and what they deploy."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator

from splitbench.methods import base
from splitbench.methods.base import Context, Deployment, Learning, MethodError, Unit
from splitbench.methods.units.coders import CODERS
from splitbench.methods.units.hyper.hyper_unit import HyperCutUnit
from splitbench.methods.units.hyper.hyperprior import EstimatedCutUnit
from splitbench.methods.units.unit import CutUnit

_RECIPE = ("epochs", "batch_size", "learning_rate", "weight_decay", "ema", "precision")
"""Settings that are fields of the trainer's ``Recipe``."""

_UNITS: Mapping[tuple[str, str], Callable[..., Unit]] = {
    ("plain", "density"): CutUnit,
    ("plain", "estimator"): EstimatedCutUnit,
    ("hyperprior", "density"): HyperCutUnit,
}
"""By the settings ``unit`` and ``rate``."""


class Settings(base.Settings):
    """Settings of units; ``lmbda`` (lambda, as CompressAI spells it) is the knob: the weight of bits per pixel.

    The unit: ``channels`` of the latent (a quarter of the tensor's by default), ``stride`` of encoder and decoder, and
    the quantizer's ``step``, fixed or learned per channel.

    ``coder``: range coding with a table per channel (``range``) or Huffman coding with one table for all channels, both
    counted on training images; or range coding as in quantize-context, with tables by channel and neighbours
    (``context``) or adaptive mixing, which is slower (``mixing``). These two are fitted to calibration images after
    training: they code the symbols of the unit that is trained for ``range``.

    ``rate``: how training estimates the rate, by a density per channel or by a scale hyperprior that is left out
    afterwards (``estimator``). ``unit: hyperprior`` keeps it: symbols are range coded with tables by scale, and the
    scales follow from a side latent that is sent (``methods/units/hyper``).

    Training: ``distortion`` is the task's loss or label-free distillation. ``start: neighbour`` begins with the weights
    of the rate point before this one in the sweep, and trains for ``next_epochs``. ``flip`` adds mirrored images.
    A unit that begins anew is first trained for ``restore_epochs``, at ``restore_rate``, to reproduce what the frozen
    head sends. ``half`` rounds what was trained to float16, for smaller files. The rest is the trainer's ``Recipe``;
    ``schedule`` and ``compile`` have one value each.
    """

    lmbda: float = Field(gt=0)
    unit: Literal["plain", "hyperprior"] = "plain"
    rate: Literal["density", "estimator"] = "density"
    channels: int | None = Field(default=None, ge=1)
    stride: Literal[1, 2, 4] = 2
    step: Annotated[float, Field(gt=0)] | Literal["learned"] = 1.0
    coder: Literal["range", "huffman", "context", "mixing"] = "range"
    distortion: Literal["task", "distill"] = "task"
    start: Literal["own", "neighbour"] = "own"
    epochs: int = Field(default=10, ge=1)
    next_epochs: int = Field(default=3, ge=1)
    restore_epochs: int = Field(default=3, ge=0)
    restore_rate: float = Field(default=1e-2, gt=0)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-2, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["cosine"] = "cosine"  # in the keys of all trainings, as is ``compile``
    ema: float | None = Field(default=None, ge=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: Literal[False] = False
    flip: bool = True
    half: bool = False

    _before: ClassVar[dict[str, Any]] = {"unit": "plain", "rate": "density"}

    @model_validator(mode="after")
    def _one_model_of_symbols(self) -> Self:
        if self.unit == "hyperprior" and self.coder != "range":
            raise ValueError(f"`unit: hyperprior` has tables by scale: it goes without `coder: {self.coder}`")
        if self.unit == "hyperprior" and self.rate == "estimator":
            raise ValueError("`unit: hyperprior` estimates the rate by what it codes with: leave out `rate: estimator`")
        return self

    def for_training(self) -> Self:
        """See the base class."""
        return self if CODERS[self.coder].fit is None else self.model_copy(update={"coder": "range"})

    def coding_revision(self) -> int:
        """See the base class."""
        return CODERS[self.coder].revision


def needs(settings: Settings) -> frozenset[str]:
    """Return ``train``, and ``calibration`` for coders that are fitted after training."""
    return frozenset({"train"} if CODERS[settings.coder].fit is None else {"train", "calibration"})


def learning(settings: Settings, context: Context, make: Callable[..., Unit] | None = None, **more: Any) -> Learning:
    """Return the untrained unit for a context's cut and how to train it; ``more`` are further fields of ``Learning``.

    Raises:
        MethodError: no unit can code this cut.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed)
        unit = (make or _UNITS[settings.unit, settings.rate])(
            context.specs,
            channels=settings.channels,
            stride=settings.stride,
            step=settings.step,
            coder=settings.coder,
        )
    warm_up = {"epochs": settings.restore_epochs, "learning_rate": settings.restore_rate, "weight_decay": 0.0}
    return Learning(
        unit=unit,
        lmbda=more.pop("lmbda", settings.lmbda),
        distortion=settings.distortion,
        recipe={name: getattr(settings, name) for name in _RECIPE} | {"seed": context.seed},
        flip=settings.flip,
        float16=settings.half,
        start=settings.start,
        neighbour_epochs=settings.next_epochs,
        warm_up=warm_up if settings.restore_epochs > 0 else None,
        **more,
    )


def deployed(settings: Settings, context: Context) -> Deployment:
    """Return the deployment of what was trained. Raises MethodError where nothing was."""
    learned = context.learned()
    unit, kind = learned.unit, CODERS[settings.coder]
    if kind.fit is not None:
        if not isinstance(unit, CutUnit):
            raise MethodError(f"`coder: {settings.coder}` needs a unit of splitbench.methods.units")
        frozen = learned.head is context.head
        unit = unit.with_coder(kind, context.calibration() if frozen else context.calibration_by(learned.head))
    device, server = unit.sides()
    return Deployment(learned.head, unit.codec(), learned.tail, device, server)

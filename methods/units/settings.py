"""Settings of methods that learn, and what they ask the trainer for."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from splitbench.methods import base
from splitbench.methods.base import Context, Learning
from splitbench.methods.units.unit import CutUnit

_RECIPE = ("epochs", "batch_size", "learning_rate", "weight_decay", "schedule", "ema", "precision", "compile")
"""Settings that are the trainer's."""


class Settings(base.Settings):
    """What can be set; ``lmbda`` (lambda, as CompressAI spells it) is the knob: the weight of bits per pixel.

    The unit: ``channels`` of the latent (a quarter of the tensor's by default), ``stride`` of encoder and decoder, and
    the quantizer's ``step``, fixed or learned per channel. ``coder`` is range coding with a table per channel, or
    Huffman coding with one table for all channels; both are counted on training images.

    Training: ``distortion`` is the task's loss or label-free distillation. ``start: neighbour`` begins with the weights
    of the rate point before this one in the sweep, and trains for ``next_epochs``. ``flip`` adds mirrored pictures.
    A unit that begins anew first learns for ``restore_epochs``, at ``restore_rate``, to give back what the frozen head
    sends. ``half`` rounds what was trained to float16, for smaller files. The rest is the trainer's ``Recipe``.
    """

    lmbda: float = Field(gt=0)
    channels: int | None = Field(default=None, ge=1)
    stride: Literal[1, 2, 4] = 2
    step: Annotated[float, Field(gt=0)] | Literal["learned"] = 1.0
    coder: Literal["range", "huffman"] = "range"
    distortion: Literal["task", "distill"] = "task"
    start: Literal["own", "neighbour"] = "own"
    epochs: int = Field(default=10, ge=1)
    next_epochs: int = Field(default=3, ge=1)
    restore_epochs: int = Field(default=3, ge=0)
    restore_rate: float = Field(default=1e-2, gt=0)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-2, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["cosine", "one-cycle"] = "cosine"
    ema: float | None = Field(default=None, ge=0, lt=1)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    flip: bool = True
    half: bool = False


def learning(settings: Settings, context: Context, **more: Any) -> Learning:
    """The untrained unit for a context's cut and how to train it; ``more`` are further fields of ``Learning``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed)
        unit = CutUnit(context.specs, settings.channels, settings.stride, settings.step, settings.coder)
    recipe = {name: getattr(settings, name) for name in _RECIPE} | {"seed": context.seed}
    return Learning(
        unit,
        settings.lmbda,
        settings.distortion,
        recipe,
        flip=settings.flip,
        half=settings.half,
        start=settings.start,
        next_epochs=settings.next_epochs,
        restore=_restoring(settings),
        **more,
    )


def _restoring(settings: Settings) -> dict[str, Any] | None:
    if settings.restore_epochs == 0:
        return None
    return {"epochs": settings.restore_epochs, "learning_rate": settings.restore_rate, "weight_decay": 0.0}

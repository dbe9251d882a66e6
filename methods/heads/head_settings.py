"""Settings of methods with a new head, and what they ask the trainer for."""

from typing import Any, Literal

from pydantic import Field

from splitbench.methods import base
from splitbench.methods.base import Context, Learning, NewHead, Unit

_RECIPE = ("epochs", "batch_size", "learning_rate", "weight_decay", "ema", "precision")
"""Settings that are fields of the trainer's ``Recipe``."""


class HeadSettings(base.Settings):
    """Settings of new heads and of their training in two stages.

    The head: ``width``, the channels after the encoder's first convolution, decides on what the device computes;
    ``stride`` makes what crosses smaller than the cut.

    Training: for ``distill_epochs``, at ``distill_rate``, the whole head learns what the frozen one sends, without
    labels. Then the encoder is frozen, and for ``epochs``, at ``learning_rate``, its decoder is trained with a copy of
    the tail, at ``backbone_lr_scale`` times that rate, for the task's loss or by distillation (``distortion``).
    ``train_tail: false`` trains the decoder alone, so that the tail is the backbone's. ``flip`` adds mirrored images,
    ``half`` rounds what was trained to float16; the rest is the trainer's ``Recipe``.
    """

    width: int = Field(default=96, ge=1)
    stride: Literal[1, 2, 4] = 1
    distortion: Literal["task", "distill"] = "task"
    train_tail: bool = True
    distill_epochs: int = Field(default=10, ge=1)
    distill_rate: float = Field(default=5e-3, gt=0)
    epochs: int = Field(default=5, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    backbone_lr_scale: float = Field(default=0.25, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    ema: float | None = Field(default=None, ge=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    flip: bool = True
    half: bool = False


def learning(settings: HeadSettings, context: Context, head: NewHead, unit: Unit, lmbda: float = 0.0) -> Learning:
    """Return how to train a new head and the unit of what it sends, where a bit per pixel weighs ``lmbda``."""
    recipe: dict[str, Any] = {name: getattr(settings, name) for name in _RECIPE}
    return Learning(
        unit=unit,
        lmbda=lmbda,
        distortion=settings.distortion,
        recipe=recipe | {"seed": context.seed},
        train_backbone=settings.train_tail,
        backbone_lr_scale=settings.backbone_lr_scale,
        flip=settings.flip,
        float16=settings.half,
        warm_up={"epochs": settings.distill_epochs, "learning_rate": settings.distill_rate, "weight_decay": 0.0},
        new_head=head,
    )

"""A small encoder to a few channels in the place of the head, each value in 8 bits: no entropy model.

Channel reduction and bottleneck quantization (CR + BQ): Eshratifar, Esmaili and Pedram, "BottleNet" (ISLPED 2019, arXiv
1902.01000); Matsubara and Levorato, "Neural compression and filtering for edge-assisted real-time object detection in
challenged networks" (ICPR 2020, arXiv 2007.15818), with the generalized head network distillation of sc2-benchmark's
``ghnd-bq``. An image takes channels * H * W * bits / 8 bytes.

What differs from theirs: convolutions are 5 x 5 at stride 2, as many as bring the image to the cut's size; the greatest
value is fixed when training ends, where theirs sends a scale and a zero point per image; training rounds, too; and a
second stage fine-tunes decoder and tail, where theirs ends with the first one. No JPEG is taken of the channels.
"""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from splitbench.methods import base, heads
from splitbench.methods.base import Context, Deployment, Learning
from splitbench.methods.heads.linear_unit import LinearUnit


class Settings(heads.HeadSettings):
    """Settings of new heads; ``channels`` is the knob, and ``bits`` are those of each value."""

    channels: int = Field(ge=1)
    bits: Literal[8, 4, 2] = 8


def _between(channels: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


class ChannelReduction:
    """A new head with few channels, one per rate point."""

    summary: ClassVar[str] = "a small encoder to few channels of 8 bits replaces the head, distilled from it"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "channels"
    rates: ClassVar[tuple[Any, ...]] = (12, 6, 3, 1)
    only_at: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Training images."""
        return frozenset({"train"})

    def learn(self, settings: Any, context: Context) -> Learning:
        """Return encoder, decoder and quantizer. Raises MethodError where none can replace the head."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            head = heads.ConvolutionalHead(
                context,
                channels=settings.channels,
                width=settings.width,
                stride=settings.stride,
                between=_between,
                back=_between,
            )
        return heads.learning(settings, context, head, LinearUnit(settings.bits))

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Deploy encoder, quantizer and decoder with the tail. Raises MethodError where nothing was trained."""
        learned = context.learned()
        device, server = learned.unit.sides()
        return Deployment(learned.head, learned.unit.codec(), learned.tail, device, server)


METHOD = ChannelReduction()

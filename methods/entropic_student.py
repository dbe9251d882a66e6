"""A small encoder with a learned prior in the place of the head, taught by the head that it replaces.

Entropic Student: Matsubara, Yang, Levorato and Mandt, "Supervised Compression for Resource-Constrained Edge Computing
Systems" (WACV 2022, arXiv 2108.11898), as in sc2-benchmark (TMLR 2023), where a tensor of this encoder's replaces what
``layer1`` of a ResNet-50 gives. Stage one distils the frozen head into encoder and decoder for rate and distortion,
stage two freezes the encoder and fine-tunes decoder and tail.

What differs from theirs:

- The number of halvings follows from the cut, so that any split point of one tensor can be replaced; kernels of 2 x 2
  without padding became 1 x 1 and 3 x 3 with it.
- GDN stands between the convolutions as theirs does. Latents end in a batch norm and a ReLU, so that the unit's coders
  take them; theirs are signed, with a learned median. The decoder ends in a batch norm that is fitted to the cut.
- Stage one adds up squared errors relative to variances: of the cut, and of what the frozen tail makes of it last, with
  the divergence of the answers; theirs sums those of the outputs of all stages of the network.
- Stage two minimizes the task's loss or a distillation, where theirs mixes both; AdamW and a cosine schedule stand for
  their steps; bytes come of range coding with tables counted on training images, not of the density.
"""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field

from splitbench.methods import base, heads, units
from splitbench.methods.base import Context, Deployment, Learning
from splitbench.methods.heads.gdn import GDN
from splitbench.methods.heads.latent_unit import LatentUnit
from splitbench.methods.units.coders import CODERS


class Settings(heads.HeadSettings):
    """Settings of new heads; ``lmbda`` is the knob, the weight of bits per pixel of the image in stage one.

    ``channels`` are those of the latent, ``step`` is the quantizer's; ``coder`` is as in ``bottleneck``.
    """

    lmbda: float = Field(gt=0)
    channels: int = Field(default=24, ge=1)
    step: Annotated[float, Field(gt=0)] | Literal["learned"] = 1.0
    coder: Literal["range", "huffman", "context", "mixing"] = "range"

    def for_training(self) -> Self:
        """See the base class."""
        return self if CODERS[self.coder].fit is None else self.model_copy(update={"coder": "range"})


class EntropicStudent:
    """A new head with a factorized prior, one per rate point."""

    summary: ClassVar[str] = "a small encoder with a learned prior replaces the head, distilled from it in two stages"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "lmbda"
    rates: ClassVar[tuple[Any, ...]] = (0.03, 0.1, 0.3, 1.0)
    only_at: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Training images, and calibration images for some coders."""
        return units.needs(settings)

    def learn(self, settings: Any, context: Context) -> Learning:
        """Return encoder, decoder and the latent's unit. Raises MethodError where none can replace the head."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            head = heads.ConvolutionalHead(
                context,
                channels=settings.channels,
                width=settings.width,
                stride=settings.stride,
                between=GDN,
                back=partial(GDN, inverse=True),
            )
            unit = LatentUnit(
                (head.sent,), channels=settings.channels, stride=1, step=settings.step, coder=settings.coder
            )
        return heads.learning(settings, context, head, unit, settings.lmbda)

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Deploy encoder, coder and decoder with the tail. Raises MethodError where nothing was trained."""
        return units.deployed(settings, context)


METHOD = EntropicStudent()

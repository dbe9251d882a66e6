"""A new unit's first lesson: to give back the cut that it is given, before it learns what the tail makes of it.

It takes neither the tail nor, where the head's outputs are kept, the head. The lesson that follows begins near the
uncompressed model, instead of with a unit that passes nothing on.
"""

from typing import Any

import torch
from torch import nn

from splitbench.bench.training import Measures
from splitbench.bench.training.methods.learner import Learner, Sent
from splitbench.bench.training.methods.losses import relative_error

_RATE = 0.05
"""Weight of a bit per element of the cut against an error of the cut's variance. The lesson after it weighs bits by the
rate point's own lambda, which means nothing here."""


class Restorer(nn.Module):
    """A learner's unit alone, behind the frozen head."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.unit, self.tensors, self.pixels = learner.unit, learner.tensors, learner.pixels
        self.frozen = (learner.frozen[0],)

    def forward(self, inputs: Any, truth: Any, sent: Sent | None = None) -> Measures:
        """Measures of a batch; ``inputs`` and ``sent`` as for :class:`Learner`, ``truth`` unused."""
        with torch.no_grad():
            values: Sent = sent or self.frozen[0](inputs)
        cut = values[: self.tensors]
        decoded, bits = self.unit(*cut)
        elements = sum(x[0].numel() for x in cut)
        error = relative_error(list(decoded), list(cut))
        return {
            "loss": error + _RATE * bits.mean() / elements,
            "bits_per_pixel": (bits.mean() / self.pixels).detach(),
            "distortion": error.detach(),
        }

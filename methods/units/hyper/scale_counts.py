"""The coder's tables of a unit with a hyperprior: by scale for symbols, by channel for side latents."""

import numpy as np
import torch
from torch import Tensor

from splitbench.methods.coding.entropy.counts import PRIOR, Counts
from splitbench.methods.coding.entropy.probability_tables import Tables
from splitbench.methods.units.coders import HIGHEST_IN_TABLE
from splitbench.methods.units.hyper.hyperprior import LEAST_SCALE, SCALES, SCALES_PER_E, Hyperprior, masses
from splitbench.methods.units.hyper.scales import Scales, integers, side_latent

_SIDE_IN_TABLE = 127
"""Side latents beyond are coded by escapes."""


class ScaleCounts:
    """Counts one tensor's symbols by scale, and its side latents by channel."""

    def __init__(self, hyperprior: Hyperprior) -> None:
        self.analysis, self.integers = hyperprior.analysis, integers(hyperprior)
        self.scales = Scales(self.integers)
        self.side = Counts(hyperprior.widen.in_channels, -_SIDE_IN_TABLE, _SIDE_IN_TABLE)
        self.histogram = np.zeros((SCALES, HIGHEST_IN_TABLE + 2), np.int64)

    def add(self, symbols: Tensor) -> None:
        """Count symbols (B, C, H, W)."""
        side = side_latent(self.analysis, symbols)
        self.side.add(side.flatten(2))
        numbers = self.scales.numbers(side, symbols.shape[2:])
        places = numbers * self.histogram.shape[1] + symbols.cpu().long().clamp(max=HIGHEST_IN_TABLE + 1)
        self.histogram += np.bincount(places.flatten(), minlength=self.histogram.size).reshape(self.histogram.shape)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return what both sides store: the synthesis, and tables of the scales from the first to the last seen.

        A table's probabilities are those of its counts and of ``PRIOR`` symbols more that the Gaussian distributes.
        """
        seen = np.flatnonzero(self.histogram.any(1))
        counts = self.histogram[seen[0] : seen[-1] + 1]
        scale = LEAST_SCALE * (torch.arange(seen[0], seen[-1] + 1).double()[:, None] / SCALES_PER_E).exp()
        expected = masses(torch.arange(HIGHEST_IN_TABLE + 1).double(), scale).numpy()
        expected = np.append(expected, (1 - expected.sum(1, keepdims=True)).clip(1e-9), 1)
        mixed = (counts + PRIOR * expected) / (counts.sum(1, keepdims=True) + PRIOR)
        tables = Tables.from_pmf(mixed[:, :-1], 0, mixed[:, -1]).to_tensors()
        side = {f"side_{name}": tensor for name, tensor in self.side.tables().to_tensors().items()}
        return self.integers | tables | side | {"first": torch.tensor([seen[0]], dtype=torch.int32)}

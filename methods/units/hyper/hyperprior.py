"""A scale hyperprior of a unit's latent, in training: what the latent's symbols take, and the side latent beside them.

Balle, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale hyperprior" (ICLR 2018, arXiv
1802.01436). A side latent z, coded by a learned factorized density (``density.py``), gives every symbol y a scale:

    analysis   depthwise 3 x 3 at stride 2, ReLU, 1 x 1 to at most 8 channels           z = round(analysis(y))
    synthesis  1 x 1, ReLU, transposed depthwise 3 x 3 at stride 2                      log(scale) = synthesis(z)
    density    of y: a Gaussian of this scale about 0, cut off at -1/2, over the symbol's interval

The layers are those of Ahuja, Datta, Kanzariya, Somayazulu and Tickoo, "Neural rate estimator and unsupervised learning
for efficient distributed image analytics in split-DNN models" (CVPR 2023), as in the weights that they released, but
for their batch norms. Unlike both papers' the analysis sees rounded symbols, so that a coder can compute z of what it
is given, and the Gaussian is cut off, since a unit's latents come of a ReLU.

:class:`EstimatedCutUnit` is the paper's use of it, ``rate: estimator``: a better estimate of the rate in training, of
which nothing is left afterwards. Symbols are coded by tables per channel then, by range coding where they use Huffman
coding. ``hyper_unit.py`` sends the side latent and codes with it.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from splitbench.methods.coding.layout import map_shape
from splitbench.methods.units.density import LEAST_LIKELIHOOD, Density, at_least
from splitbench.methods.units.tensor_unit import TensorUnit
from splitbench.methods.units.unit import CutUnit

SIDE_CHANNELS = 8
_DENSITY_SCALE = 4.0  # of the side latent's density before training
LEAST_SCALE = 0.11
"""Of a Gaussian, as in the paper: it takes all but 0 for next to impossible."""
SCALES_PER_E = 8
SCALES = 63
"""Scales that symbols are coded with: ``LEAST_SCALE`` times e^(k / ``SCALES_PER_E``), up to 256."""


class Hyperprior(nn.Module):
    """The hyperprior of maps (B, C, H, W); tokens are maps of one row."""

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        side = min(SIDE_CHANNELS, channels)
        kernel, stride, padding = ((3, 3), (2, 2), (1, 1)) if axes == 2 else ((1, 3), (1, 2), (0, 1))
        self.analysis = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels),
            nn.ReLU(),
            nn.Conv2d(channels, side, 1),
        )
        self.density = Density(side, _DENSITY_SCALE)
        self.widen = nn.Conv2d(side, channels, 1)
        self.grow = nn.ConvTranspose2d(channels, channels, kernel, stride, padding, groups=channels)

    def forward(self, latent: Tensor, symbols: Tensor) -> Tensor:
        """Return the estimated bits of each image, (B,), of symbols (B, C, H, W) and their side latent.

        In training mode they are those of latents (B, C, H, W) with noise in place of rounding, of scales that are
        not rounded.
        """
        side = self.analysis(symbols)
        bits: Tensor = -self.density(side).log2().flatten(1).sum(1)
        rounded = side + (side.round() - side).detach()
        logarithm = self.grow(self.widen(rounded).relu(), output_size=list(symbols.shape[2:]))
        if self.training:
            values = latent + torch.empty_like(latent).uniform_(-0.5, 0.5)
        else:
            number = (SCALES_PER_E * (logarithm - math.log(LEAST_SCALE))).round().clamp(0, SCALES - 1)
            values, logarithm = symbols, number / SCALES_PER_E + math.log(LEAST_SCALE)
        likelihood = masses(values, at_least(logarithm.exp(), LEAST_SCALE))
        return bits - at_least(likelihood, LEAST_LIKELIHOOD).log2().flatten(1).sum(1)


def masses(values: Tensor, scale: Tensor) -> Tensor:
    """Return the likelihood of rounded or noisy values of at least 0 by Gaussians of these scales, cut off at -1/2."""
    nearer, farther = ((edge - values.abs()) / scale for edge in (0.5, -0.5))  # on the side where no digits are lost
    mass: Tensor = torch.special.ndtr(nearer) - torch.special.ndtr(farther)
    whole: Tensor = torch.special.ndtr(0.5 / scale)
    return mass / whole


class HyperTensorUnit(TensorUnit):
    """A unit for one tensor whose rate in training is a hyperprior's."""

    rate: ClassVar[str] = "hyperprior"

    def add_rate(self) -> None:
        """See the base class."""
        self.hyperprior = Hyperprior(self.channels, self.axes)

    def bits(self, latent: Tensor, symbols: Tensor) -> Tensor:
        """See the base class."""
        shape = len(latent), *map_shape(latent.shape[1:])
        bits: Tensor = self.hyperprior(latent.reshape(shape), symbols.reshape(shape))
        return bits

    def parameters_without_decay(self) -> Iterator[nn.Parameter]:
        """See the base class."""
        yield from (*self.hyperprior.parameters(), self.log_step)


class EstimatedCutUnit(CutUnit):
    """A unit whose rate is estimated by a hyperprior in training, and whose symbols are coded without one."""

    part: ClassVar[type[TensorUnit]] = HyperTensorUnit

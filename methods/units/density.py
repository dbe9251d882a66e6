"""A learned, factorized density of latents: one univariate density per channel (Balle et al. 2018, appendix 6.1).

Balle, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale hyperprior" (ICLR 2018, arXiv
1802.01436) models the cumulative distribution c of a channel by a composition of K small functions,

    c = f_K o ... o f_1,    f_k(x) = g_k(H_k x + b_k),    g_k(x) = x + a_k * tanh(x),    g_K = sigmoid,

where H_k is kept positive by a softplus and a_k within (-1, 1) by a tanh, so that c is monotonic. A latent y to which
uniform noise is added, or that is rounded, has the likelihood c(y + 1/2) - c(y - 1/2).
"""

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (3, 3, 3, 3)
"""Widths between the functions f_k, as in the paper."""

LEAST_LIKELIHOOD = 1e-9
"""Likelihoods below count as this much, so that no logarithm is infinite."""

_OF_COMPRESSAI = ("quantiles", "target", "likelihood_lower_bound.bound", "_offset", "_quantized_cdf", "_cdf_length")
"""What CompressAI's ``EntropyBottleneck`` stores beside the same parameters, under the same names."""


class Density(nn.Module):
    """The densities of C channels.

    Args:
        channels: C.
        scale: how wide the densities are at first, about.
    """

    def __init__(self, channels: int, scale: float = 10.0) -> None:
        super().__init__()
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        widths = (1, *WIDTHS, 1)
        gain = scale ** (1 / (len(widths) - 1))
        for narrow, wide in pairwise(widths):
            through = math.log(math.expm1(1 / gain / wide))  # softplus of it is 1 / (gain * wide)
            self.matrices.append(nn.Parameter(torch.full((channels, wide, narrow), through)))
            self.biases.append(nn.Parameter(torch.empty(channels, wide, 1).uniform_(-0.5, 0.5)))
        for wide in WIDTHS:
            self.factors.append(nn.Parameter(torch.zeros(channels, wide, 1)))

    def forward(self, latent: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return the likelihood of latents (B, C, ...), in the same shape.

        With a ``scale`` that broadcasts to the latents' shape, the densities are those of latents times the scale: they
        stay the same where the quantizer's step changes.

        In training mode the latents get uniform noise in [-1/2, 1/2), which stands in for rounding and lets gradients
        through; in evaluation mode they are rounded.
        """
        # Channels first; the noise is drawn in this order, too, on which the bits of bundled trainings depend.
        first = latent.transpose(0, 1).contiguous()
        values = first.reshape(len(first), 1, -1)
        values = values + torch.empty_like(values).uniform_(-0.5, 0.5) if self.training else values.round()
        if scale is not None:
            scale = scale.expand_as(latent).transpose(0, 1).reshape(values.shape)
        likelihood = self.likelihood(values, scale).reshape(first.shape)
        return likelihood.transpose(0, 1).contiguous()

    def likelihood(self, values: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return c(y + 1/2) - c(y - 1/2), at least ``LEAST_LIKELIHOOD``, of values y, (C, 1, N), in the same shape.

        With a ``scale`` s, which broadcasts to them, it is c(s (y + 1/2)) - c(s (y - 1/2)).
        """
        above, below = (edge if scale is None else edge * scale for edge in (values + 0.5, values - 0.5))
        mass = torch.sigmoid(self.logits(above)) - torch.sigmoid(self.logits(below))
        return at_least(mass, LEAST_LIKELIHOOD)

    def logits(self, values: Tensor) -> Tensor:
        """Return the logit of the cumulative distribution c at values (C, 1, N), in the same shape."""
        logits = values
        for index, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            logits = torch.matmul(F.softplus(matrix), logits) + bias
            if index < len(self.factors):
                logits = logits + torch.tanh(self.factors[index]) * torch.tanh(logits)
        return logits

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Leave out what CompressAI stored, so that trainings from before this class still load."""
        for name in _OF_COMPRESSAI:
            state_dict.pop(prefix + name, None)
        super()._load_from_state_dict(state_dict, prefix, *args)


def at_least(x: Tensor, bound: float) -> Tensor:
    """Return max(x, bound), with the gradient of :class:`_AtLeast`."""
    bounded: Tensor = _AtLeast.apply(x, bound)
    return bounded


class _AtLeast(torch.autograd.Function):
    """max(x, bound), whose gradient also lets through what would lift x above the bound, where max has none."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        (gradient,) = gradients
        return ((x >= ctx.bound) | (gradient < 0)) * gradient, None

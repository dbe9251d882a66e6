"""Generalized divisive normalization in its simplified form, and its inverse."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FIRST = 0.1
_OTHERS = 1e-3  # above 0, where an absolute value has no gradient


class GDN(nn.Module):
    """Divide each channel by a weighted sum of all channels' magnitudes; the inverse multiplies.

        y_i = x_i / (beta_i + sum_j gamma_ij |x_j|)

    of Johnston, Eban, Gordon and Balle, "Computationally efficient neural image compression" (2019, arXiv 1912.08771),
    which is CompressAI's ``GDN1``. Weights are kept above 0 by their absolute values.
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(_FIRST * torch.eye(channels) + _OTHERS)
        self.inverse = inverse

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        norm = F.conv2d(x.abs(), self.gamma.abs()[:, :, None, None], self.beta.abs() + 1e-6)
        return x * norm if self.inverse else x / norm

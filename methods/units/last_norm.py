"""A decoder's last norm begins with the scales of what it reconstructs."""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from splitbench.methods.coding.layout import channels_first


@torch.no_grad()
def fit_norm(norm: _BatchNorm, floor: Tensor, x: Tensor, axis: int) -> None:
    """Give each channel of a norm x's deviation and mean; where x is never < 0, let ``floor`` cut off below 0.

    Args:
        norm: Of C channels.
        floor: (), minus infinity until now.
        x: Cuts of a few images, (B, ...).
        axis: That of the C channels in the shape of one image.
    """
    values = channels_first(x, axis).transpose(0, 1).flatten(1)
    norm.weight.copy_(values.std(1).clamp_min(1e-3))
    norm.bias.copy_(values.mean(1))
    if bool((values >= 0).all()):
        floor.zero_()

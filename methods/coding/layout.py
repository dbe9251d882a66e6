"""Where a tensor of a cut has its channels, and its view with channels first.

    (C,)        a vector               -> (B, C, 1)
    (N, C)      tokens of transformers -> (B, C, N)
    (H, H, C)   channels last, as in Swin: the first two sizes agree and the third does not
    (C, ...)    all else, and all feature maps of detectors, whose sizes follow the image's

Each is a shape without the batch axis. The axis is settled once, from the spec of the first image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from splitbench.methods.base import Cut, Specs, TensorSpec


def channel_axis(spec: TensorSpec) -> int:
    """Return the axis of the channels in the spec's shape."""
    if spec.axis is not None:
        return spec.axis
    shape = spec.shape
    if len(shape) == 2:
        return 1
    if len(shape) == 3 and shape[0] == shape[1] != shape[2]:
        return 2
    return 0


def channels_first(x: Tensor, axis: int) -> Tensor:
    """(B, ...) with channels at ``axis`` (not counting the batch's) as (B, C, *spatial), spatial axes at least one."""
    if x.dim() == 2:
        return x[:, :, None]
    return x.movedim(axis + 1, 1)


def restored(x: Tensor, axis: int, axes: int) -> Tensor:
    """Return the inverse of :func:`channels_first` for tensors of that many axes (not counting the batch's)."""
    if axes == 1:
        return x[:, :, 0]
    return x.movedim(1, axis + 1)


def map_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return a tensor's shape, channels first and without the batch axis, as maps (C, H, W)."""
    channels, *rest = shape
    width = rest[-1] if rest else 1
    height = int(torch.Size(rest[:-1]).numel())
    return channels, height, width


def stacked(images: Sequence[Sequence[Tensor]], specs: Specs) -> Cut:
    """Return the cut of images that were decoded one by one, each a tensor for every spec; of no image, empty ones."""
    if not images:
        return tuple(torch.zeros(0, *spec.shape, dtype=spec.dtype) for spec in specs)
    return tuple(torch.stack(tensors) for tensors in zip(*images, strict=True))

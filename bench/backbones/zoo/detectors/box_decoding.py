"""What detectors without anchors share after the network: the cells of their maps, and the choice among boxes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

MOST = 100
"""Boxes kept in an image: COCO counts no more."""


def flattened(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, H, W) of several levels, one after the other: (B, cells, C)."""
    return torch.cat([level.flatten(2) for level in maps], 2).transpose(1, 2)


def cells(maps: Sequence[Tensor], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return cells' (column, row) and strides in pixels, in the order of ``flattened``: (cells, 2), (cells, 1)."""
    places, sizes = [], []
    for level, stride in zip(maps, strides, strict=True):
        height, width = level.shape[-2:]
        rows, columns = torch.meshgrid(
            torch.arange(height, device=level.device), torch.arange(width, device=level.device), indexing="ij"
        )
        places.append(torch.stack((columns, rows), 2).reshape(-1, 2))
        sizes.append(torch.full((height * width, 1), stride, device=level.device))
    return torch.cat(places), torch.cat(sizes)


def chosen(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, overlap: float, size: tuple[int, int], categories: Sequence[int]
) -> dict[str, Tensor]:
    """Non-maximum suppression within each class, then the ``MOST`` likeliest boxes, likeliest first.

    Args:
        boxes: Corners x1, y1, x2, y2 in the image's pixels, (N, 4).
        scores: (N,), from 0 to 1.
        labels: Class indices from 0, (N,).
        overlap: Of two boxes whose intersection over union is above it, the less likely one is left out.
        size: The image's height and width, to which boxes are clipped.
        categories: Class index to category id.

    Returns:
        ``boxes`` (K, 4), ``scores`` (K,) and ``labels`` (K,), which are category ids.
    """
    kept = batched_nms(boxes, scores, labels, overlap)[:MOST]
    height, width = size
    corner = boxes.new_tensor([width, height, width, height])
    return {
        "boxes": boxes[kept].clamp(min=0).minimum(corner),
        "scores": scores[kept],
        "labels": torch.tensor(categories, device=labels.device)[labels[kept]],
    }

"""An image of any size into the square that a detector sees, and its boxes back."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Placement(NamedTuple):
    """Where an image lies in a detector's input: its scale, its size there and its upper left corner, in pixels."""

    scale: float
    height: int
    width: int
    top: int
    left: int

    def back(self, boxes: Tensor) -> Tensor:
        """Boxes (N, 4) as corners x1, y1, x2, y2: from the input's pixels to the image's."""
        return (boxes - boxes.new_tensor([self.left, self.top, self.left, self.top])) / self.scale


def placement(height: int, width: int, side: int, centred: bool) -> Placement:
    """Fit an image into a square of ``side`` pixels, keeping its ratio, centred or in the upper left corner."""
    scale = min(side / width, side / height)
    inner_height, inner_width = max(1, int(height * scale)), max(1, int(width * scale))
    top, left = ((side - inner_height) // 2, (side - inner_width) // 2) if centred else (0, 0)
    return Placement(scale, inner_height, inner_width, top, left)


def letterboxed(image: Tensor, side: int, centred: bool, fill: float) -> Tensor:
    """(3, H, W) uint8 -> (3, side, side) float32 from 0 to 255, the rest of the square filled with ``fill``."""
    where = placement(image.shape[-2], image.shape[-1], side, centred)
    square = torch.full((3, side, side), fill, dtype=torch.float32, device=image.device)
    rows, columns = slice(where.top, where.top + where.height), slice(where.left, where.left + where.width)
    square[:, rows, columns] = resized(image, where.height, where.width)
    return square


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """(3, H, W) uint8 -> (3, height, width) float32 from 0 to 255: bilinear without antialiasing, whole numbers."""
    return F.interpolate(image[None].float(), (height, width), mode="bilinear", align_corners=False)[0].round()

"""YOLOX-nano (Ge et al. 2021): a CSP backbone of depthwise convolutions, a path aggregation neck, decoupled heads.

    image 3 x 416 x 416 -> backbone.stem 16 x 208 x 208 -> dark2 32 x 104 x 104 -> dark3 64 x 52 x 52
                          -> dark4 128 x 26 x 26 -> dark5 256 x 13 x 13

The neck needs the outputs of dark3, dark4 and dark5. Batch norm is folded into the convolutions.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitbench.bench.backbones.zoo.detectors.box_decoding import cells, chosen, flattened
from splitbench.bench.backbones.zoo.detectors.coco_categories import CATEGORIES, NAMES
from splitbench.bench.backbones.zoo.detectors.letterbox import letterboxed, placement

STRIDES = (8, 16, 32)
"""Input pixels along a side of one cell of the three maps."""
_PADDING = 114  # grey, as in training
_LARGEST = math.log(256)  # cells along a box's side: what is left of a coarsely coded cut must not overflow


class Conv(nn.Module):
    """A convolution that keeps the size (at stride 1), then SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        return F.silu(self.conv(x))


def depthwise(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 within each channel, then 1 x 1 across them."""
    return nn.Sequential(Conv(inputs, inputs, 3, stride, inputs), Conv(inputs, outputs))


class YoloxBottleneck(nn.Module):
    """1 x 1, then a depthwise 3 x 3, beside a shortcut where ``shortcut``."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.a = Conv(channels, channels)
        self.b = depthwise(channels, channels)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape."""
        y: Tensor = self.b(self.a(x))
        return x + y if self.shortcut else y


class CrossStage(nn.Module):
    """Half of the channels through ``depth`` bottlenecks, half past them, and both mixed."""

    def __init__(self, inputs: int, outputs: int, depth: int, shortcut: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.c1 = Conv(inputs, half)
        self.c2 = Conv(inputs, half)
        self.m = nn.Sequential(*(YoloxBottleneck(half, shortcut) for _ in range(depth)))
        self.c3 = Conv(2 * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        out: Tensor = self.c3(torch.cat((self.m(self.c1(x)), self.c2(x)), 1))
        return out


class PyramidPooling(nn.Module):
    """The largest value of windows of 1, 5, 9 and 13 cells, mixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = Conv(channels, channels // 2)
        self.b = Conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape."""
        x = self.a(x)
        pooled = [F.max_pool2d(x, window, 1, window // 2) for window in (5, 9, 13)]
        out: Tensor = self.b(torch.cat((x, *pooled), 1))
        return out


class YoloxBackbone(nn.Module):
    """CSPDarknet; its first step puts each 2 x 2 pixels into channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(12, 16, 3)
        self.dark2 = nn.Sequential(depthwise(16, 32, 2), CrossStage(32, 32, 1))
        self.dark3 = nn.Sequential(depthwise(32, 64, 2), CrossStage(64, 64, 3))
        self.dark4 = nn.Sequential(depthwise(64, 128, 2), CrossStage(128, 128, 3))
        self.dark5 = nn.Sequential(depthwise(128, 256, 2), PyramidPooling(256), CrossStage(256, 256, 1, shortcut=False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) -> (B, 64, S / 8, S / 8), (B, 128, S / 16, S / 16), (B, 256, S / 32, S / 32)."""
        upper, lower = x[..., ::2, :], x[..., 1::2, :]
        corners = (upper[..., ::2], lower[..., ::2], upper[..., 1::2], lower[..., 1::2])
        dark3 = self.dark3(self.dark2(self.stem(torch.cat(corners, 1))))
        dark4 = self.dark4(dark3)
        return dark3, dark4, self.dark5(dark4)


class Neck(nn.Module):
    """From coarse to fine and back, mixing the backbone's maps."""

    def __init__(self) -> None:
        super().__init__()
        self.lat0 = Conv(256, 128)
        self.p4 = CrossStage(256, 128, 1, shortcut=False)
        self.red1 = Conv(128, 64)
        self.p3 = CrossStage(128, 64, 1, shortcut=False)
        self.bu2 = depthwise(64, 64, 2)
        self.n3 = CrossStage(128, 128, 1, shortcut=False)
        self.bu1 = depthwise(128, 128, 2)
        self.n4 = CrossStage(256, 256, 1, shortcut=False)

    def forward(self, dark3: Tensor, dark4: Tensor, dark5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the backbone's maps to maps of the same sizes, of 64, 128 and 256 channels."""
        coarse = self.lat0(dark5)
        middle = self.red1(self.p4(torch.cat((F.interpolate(coarse, scale_factor=2.0), dark4), 1)))
        fine = self.p3(torch.cat((F.interpolate(middle, scale_factor=2.0), dark3), 1))
        middle = self.n3(torch.cat((self.bu2(fine), middle), 1))
        return fine, middle, self.n4(torch.cat((self.bu1(middle), coarse), 1))


class YoloxHead(nn.Module):
    """One level's predictions: classes from one branch, box and objectness from the other."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.stem = Conv(inputs, 64)
        self.cls = nn.Sequential(depthwise(64, 64), depthwise(64, 64))
        self.cls_pred = nn.Conv2d(64, classes, 1)
        self.reg = nn.Sequential(depthwise(64, 64), depthwise(64, 64))
        self.reg_pred = nn.Conv2d(64, 4, 1)
        self.obj_pred = nn.Conv2d(64, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 4 + 1 + classes, H, W)."""
        x = self.stem(x)
        box = self.reg(x)
        return torch.cat((self.reg_pred(box), self.obj_pred(box), self.cls_pred(self.cls(x))), 1)


class YoloxNano(nn.Module):
    """See the module. ``torch.fx`` traces it; a multiple of 32 is wanted for ``side``, the input's side in pixels."""

    categories: ClassVar[tuple[int, ...]] = CATEGORIES
    category_names: ClassVar[tuple[str, ...]] = NAMES

    def __init__(self, side: int, score: float, overlap: float) -> None:
        super().__init__()
        self.image_size, self.score, self.overlap = side, score, overlap
        self.backbone = YoloxBackbone()
        self.neck = Neck()
        self.head = nn.ModuleList(YoloxHead(channels, len(self.categories)) for channels in (64, 128, 256))

    def prepare(self, image: Tensor) -> Tensor:
        """RGB (3, H, W) uint8 -> BGR (3, side, side) float32 from 0 to 255: in the upper left corner, the rest grey."""
        return letterboxed(image, self.image_size, centred=False, fill=_PADDING).flip(0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) -> per level (B, 85, S / stride, S / stride): centre, logarithm of size, and logits."""
        maps = self.neck(*self.backbone(x))
        fine, middle, coarse = (head(level) for head, level in zip(self.head, maps, strict=True))
        return fine, middle, coarse

    def detections(self, raw: tuple[Tensor, ...], sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Per image boxes x1, y1, x2, y2 (K, 4) in its pixels, scores (K,) and category ids (K,).

        ``sizes``: the images' heights and widths. A cell predicts its likeliest class alone; a score is the product of
        objectness and the class's probability.
        """
        places, strides = cells(raw, STRIDES)
        results = []
        for cell, size in zip(flattened(raw), sizes, strict=True):
            scores, labels = (cell[:, 4:5].sigmoid() * cell[:, 5:].sigmoid()).max(1)
            centre, half = (cell[:, :2] + places) * strides, cell[:, 2:4].clamp(max=_LARGEST).exp() * strides / 2
            boxes = placement(*size, self.image_size, centred=False).back(torch.cat((centre - half, centre + half), 1))
            likely = scores > self.score
            results.append(
                chosen(
                    boxes[likely],
                    scores[likely],
                    labels[likely],
                    overlap=self.overlap,
                    size=size,
                    categories=self.categories,
                )
            )
        return results


def yolox_nano(side: int = 416, score: float = 0.01, overlap: float = 0.65) -> YoloxNano:
    """With random weights; boxes of a ``score`` or less are left out, then those that ``overlap`` more likely ones."""
    return YoloxNano(side, score, overlap)

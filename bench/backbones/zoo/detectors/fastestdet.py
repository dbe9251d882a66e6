"""FastestDet (Ma 2022): a slim ShuffleNetV2, one map of all scales, and one box per cell.

    image 3 x 352 x 352 -> backbone.first_conv 24 x 176 x 176 -> maximum 24 x 88 x 88 -> stage2 48 x 44 x 44
                          -> stage3 96 x 22 x 22 -> stage4 192 x 11 x 11

The three stages' outputs are brought to stage3's size and joined; SPP mixes them.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitbench.bench.backbones.zoo.detectors.box_decoding import cells, chosen, flattened
from splitbench.bench.backbones.zoo.detectors.coco_categories import CATEGORIES, NAMES
from splitbench.bench.backbones.zoo.detectors.letterbox import resized

STRIDE = 16
"""Input pixels along a side of one cell."""
_OBJECTNESS = 0.6  # a score is objectness ** 0.6 * probability ** 0.4


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
) -> list[nn.Module]:
    """Return the layers of a convolution with batch norm."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return [*layers, nn.ReLU(inplace=True)] if relu else layers


class FastestDetUnit(nn.Module):
    """ShuffleNetV2's unit, whose channels are shuffled when it reads them: the even ones pass unchanged."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.branch_main = nn.Sequential(
            *_conv(inputs, middle),
            *_conv(middle, middle, 3, stride, middle, relu=False),
            *_conv(middle, outputs - inputs),
        )
        self.branch_proj = (
            nn.Sequential(*_conv(inputs, inputs, 3, stride, inputs, relu=False), *_conv(inputs, inputs))
            if stride == 2
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs, H / stride, W / stride); C is ``inputs``, or twice that at stride 1."""
        if self.branch_proj is None:
            return torch.cat((x[:, ::2], self.branch_main(x[:, 1::2])), 1)
        return torch.cat((self.branch_proj(x), self.branch_main(x)), 1)


def _stage(inputs: int, outputs: int, units: int) -> nn.Sequential:
    return nn.Sequential(
        FastestDetUnit(inputs, outputs, 2), *(FastestDetUnit(outputs // 2, outputs, 1) for _ in range(units - 1))
    )


class FastestDetBackbone(nn.Module):
    """ShuffleNetV2 with 48, 96 and 192 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(*_conv(3, 24, 3, 2))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.stage2 = _stage(24, 48, 4)
        self.stage3 = _stage(48, 96, 8)
        self.stage4 = _stage(96, 192, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) -> (B, 48, S / 8, S / 8), (B, 96, S / 16, S / 16), (B, 192, S / 32, S / 32)."""
        stage2 = self.stage2(self.maxpool(self.first_conv(x)))
        stage3 = self.stage3(stage2)
        return stage2, stage3, self.stage4(stage3)


class Conv1x1(nn.Module):
    """A 1 x 1 convolution, under the name that the public weights have for it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Sequential(*_conv(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        out: Tensor = self.conv1x1(x)
        return out


class Mixer(nn.Module):
    """One, two and three 5 x 5 convolutions side by side, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.Conv1x1 = Conv1x1(inputs, outputs)
        self.S1, self.S2, self.S3 = (_chain(outputs, length) for length in (1, 2, 3))
        self.output = nn.Sequential(*_conv(3 * outputs, outputs, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        x = self.Conv1x1(x)
        return F.relu(x + self.output(torch.cat((self.S1(x), self.S2(x), self.S3(x)), 1)))


def _chain(channels: int, length: int) -> nn.Sequential:
    return nn.Sequential(*(layer for _ in range(length) for layer in _conv(channels, channels, 5, 1, channels)))


class Branch(nn.Module):
    """A depthwise 5 x 5 convolution and the prediction of ``outputs`` values."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv5x5 = nn.Sequential(*_conv(inputs, inputs, 5, 1, inputs), *_conv(inputs, outputs, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        out: Tensor = self.conv5x5(x)
        return out


class FastestDetHead(nn.Module):
    """Objectness, box and classes, each from a separate branch."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1x1 = Conv1x1(channels, channels)
        self.obj_layers = Branch(channels, 1)
        self.reg_layers = Branch(channels, 4)
        self.cls_layers = Branch(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, 1 + 4 + classes, H, W)."""
        x = self.conv1x1(x)
        return torch.cat((self.obj_layers(x), self.reg_layers(x), self.cls_layers(x)), 1)


class FastestDet(nn.Module):
    """See the module. ``torch.fx`` traces it; a multiple of 32 is wanted for ``side``, the input's side in pixels."""

    categories: ClassVar[tuple[int, ...]] = CATEGORIES
    category_names: ClassVar[tuple[str, ...]] = NAMES

    def __init__(self, side: int, score: float, overlap: float) -> None:
        super().__init__()
        self.image_size, self.score, self.overlap = side, score, overlap
        self.backbone = FastestDetBackbone()
        self.SPP = Mixer(48 + 96 + 192, 96)
        self.detect_head = FastestDetHead(96, len(self.categories))

    def prepare(self, image: Tensor) -> Tensor:
        """RGB (3, H, W) uint8 -> BGR (3, side, side) float32 from 0 to 1: stretched."""
        return resized(image, self.image_size, self.image_size).flip(0) / 255

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 85, S / 16, S / 16): objectness, box and classes, before any activation."""
        fine, middle, coarse = self.backbone(x)
        joined = torch.cat((F.avg_pool2d(fine, 3, 2, 1), middle, F.interpolate(coarse, scale_factor=2.0)), 1)
        out: Tensor = self.detect_head(self.SPP(joined))
        return out

    def detections(self, raw: Tensor, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Per image boxes x1, y1, x2, y2 (K, 4) in its pixels, scores (K,) and category ids (K,).

        ``sizes``: the images' heights and widths. A cell gives its likeliest class alone; a box's centre lies at most
        one cell away, and its width and height are fractions of the image's.
        """
        places, _ = cells([raw], [STRIDE])
        rows, columns = raw.shape[-2:]
        results = []
        for cell, size in zip(flattened([raw]), sizes, strict=True):
            probability, labels = cell[:, 5:].softmax(1).max(1)
            scores = cell[:, 0].sigmoid() ** _OBJECTNESS * probability ** (1 - _OBJECTNESS)
            centre = (cell[:, 1:3].tanh() + places) / places.new_tensor([columns, rows])
            half = cell[:, 3:5].sigmoid() / 2
            boxes = torch.cat((centre - half, centre + half), 1) * cell.new_tensor([size[1], size[0]]).repeat(2)
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


def fastestdet(side: int = 352, score: float = 0.001, overlap: float = 0.45) -> FastestDet:
    """With random weights; boxes of a ``score`` or less are left out, then those that ``overlap`` more likely ones."""
    return FastestDet(side, score, overlap)

"""NanoDet-m (RangiLyu 2020): ShuffleNetV2 1.0x, a pyramid of 96 channels, and heads without objectness.

    image 3 x 320 x 320 -> backbone.conv1 24 x 160 x 160 -> maximum 24 x 80 x 80 -> stage2 116 x 40 x 40
                          -> stage3 232 x 20 x 20 -> stage4 464 x 10 x 10

The pyramid joins the outputs of all three stages. A box's four distances are distributions over 0 to 7 strides (Li et
al. 2020, "Generalized Focal Loss"). Batch norm is folded into the convolutions.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitbench.bench.backbones.zoo.detectors.box_decoding import cells, chosen, flattened
from splitbench.bench.backbones.zoo.detectors.coco_categories import CATEGORIES, NAMES
from splitbench.bench.backbones.zoo.detectors.letterbox import letterboxed, placement

STRIDES = (8, 16, 32)
"""Input pixels along a side of one cell of the three maps."""
CHANNELS = 96
"""Of the pyramid."""
_DISTANCES = 8
_MEAN = (103.53, 116.28, 123.675)  # BGR, of values from 0 to 255
_STD = (57.375, 57.12, 58.395)


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)


def _activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(0.1)


class NanoDetUnit(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass unchanged, or all go both ways where the size is halved."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        first = inputs if stride == 2 else half
        self.branch1 = (
            nn.Sequential(_conv(inputs, inputs, 3, 2, inputs), _conv(inputs, half), _activation())
            if stride == 2
            else None
        )
        self.branch2 = nn.Sequential(
            _conv(first, half), _activation(), _conv(half, half, 3, stride, half), _conv(half, half), _activation()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride), the two halves' channels by turns."""
        if self.branch1 is None:
            kept, changed = x.chunk(2, 1)
            return F.channel_shuffle(torch.cat((kept, self.branch2(changed)), 1), 2)
        return F.channel_shuffle(torch.cat((self.branch1(x), self.branch2(x)), 1), 2)


def _stage(inputs: int, outputs: int, units: int) -> nn.Sequential:
    return nn.Sequential(NanoDetUnit(inputs, outputs, 2), *(NanoDetUnit(outputs, outputs, 1) for _ in range(units - 1)))


class NanoDetBackbone(nn.Module):
    """ShuffleNetV2 1.0x without its last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(_conv(3, 24, 3, 2), _activation())
        self.stage2 = _stage(24, 116, 4)
        self.stage3 = _stage(116, 232, 8)
        self.stage4 = _stage(232, 464, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) -> (B, 116, S / 8, S / 8), (B, 232, S / 16, S / 16), (B, 464, S / 32, S / 32)."""
        stage2 = self.stage2(F.max_pool2d(self.conv1(x), 3, 2, 1))
        stage3 = self.stage3(stage2)
        return stage2, stage3, self.stage4(stage3)


class Pyramid(nn.Module):
    """Adds each map to the next finer one, then each sum to the next coarser one: a module, to be cut at."""

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Three maps (B, CHANNELS, H, W), each half as high and wide as the one before, to the same shapes."""
        middle = middle + _scaled(coarse, 2)
        fine = fine + _scaled(middle, 2)
        middle = middle + _scaled(fine, 0.5)
        return fine, middle, coarse + _scaled(middle, 0.5)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class NanoDetHead(nn.Module):
    """One level's predictions, all from one branch."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [
                _conv(CHANNELS, CHANNELS, 3, 1, CHANNELS),
                _activation(),
                _conv(CHANNELS, CHANNELS),
                _activation(),
            ]
        self.convs = nn.Sequential(*layers)
        self.pred = nn.Conv2d(CHANNELS, classes + 4 * _DISTANCES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, CHANNELS, H, W) -> (B, classes + 32, H, W)."""
        out: Tensor = self.pred(self.convs(x))
        return out


class NanoDet(nn.Module):
    """See the module. ``torch.fx`` traces it; a multiple of 32 is wanted for ``side``, the input's side in pixels."""

    categories: ClassVar[tuple[int, ...]] = CATEGORIES
    category_names: ClassVar[tuple[str, ...]] = NAMES

    def __init__(self, side: int, score: float, overlap: float) -> None:
        super().__init__()
        self.image_size, self.score, self.overlap = side, score, overlap
        self.backbone = NanoDetBackbone()
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, CHANNELS, 1) for inputs in (116, 232, 464))
        self.pyramid = Pyramid()
        self.head = nn.ModuleList(NanoDetHead(len(self.categories)) for _ in STRIDES)

    def prepare(self, image: Tensor) -> Tensor:
        """RGB (3, H, W) uint8 -> BGR (3, side, side) float32, normalized: centred, the rest black."""
        square = letterboxed(image, self.image_size, centred=True, fill=0).flip(0)
        mean, std = square.new_tensor(_MEAN), square.new_tensor(_STD)
        return (square - mean[:, None, None]) / std[:, None, None]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) -> per level (B, 112, S / stride, S / stride): logits of classes, then of distances."""
        stages = self.backbone(x)
        maps = self.pyramid(*(lateral(stage) for lateral, stage in zip(self.lateral, stages, strict=True)))
        fine, middle, coarse = (head(level) for head, level in zip(self.head, maps, strict=True))
        return fine, middle, coarse

    def detections(self, raw: tuple[Tensor, ...], sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Per image boxes x1, y1, x2, y2 (K, 4) in its pixels, scores (K,) and category ids (K,).

        ``sizes``: the images' heights and widths. A cell predicts every class above the score. Its distances to the
        four sides are the means of their distributions.
        """
        places, strides = cells(raw, STRIDES)
        centres = (places + 0.5) * strides
        classes = len(self.categories)
        steps = torch.arange(_DISTANCES, device=centres.device)
        results = []
        for cell, size in zip(flattened(raw), sizes, strict=True):
            sides = (cell[:, classes:].unflatten(1, (4, _DISTANCES)).softmax(2) * steps).sum(2) * strides
            corners = torch.cat((centres - sides[:, :2], centres + sides[:, 2:]), 1)
            boxes = placement(*size, self.image_size, centred=True).back(corners)
            scores = cell[:, :classes].sigmoid()
            which, labels = (scores > self.score).nonzero(as_tuple=True)
            results.append(
                chosen(
                    boxes[which],
                    scores[which, labels],
                    labels,
                    overlap=self.overlap,
                    size=size,
                    categories=self.categories,
                )
            )
        return results


def nanodet_m(side: int = 320, score: float = 0.02, overlap: float = 0.6) -> NanoDet:
    """With random weights; boxes of a ``score`` or less are left out, then those that ``overlap`` more likely ones."""
    return NanoDet(side, score, overlap)

"""The synthetic benchmark's detector: torchvision's FCOS (Tian et al., 2019) on the first stages of ``small_resnet``.

    image 3 x 192 x 192 -> body.conv1 16 x 96 x 96 -> body.layer1 24 x 48 x 48 -> body.layer2 48 x 24 x 24
                        -> body.layer3 96 x 12 x 12 -> spread 40 x 24 x 24 -> head

There is one level of features, and nothing bypasses a stage: a single tensor crosses at every split point. ``spread``
restores the resolution that boxes of small things need, by sub-pixel convolution (Shi et al., 2016), and the head's
towers are depthwise separable. Every stage's output is that of a ReLU: at least 0, and sparse.
"""

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOS, FCOSHead

from splitbench.bench.backbones.zoo.small_resnet import MEAN, STD, WIDTHS, BasicBlock
from splitbench.datasets.drawing.shapes import CLASSES

INPUT_SIZE = 192
"""Pixels along each side of the images that it is for; others are stretched to it."""
CHANNELS = 40
"""Of the features that the head sees."""
REACH = 8
"""The stride of these features: distances to a box's sides are in units of it."""


class Body(nn.Module):
    """The stages of ``small_resnet`` up to ``layer3``, under the same names: its weights fit."""

    def __init__(self, stem: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = BasicBlock(stem, WIDTHS[0])
        self.layer2 = BasicBlock(WIDTHS[0], WIDTHS[1])
        self.layer3 = BasicBlock(WIDTHS[1], WIDTHS[2])

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalized -> (B, 96, H / 16, W / 16)."""
        x = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return out


class Features(nn.Module):
    """What torchvision's detectors call their backbone."""

    out_channels = CHANNELS

    def __init__(self, stem: int) -> None:
        super().__init__()
        self.body = Body(stem)
        self.spread = nn.Sequential(
            nn.Conv2d(WIDTHS[2], 4 * CHANNELS, 1, bias=False),
            nn.BatchNorm2d(4 * CHANNELS),
            nn.ReLU(inplace=True),
            nn.PixelShuffle(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalized -> (B, CHANNELS, H / 8, W / 8)."""
        out: Tensor = self.spread(self.body(x))
        return out


def _separable(channels: int) -> list[nn.Module]:
    """Return a 3 x 3 convolution of each channel by itself, then one over all channels."""
    return [
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    ]


def _head(num_classes: int) -> FCOSHead:
    """FCOS's head with lighter convolutions: two separable ones per tower, and 1 x 1 for the outputs."""
    head = FCOSHead(CHANNELS, 1, num_classes, num_convs=0)
    classes, boxes = head.classification_head, head.regression_head
    for tower in (classes, boxes):
        tower.conv = nn.Sequential(*_separable(CHANNELS), *_separable(CHANNELS))
    # As in the paper, hardly anything is a thing at first: 0.01. Boxes begin at a middle size.
    classes.cls_logits = _output(num_classes, -4.6)
    boxes.bbox_reg = _output(4, 3.0)
    boxes.bbox_ctrness = _output(1, 0.0)
    return head


def _output(channels: int, bias: float) -> nn.Conv2d:
    output = nn.Conv2d(CHANNELS, channels, 1)
    nn.init.normal_(output.weight, std=0.01)
    nn.init.constant_(output.bias, bias)  # type: ignore[arg-type]
    return output


def small_detector(num_classes: int = 13, stem: int = 16) -> FCOS:
    """Build a detector with random weights from torch's generator; ``num_classes`` counts class 0, the background.

    It takes images (3, H, W) with values in [0, 1] and returns, for each, boxes (N, 4), labels (N,) and scores (N,).
    Labels are the synthetic dataset's category ids, from 1; its names are known where there are as many.
    """
    model = FCOS(
        Features(stem),
        num_classes,
        fixed_size=(INPUT_SIZE, INPUT_SIZE),
        image_mean=list(MEAN),
        image_std=list(STD),
        anchor_generator=AnchorGenerator(((REACH,),), ((1.0,),)),
        head=_head(num_classes),
        score_thresh=0.05,  # COCO's measures count what a high threshold would hide
        detections_per_img=50,
        topk_candidates=200,
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.kaiming_normal_(module.weight, mode="fan_out" if module.groups == 1 else "fan_in")
    model.categories = tuple(range(1, num_classes))
    model.category_names = tuple(CLASSES) if num_classes == len(CLASSES) + 1 else ()
    return model

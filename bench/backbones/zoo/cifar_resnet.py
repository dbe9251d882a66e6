"""ResNets for CIFAR as He et al. (2016) made them, with shortcuts that have no parameters (their option A).

    image 3 x 32 x 32 -> conv1 16 x 32 x 32 -> layer1 16 x 32 x 32 -> layer2 32 x 16 x 16 -> layer3 64 x 8 x 8
                      -> avgpool -> linear

Sweeps name them ``splitbench/resnet20`` and so on; other depths are ``splitbench/cifar_resnet`` with
``args: {depth: 26}``. ``weights`` come from a file. Parameters have the names of the public CIFAR-10 checkpoints
(``layer1.0.conv1.weight``, ``linear.weight``).
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE = 32
"""Pixels along each side of the input."""
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Per channel, of values from 0 to 1: ImageNet's, which the checkpoints were trained with."""
DEPTHS = (20, 32, 44, 56, 110)
"""Layers of the networks in the paper."""
WIDTHS = (16, 32, 64)
"""Channels of layer1 to layer3."""


class CifarBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; where channels are added, the shortcut fills them with zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.added = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1 or self.added:
            before = self.added // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.added - before))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    """See the module. ``torch.fx`` traces it."""

    image_size: ClassVar[int] = INPUT_SIZE

    def __init__(self, depth: int, num_classes: int) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth {depth}: expected 6n + 2 layers, such as 20, 32, 44, 56 or 110")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], 1, blocks)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], 2, blocks)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], 2, blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(WIDTHS[2], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalized -> logits (B, num_classes)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(self.avgpool(x).flatten(1))
        return logits


def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
    first = CifarBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(CifarBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


def cifar_resnet(depth: int = 20, num_classes: int = 10) -> CifarResNet:
    """Return a network of ``depth`` layers with random weights. Raises ValueError for a depth that is not 6n + 2."""
    return CifarResNet(depth, num_classes)

"""The synthetic benchmark's classifier: a ResNet as He et al. (2016) made them for CIFAR, for images of 96 x 96 pixels.

One basic block per stage. The stem and every stage halve height and width:

    image 3 x 96 x 96 -> conv1 16 x 48 x 48 -> layer1 24 x 24 x 24 -> layer2 48 x 12 x 12
                      -> layer3 96 x 6 x 6 -> layer4 128 x 3 x 3 -> avgpool -> fc

Every stage's output is that of a ReLU: at least 0, and sparse.
"""

from torch import Tensor, nn

INPUT_SIZE = 96
"""Pixels along each side of the input."""
MEAN = (0.46, 0.45, 0.44)
STD = (0.26, 0.25, 0.26)
"""Per channel, of values from 0 to 1: the preprocessing is (value - MEAN) / STD, without resizing."""
WIDTHS = (24, 48, 96, 128)
"""Channels of layer1 to layer4."""


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution because every block halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / 2, W / 2)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.relu(y + self.downsample(x))
        return out


class SmallResNet(nn.Module):
    """See the module. ``torch.fx`` traces it; the names are torchvision's."""

    def __init__(self, num_classes: int, stem: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = BasicBlock(stem, widths[0])
        self.layer2 = BasicBlock(widths[0], widths[1])
        self.layer3 = BasicBlock(widths[1], widths[2])
        self.layer4 = BasicBlock(widths[2], widths[3])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(widths[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalized -> logits (B, num_classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.flatten(self.avgpool(x)))
        return logits


def small_resnet(num_classes: int = 18, stem: int = 16, widths: tuple[int, int, int, int] = WIDTHS) -> SmallResNet:
    """Return a network with random weights, drawn from torch's generator; ``stem`` is conv1's number of channels."""
    return SmallResNet(num_classes, stem, widths)

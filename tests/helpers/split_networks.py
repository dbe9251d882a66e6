"""Small networks to be cut."""

from typing import Any

import torch
import torchvision
from torch import Tensor, nn


def resnet(**more: Any) -> nn.Module:
    """A ResNet of five blocks, with the same weights every time."""
    torch.manual_seed(0)
    return torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [2, 1, 1, 1], num_classes=10, **more)


IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Tokens(nn.Module):
    """Uses parameters and buffers directly, on both sides, and makes tensors of sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.mix = nn.Linear(8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.register_buffer("table", torch.randn(100, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(2).transpose(1, 2))
        places = torch.arange(x.shape[1], device=x.device) % 100
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x + self.table[places]], dim=1)
        return self.mix(x) + self.token

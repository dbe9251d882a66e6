"""A classifier of a few thousand parameters: with it, a sweep's time is that of everything but the network."""

from typing import Any, ClassVar

from torch import Tensor, nn

from splitbench.bench.tools.scaling.stand_in import CLASSES, SIDE

_WIDTH = 8


class SmallNetwork(nn.Module):
    """Two convolutions, a mean over places, and a linear layer."""

    preprocessing: ClassVar[dict[str, Any]] = {
        "resize": None,
        "crop": SIDE,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
    }

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, _WIDTH, 3, stride=2, padding=1)
        self.second = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.classes = nn.Linear(_WIDTH, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to scores (B, 1000)."""
        places: Tensor = self.second(self.first(pixels).relu()).relu()
        scores: Tensor = self.classes(places.mean((2, 3)))
        return scores

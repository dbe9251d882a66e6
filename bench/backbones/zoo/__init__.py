"""Networks that the project brings along itself, with their weights: backbones named ``splitbench/...``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from splitbench.bench.backbones.zoo import small_detector, small_resnet

WEIGHTS = Path(__file__).parents[1] / "weights"
"""Where the weights that ship lie, with how they came about beside them."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """How to build a network, its trained weights, and the fields of its ``Preprocessing``: None for detectors."""

    build: Callable[..., nn.Module]
    weights: Path
    preprocessing: Mapping[str, Any] | None


EMBEDDED: Mapping[str, Embedded] = {
    "small_resnet": Embedded(
        build=small_resnet.small_resnet,
        weights=WEIGHTS / "small_resnet.safetensors",
        preprocessing={
            "resize": None,
            "crop": small_resnet.INPUT_SIZE,
            "mean": small_resnet.MEAN,
            "std": small_resnet.STD,
        },
    ),
    "small_detector": Embedded(
        build=small_detector.small_detector,
        weights=WEIGHTS / "small_detector.safetensors",
        preprocessing=None,
    ),
}
"""The networks by name."""

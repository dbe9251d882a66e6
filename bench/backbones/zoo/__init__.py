"""Networks that the project brings along: backbones named ``splitbench/...``, usable in every sweep."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from splitbench.bench.backbones.preprocessing import Preprocessing
from splitbench.bench.backbones.zoo import cifar_resnet, small_detector, small_resnet
from splitbench.bench.backbones.zoo.detectors import fastestdet, nanodet, yolox_nano

WEIGHTS = Path(__file__).parents[1] / "weights"
"""Where bundled weights lie, with reports of their training beside them."""


@dataclass(frozen=True, slots=True)
class Network:
    """A registered network.

    Attributes:
        build: Makes it with random weights; takes the sweep's ``args``.
        preprocessing: From an image to the network's input; None for detectors, which prepare images themselves.
        weights: The bundled weights, None where there are none.
        version: Raise it with every change of what the network computes for the same weights: it is in cells' keys.
    """

    build: Callable[..., nn.Module]
    preprocessing: Preprocessing | None = None
    weights: Path | None = None
    version: int = 1


def _cifar(build: Callable[..., nn.Module]) -> Network:
    size, mean, std = cifar_resnet.INPUT_SIZE, cifar_resnet.MEAN, cifar_resnet.STD
    return Network(build, Preprocessing(resize=None, crop=size, mean=mean, std=std))


NETWORKS: Mapping[str, Network] = {
    "small_resnet": Network(
        small_resnet.small_resnet,
        Preprocessing(resize=None, crop=small_resnet.INPUT_SIZE, mean=small_resnet.MEAN, std=small_resnet.STD),
        WEIGHTS / "small_resnet.safetensors",
    ),
    "small_detector": Network(small_detector.small_detector, weights=WEIGHTS / "small_detector.safetensors"),
    "cifar_resnet": _cifar(cifar_resnet.cifar_resnet),
    **{f"resnet{depth}": _cifar(partial(cifar_resnet.cifar_resnet, depth)) for depth in cifar_resnet.DEPTHS},
    "yolox_nano": Network(yolox_nano.yolox_nano),
    "nanodet_m": Network(nanodet.nanodet_m),
    "fastestdet": Network(fastestdet.fastestdet),
}
"""The networks by name, without ``splitbench/``; :mod:`splitbench.bench.backbones.backbone_names` has their tasks."""

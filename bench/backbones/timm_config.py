"""Preprocessing from timm's configurations of weights, as its ``validate.py`` and ``create_transform`` read them.

Many weights are tested at a larger size than they were trained at, and their published accuracies are those.
"""

from collections.abc import Mapping
from typing import Any, Literal

import timm.data
from torch import nn

from splitbench.bench.backbones.preprocessing import Preprocessing, Resolution

_FITS: Mapping[str, Literal["squash", "cover", "contain"]] = {
    "center": "cover",
    "squash": "squash",
    "border": "contain",
}


def preprocessing_of(model: nn.Module, args: Mapping[str, Any], resolution: Resolution = "test") -> Preprocessing:
    """Return the preprocessing that a model's configuration (``pretrained_cfg``) asks for.

    Args:
        model: A model of timm's, or another one with such a configuration.
        args: Its constructor's arguments: an ``img_size`` there replaces the configuration's.
        resolution: The size to test at, or that of the training.
    """
    config = timm.data.resolve_data_config(_size(args), model=model, use_test_size=resolution == "test")
    _, height, width = config["input_size"]
    resize = int(height / config["crop_pct"]), int(width / config["crop_pct"])
    square = config["crop_mode"] == "center" and height == width
    return Preprocessing(
        resize=resize[0] if square else resize,
        crop=height if height == width else (height, width),
        fit="squash" if square else _FITS[config["crop_mode"]],
        # "random" is for training; without augmentation timm takes this one instead.
        interpolation=config["interpolation"] if config["interpolation"] != "random" else "bilinear",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resolution=resolution,
    )


def _size(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the constructor's arguments say of the input's size, as timm's ``validate.py`` would be given it."""
    size = args.get("img_size")
    if size is None:
        return {}
    return {"input_size": (3, size, size) if isinstance(size, int) else (3, *size)}

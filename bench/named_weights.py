"""Pretrained weights by name: which file in a folder stands for them, and what torchvision knows of its own."""

from pathlib import Path
from typing import Any

import torchvision

from splitbench.bench import weight_files
from splitbench.bench.errors import UserError, nearest

DEFAULT = "default"


def is_name(weights: str) -> bool:
    """Whether a sweep's ``weights`` are neither ``none`` nor a file."""
    return weights != "none" and Path(weights).suffix not in weight_files.SUFFIXES


def file_of(name: str, short: str, weights: str, folder: Path | None) -> Path | None:
    """The weights file of a backbone: the one that the sweep gives, or the one in ``folder`` that stands for a name.

    None for ``weights: none``, and where the weights are left to the hub. ``short`` is the model's name at its source.

    Raises:
        UserError: no such folder, or unknown weights of torchvision's.
    """
    if weights == "none":
        return None
    if not is_name(weights):
        return folder / weights if folder is not None and (folder / weights).is_file() else Path(weights)
    if folder is None:
        return None
    if not folder.is_dir():
        raise UserError(f"weights folder not found: {folder}")
    return next((folder / file for file in file_names(name, short, weights) if (folder / file).is_file()), None)


def file_names(name: str, short: str, weights: str) -> list[str]:
    """What a file in a folder may be called: as the model is, or as torchvision's hub calls it, first where named."""
    own = [f"{short}{suffix}" for suffix in weight_files.SUFFIXES]
    hub = [of_torchvision(short, weights).url.rpartition("/")[2]] if name == f"torchvision/{short}" else []
    return [*own, *hub] if weights == DEFAULT else [*hub, *own]


def of_torchvision(name: str, weights: str) -> Any:
    """What torchvision tells of a model's weights. Raises UserError for a model or weights that it does not have."""
    known = [
        *torchvision.models.list_models(module=torchvision.models),
        *torchvision.models.list_models(module=torchvision.models.detection),
    ]
    if name not in known:
        raise UserError(f"unknown backbone torchvision/{name}{nearest(name, known)}")
    kinds = torchvision.models.get_model_weights(name)
    if weights == DEFAULT:
        return kinds.DEFAULT
    if weights not in kinds.__members__:
        raise UserError(f"torchvision/{name} has no weights {weights!r}: there are {', '.join(kinds.__members__)}")
    return kinds[weights]

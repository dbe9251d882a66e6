"""Pretrained weights by name: which file in a folder stands for them, and what torchvision knows of its weights."""

import os
from pathlib import Path
from typing import Any

import torchvision

from splitbench.bench.utils import weight_files
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import missing_path

DEFAULT = "default"


def is_name(weights: str) -> bool:
    """Return whether a sweep's ``weights`` are neither ``none`` nor a file."""
    return weights != "none" and not weight_files.is_weights_file(weights)


def file_of(name: str, short: str, weights: str, folder: Path | None) -> Path | None:
    """Return a backbone's weights file: the one in the sweep, or the one in ``folder`` that stands for a name.

    None for ``weights: none``, and where the weights are left to the hub. ``short`` is the model's name at its source.

    Raises:
        UserError: no such folder, or unknown weights of torchvision's.
    """
    if weights == "none":
        return None
    if not is_name(weights):
        return folder / weights if folder is not None and (folder / weights).is_file() else Path(weights).expanduser()
    if folder is None:
        return None
    if not folder.is_dir():
        raise UserError(missing_path(folder, "weights folder"))
    return next((folder / file for file in file_names(name, short, weights) if (folder / file).is_file()), None)


def file_names(name: str, short: str, weights: str) -> list[str]:
    """Return a file's possible names: the model's, or the one of torchvision's hub, first where it was named."""
    names = [f"{short}{suffix}" for suffix in weight_files.SUFFIXES]
    hub = [of_torchvision(short, weights).url.rpartition("/")[2]] if name == f"torchvision/{short}" else []
    return [*names, *hub] if weights == DEFAULT else [*hub, *names]


def unknown(name: str, weights: str, instead: str) -> UserError:
    """Return what to raise for weights that a backbone does not have; ``instead`` says what to give."""
    if Path(weights).is_dir():
        return UserError(f"{name}: weights {weights!r} is a folder: name a file in it")
    if {"/", os.sep, "~"} & set(weights):
        return UserError(f"{name}: {missing_path(Path(weights), 'weights')}")
    return UserError(f"{name} has no weights {weights!r}: {instead}")


def missing(name: str, short: str) -> UserError:
    """Return what to raise where nothing stands for the weights of a backbone that has none by name."""
    files = " or ".join(f"{short}{suffix}" for suffix in weight_files.SUFFIXES[:2])
    return UserError(
        f"{name}: no {files} in a weights folder (--weights): give `weights: FILE`, or `weights: none` to "
        "take the model as it is made"
    )


def of_torchvision(name: str, weights: str) -> Any:
    """Return torchvision's metadata of a model's weights. Raises UserError for weights that it does not have."""
    kinds = torchvision.models.get_model_weights(name)
    if weights == DEFAULT:
        return kinds.DEFAULT
    if weights not in kinds.__members__:
        raise unknown(f"torchvision/{name}", weights, f"there are {', '.join(kinds.__members__)}")
    return kinds[weights]

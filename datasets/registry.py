"""Datasets by name, imported only when asked for; the harness adds those that lie elsewhere."""

import pkgutil
from importlib import import_module
from typing import Any

from splitbench.datasets.base import DataError, DatasetKind

_NOT_DATASETS = {"base", "drawing", "formats", "registry"}
_added: dict[str, DatasetKind] = {}


def names() -> list[str]:
    """The names of all datasets of this folder, in alphabetical order."""
    modules = pkgutil.iter_modules(import_module("splitbench.datasets").__path__)
    return sorted(m.name.replace("_", "-") for m in modules if m.name not in _NOT_DATASETS)


def get(name: str) -> DatasetKind:
    """The dataset called ``name``.

    Raises:
        DataError: no file has that name, and nothing was added under it; or the file cannot be imported, or holds no
            dataset.
    """
    if name in _added:
        return _added[name]
    if name not in names():
        raise DataError(
            f"unknown dataset {name!r}: the datasets are {', '.join(names())}; one of your own is named by its import "
            "path, as in my_package.my_module:DATASET, or lies as a file in datasets/"
        )
    file = f"datasets/{name.replace('-', '_')}.py"
    try:
        found = import_module(f"splitbench.datasets.{name.replace('-', '_')}")
    except Exception as error:
        raise DataError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(found, "DATASET"):
        raise DataError(f"{file} has no DATASET: end it with `DATASET = MyDataset()`, or move it out of the folder")
    return checked(found.DATASET, f"DATASET of {file}")


def add(name: str, kind: DatasetKind) -> None:
    """Let :func:`get` find a dataset from elsewhere under ``name``."""
    _added[name] = kind


def checked(kind: Any, place: str) -> DatasetKind:
    """What ``place`` holds, if it has all that a dataset must have. Raises DataError."""
    missing = [part for part in ("task", "Options", "load") if not hasattr(kind, part)]
    if isinstance(kind, type):
        raise DataError(f"{place} is the class {kind.__name__}, not an object of it: write `DATASET = ...()`")
    if missing:
        raise DataError(
            f"{place} lacks {', '.join(missing)} to be a dataset (see splitbench.datasets.base.DatasetKind)"
        )
    found: DatasetKind = kind
    return found

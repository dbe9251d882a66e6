"""Datasets by name, imported only when asked for."""

import pkgutil
from importlib import import_module
from pathlib import Path

from splitbench.datasets.base import DataError, DatasetKind

_NOT_DATASETS = {"base", "boxes", "coco_json", "registry", "drawing"}


def names() -> list[str]:
    """The names of all datasets, in alphabetical order."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(m.name.replace("_", "-") for m in modules if m.name not in _NOT_DATASETS)


def get(name: str) -> DatasetKind:
    """The dataset called ``name``. Raises DataError for a name that no file has."""
    if name not in names():
        raise DataError(f"unknown dataset {name!r}: the datasets are {', '.join(names())}")
    kind: DatasetKind = import_module(f"splitbench.datasets.{name.replace('-', '_')}").DATASET
    return kind

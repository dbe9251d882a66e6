"""Names of rows, curves and splits in results' tables."""

from typing import Any, TypeAlias

import pandas as pd

Row: TypeAlias = "pd.Series[Any]"
"""One row of a table."""

CURVE = ["dataset", "backbone", "split", "method", "variant"]
"""The columns that identify a curve; its points lie along ``knob`` and ``value``."""

UNCUT = ("input", "output")
"""Split points of methods that do not cut the network: these are measured once and shown beside every split."""


def without_module(name: str) -> str:
    """Return what a reader would call what an import path names; other names stay.

    A constant is called by its module.

    >>> [without_module(name) for name in ("my_package.models:resnet20", "my_package.scaled:METHOD", "quantize-rle")]
    ['resnet20', 'scaled', 'quantize-rle']
    """
    module, colon, attribute = name.partition(":")
    return name if not colon else module.rpartition(".")[2] if attribute.isupper() else attribute


def curve_name(method: str, variant: str) -> str:
    """Return a curve's name within one split: the method, and its variant where it has one."""
    return f"{method} {variant}".rstrip()


def cell_name(row: Row) -> str:
    """Return a cell's name for a reader."""
    place = " ".join(str(row[name]) for name in ("dataset", "backbone", "split"))
    return f"{place} {curve_name(str(row['method']), str(row['variant']))} {row['knob']}={row['value']}"

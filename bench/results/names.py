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
    """Return a curve's name within one split: the method, and its variant where it has one.

    >>> curve_name("quantize-rle", "calibrated"), curve_name("raw", "")
    ('quantize-rle, calibrated', 'raw')
    """
    return f"{method}, {variant}" if variant else method


def as_curve_name(typed: str) -> str:
    """Return the curve's name that a user means, who may write settings as a sweep has them.

    >>> as_curve_name("quantize-rle range=calibrated"), as_curve_name("quantize-rle, calibrated")
    ('quantize-rle, calibrated', 'quantize-rle, calibrated')
    """
    method, *settings = typed.split()
    return curve_name(method, ", ".join(map(setting_name, settings))) if all("=" in one for one in settings) else typed


def setting_name(setting: str) -> str:
    """Return a setting in words: its value where that is a word, else both.

    >>> [setting_name(text) for text in ("range=calibrated", "next_epochs=2", "float16=True", "flip=False")]
    ['calibrated', 'next epochs 2', 'float16', 'no flip']
    """
    name, equals, value = setting.partition("=")
    words = name.replace("_", " ")
    if not equals or value == "True":
        return words
    if value == "False":
        return f"no {words}"
    return value if is_word(value) else f"{words} {value}"


def is_word(value: str) -> bool:
    """Return whether a setting's value says by itself what is set: ``calibrated``, but neither ``2`` nor ``None``."""
    return value.replace("-", "").isalpha() and value not in ("None", "True", "False")


def cell_name(row: Row) -> str:
    """Return a cell's name for a reader."""
    place = " ".join(str(row[name]) for name in ("dataset", "backbone", "split"))
    return f"{place} {curve_name(str(row['method']), str(row['variant']))} {row['knob']}={row['value']}"

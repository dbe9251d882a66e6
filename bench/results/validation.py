"""Checks of the JSON files in a run's folder, which is untrusted input.

A cell whose file does not pass counts as missing, and is run again.
"""

from pathlib import PurePath
from typing import Any

_SECTIONS = ("settings", "columns", "stored")
_NAMES = ("split", "method", "variant", "seed")
_LABELS = ("key", "dataset", "backbone", "method")


def is_result(content: Any) -> bool:
    """Return whether it is a cell's result: settings, plain columns, and for a good one what each side stores."""
    if not isinstance(content, dict) or not all(isinstance(content.get(name), dict) for name in _SECTIONS):
        return False
    columns, stored = content["columns"], content["stored"]
    if not all(value is None or isinstance(value, str | int | float) for value in columns.values()):
        return False
    if columns.get("status") == "failed":
        return True
    good = columns.get("status") == "ok" and all(name in columns for name in _NAMES)
    return good and all(_is_side(stored.get(side)) for side in ("device", "server"))


def _is_side(side: Any) -> bool:
    return _are_sizes(side, "backbone", "own") and (
        "packed" not in side or _are_sizes(side, "packed_backbone", "packed")
    )


def _are_sizes(side: Any, backbone: str, own: str) -> bool:
    if not isinstance(side, dict) or not isinstance(side.get(own), dict):
        return False
    return all(isinstance(size, int) for size in (side.get(backbone), *side[own].values()))


def is_plan(content: Any) -> bool:
    """Return whether it is a plan: rows of labels, with keys that are plain file names."""
    return isinstance(content, list) and all(
        isinstance(row, dict)
        and all(isinstance(row.get(name), str) for name in _LABELS)
        and PurePath(row["key"]).name == row["key"]
        for row in content
    )

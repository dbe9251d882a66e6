"""Compares the results of two runs in all but when, where and how fast they ran."""

import csv
from pathlib import Path

import numpy as np

from splitbench.bench.results.columns import NAMES

CIRCUMSTANCES = {
    "batch",  # halved where memory runs out
    "seconds",
    "fixed_seconds",
    "train_seconds",
    "commit",
    "date",
    "device",
    *(name for name in NAMES if name.endswith("_ms")),
}


def difference(one: Path, other: Path) -> list[str]:
    """What differs in rows, records and trained weights, the latter two bit for bit; nothing where all is the same."""
    result = []
    tables = [_rows(folder) for folder in (one, other)]
    if list(tables[0]) != list(tables[1]):
        return ["the tables' cells differ, or their order"]
    for key, row in tables[0].items():
        result += [
            f"{key} {name}: {row[name]} and {tables[1][key][name]}"
            for name in row
            if name not in CIRCUMSTANCES and row[name] != tables[1][key][name]
        ]
    for pattern in ("records/*.npz", "trainings/*.safetensors", "images/*.txt"):
        files = [{path.name: path for path in folder.glob(pattern)} for folder in (one, other)]
        if files[0].keys() != files[1].keys():
            result.append(f"{pattern}: not the same files")
            continue
        result += [f"{path} differs" for name, path in files[0].items() if not _same(path, files[1][name])]
    return result


def _rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "cells.csv").open(newline="") as stream:
        return {row["key"]: row for row in csv.DictReader(stream)}


def _same(one: Path, other: Path) -> bool:
    if one.suffix != ".npz":
        return one.read_bytes() == other.read_bytes()
    with np.load(one, allow_pickle=False) as first, np.load(other, allow_pickle=False) as second:
        same = first.files == second.files
        return same and all(
            first[name].dtype == second[name].dtype and np.array_equal(first[name], second[name], equal_nan=True)
            for name in first.files
        )

"""Figures from runs' CSVs: no model, no data and no torch are needed, and no screen.

How bytes spread over images is drawn from the per-image records beside a CSV, where they are there.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from splitbench.bench.analysis.figures import cost, learning, rate, sizes
from splitbench.bench.analysis.figures.drawing import drawing
from splitbench.bench.analysis.figures.style import styles
from splitbench.bench.results.table import points
from splitbench.bench.utils.files import file_word

__all__ = ["draw_all", "draw_learning"]


def draw_all(frame: pd.DataFrame, out: Path, report: Callable[[str], None] = lambda reason: None) -> list[Path]:
    """Draws every figure that a table has the numbers for, as SVG and PNG.

    The same table gives the same SVG, byte for byte.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        out: folder for the files; made where it is missing.
        report: called with one sentence for each figure that is left out.

    Returns:
        The files written.

    Raises:
        UserError: ``out`` cannot be written.
    """
    good, looks = points(frame), styles(frame)
    files: list[Path] = []
    with drawing():
        for _, rows in good.groupby(["dataset", "backbone"], sort=True):
            files += rate.draw(rows, looks, out)
            files += cost.draw_macs(rows, looks, out, report)
            files += cost.draw_weights(rows, looks, out, report)
            files += sizes.draw(rows, looks, out, report)
    return files


def draw_learning(run: Path, out: Path) -> list[Path]:
    """Draws the learning curves that a run's folder holds, the rate points of a method over one another.

    Returns:
        The files written; none where nothing was trained.
    """
    files: list[Path] = []
    names = _names(run)
    for method in sorted(path for path in (run / "learning").glob("*/*/*/*") if path.is_dir()):
        variants = sorted(path for path in method.iterdir() if path.is_dir())
        for variant in variants:
            tables = sorted(variant.glob("*.csv"), key=lambda path: _number(path.stem))
            if tables:
                place = method.parts[-4:]
                dataset, backbone, split, name = (names.get(word, word) for word in place)
                words = [*place, *([variant.name] if len(variants) > 1 else [])]
                title = f"Learning: {name}\n{backbone} on {dataset}\nafter {split}"
                curves = {path.stem.replace("+", " "): path for path in tables}
                files += learning.draw(curves, out, "_".join(("learning", *words)), title)
    return files


def _names(run: Path) -> dict[str, str]:
    """The names in a run's table by what paths make of them."""
    try:
        table = pd.read_csv(run / "cells.csv", dtype=str, keep_default_na=False)
    except (OSError, ValueError):
        return {}
    columns = [name for name in ("dataset", "backbone", "split", "method") if name in table]
    return {file_word(name): name for column in columns for name in table[column].unique()}


def _number(label: str) -> tuple[float, str]:
    """Sorts ``lmbda=0.3`` by its value, whatever follows it."""
    found = re.search(r"=(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", label)
    return (float(found[1]) if found else float("inf")), label

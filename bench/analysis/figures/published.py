"""Points of other systems, read off their authors' figures, to be drawn in grey beside one's own."""

from functools import cache
from importlib.resources import files

import pandas as pd

NEAR = 3.0
"""Baselines further apart than this, in points, are not on images alike: published points would mislead there."""


@cache
def load() -> pd.DataFrame:
    """All published points: system, split (empty: one of its own), bytes per image, accuracy in %, source and more."""
    with files("splitbench.bench.analysis.figures").joinpath("published.csv").open(encoding="utf-8") as stream:
        table: pd.DataFrame = pd.read_csv(stream, dtype={"split": str}, keep_default_na=False)
    return table


def beside(rows: pd.DataFrame) -> pd.DataFrame:
    """Published points that belong beside one backbone's results: of the same network and task, with a baseline alike.

    Args:
        rows: results of one dataset and backbone.
    """
    first = rows.iloc[0]
    network = str(first["backbone"]).rsplit("/", 1)[-1].split(".", 1)[0]
    table = load()
    alike = (table["baseline"] - first["baseline"]).abs() <= NEAR
    fits: pd.DataFrame = table[(table["backbone"] == network) & (table["task"] == first["task"]) & alike]
    return fits


def cited(table: pd.DataFrame) -> str:
    """A heading that says whose figures the points were read off, and over which images they are."""
    whose, where = (" and ".join(dict.fromkeys(table[name].map(str))) for name in ("by", "dataset"))
    return f"published, digitised from figures of {whose}, over all of {where}:"

"""Rate points of other systems, digitised from their authors' figures, drawn in grey beside measured ones."""

from functools import cache
from importlib.resources import files

import pandas as pd

NEAR = 3.0
"""The largest difference of baselines, in points, at which published points are drawn; beyond, they would mislead."""


@cache
def load() -> pd.DataFrame:
    """Return all published points: system, split (empty: its own), bytes per image, accuracy in %, source etc."""
    with files("splitbench.bench.analysis.figures").joinpath("published.csv").open(encoding="utf-8") as stream:
        table: pd.DataFrame = pd.read_csv(stream, dtype={"split": str}, keep_default_na=False)
    return table


def beside(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the published points of the same network and task whose baseline is close to that of some results.

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
    """Return a heading that names the sources of published points and the images they are over."""
    whose, where = (" and ".join(dict.fromkeys(table[name].map(str))) for name in ("by", "dataset"))
    return f"published, digitised from figures of {whose}, over all of {where}:"

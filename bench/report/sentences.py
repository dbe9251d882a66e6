"""The short answer in words, made from a comparison's numbers."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from splitbench.bench.compare.front import splits_in_order
from splitbench.bench.table import Row, curve_name, points

DROP = 1.0
"""The tolerated drop that the sentences are about, in points."""


def sentences(frame: pd.DataFrame, needs: pd.DataFrame) -> dict[str, list[str]]:
    """Per dataset and backbone, under their names: which curve needs fewest bytes at each split, and how clearly.

    Args:
        frame: as :func:`splitbench.bench.table.read` returns it.
        needs: :func:`splitbench.bench.compare.curves.bytes_at_drops` of it, with :data:`DROP` among its drops.
    """
    found = {}
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        here = needs[(needs["dataset"] == dataset) & (needs["backbone"] == backbone)]
        here = here[here["tolerated_drop"] == DROP]
        found[f"{backbone} on {dataset}"] = list(_told(rows, here))
    return found


def too_few(frame: pd.DataFrame) -> list[str]:
    """Warns of results over so few images that a difference of a point cannot show."""
    lines = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        half = ((rows["accuracy_high"] - rows["accuracy_low"]) / 2).median()
        if half > DROP:
            lines.append(
                f"{backbone} on {dataset}: over {rows['images'].iloc[0]:,.0f} images an accuracy is known to "
                f"± {half:.1f} points only (95 %, median); differences of a point need more images or a paired test"
            )
    return lines


def _told(rows: pd.DataFrame, needs: pd.DataFrame) -> Iterator[str]:
    for split in splits_in_order(rows) or ["input"]:
        order = needs[needs["split"].isin([split, "input"])].dropna(subset=["bytes"])
        order = order.sort_values("bytes", kind="stable").reset_index(drop=True)
        at = f"At {split}" if split != "input" else "Of those that send the picture"
        if order.empty:
            yield f"{at}, nothing measured stays within a drop of {DROP:g} point."
            continue
        one = order.iloc[0]
        most = "at most " if one["how"] == "at most" else ""
        line = f"{at}, {_name(one)} needs fewest bytes at a drop of {DROP:g} point: {most}{_size(one)}"
        if len(order) > 1:
            other = order.iloc[1]
            less = 100 * (1 - one["bytes"] / other["bytes"])
            line += f", {less:.0f} % fewer than {_name(other)} with {_size(other)}"
            line += "; the intervals overlap" if _overlap(one, other) else "; the intervals do not overlap"
        yield line + "."


def _overlap(one: Row, other: Row) -> bool:
    return bool(np.isnan(one["bytes_high"]) or not one["bytes_high"] < other["bytes_low"])


def _name(row: Row) -> str:
    name = curve_name(str(row["method"]), str(row["variant"]))
    return f"{name} (which sends the picture)" if row["split"] == "input" else name


def _size(row: Row) -> str:
    if np.isnan(row["bytes_low"]):
        return f"{row['bytes']:,.0f}"
    high = "" if np.isnan(row["bytes_high"]) else f"{row['bytes_high']:,.0f}"
    return f"{row['bytes']:,.0f} [{row['bytes_low']:,.0f}, {high or 'more than measured'}]"

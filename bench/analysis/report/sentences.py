"""The findings of a comparison in sentences."""

from collections.abc import Iterator, Mapping

import pandas as pd

from splitbench.bench.analysis.compare.curves.front import splits_in_order
from splitbench.bench.analysis.compare.curves.interpolation import format_interval
from splitbench.bench.analysis.compare.ranking import name_at, rank, times_the_bytes
from splitbench.bench.analysis.compare.summary import fewest_bytes_question
from splitbench.bench.results.names import Row
from splitbench.bench.results.table import points

DROP = 1.0
"""The tolerated drop, in points."""


def sentences(frame: pd.DataFrame, needs: pd.DataFrame, summary: pd.DataFrame) -> dict[str, list[str]]:
    """Say per backbone and dataset which curve needs fewest bytes at each split, and how clearly.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        needs: :func:`~splitbench.bench.analysis.compare.curves.interpolation.bytes_at_drops` of it, at :data:`DROP`
            at least.
        summary: :func:`~splitbench.bench.analysis.compare.summary.summary` of it, likewise.
    """
    asked = summary[summary["question"] == fewest_bytes_question(DROP)]
    lines = {}
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        here = needs[(needs["dataset"] == dataset) & (needs["backbone"] == backbone)]
        here = here[here["tolerated_drop"] == DROP]
        at = asked[(asked["dataset"] == dataset) & (asked["backbone"] == backbone)]
        clear = {split: _CLEAR.get((by, clear), "") for split, by, clear in at[["at_split", "by", "clear"]].to_numpy()}
        lines[f"{backbone} on {dataset}"] = list(_fewest_bytes(rows, here, clear))
    return lines


def too_few_images(frame: pd.DataFrame) -> list[str]:
    """Warn of results over so few images that a difference of a point cannot show."""
    lines = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        radius = ((rows["accuracy_high"] - rows["accuracy_low"]) / 2).median()
        if radius > DROP:
            lines.append(
                f"{backbone} on {dataset}: over {rows['images'].iloc[0]:,.0f} images an accuracy is known to "
                f"± {radius:.1f} points only (95 %, median); differences of a point need more images or a paired test"
            )
    return lines


def _fewest_bytes(rows: pd.DataFrame, needs: pd.DataFrame, clear: Mapping[str, str]) -> Iterator[str]:
    for split, order in rank(needs, splits_in_order(rows) or ["input"], "bytes"):
        at = f"At {split}" if split != "input" else "Of those that send the picture"
        if order.empty:
            yield f"{at}, nothing measured stays within a drop of {DROP:g} point."
            continue
        best = order.iloc[0]
        line = f"{at}, {_name(best, split)} needs fewest bytes at a drop of {DROP:g} point: {_size(best)}"
        if len(order) > 1:
            other = order.iloc[1]
            times = times_the_bytes(best, other, ("at most ", "at least "))
            line += f"; next is {_name(other, split)} with {_size(other)}{f', {times}' * bool(times)}"
            line += f"; {clear[split]}"
        yield line + "."


_CLEAR = {
    ("same images", "yes"): "compared on the same images, the difference is clear",
    ("same images", "no"): "compared on the same images, the difference is not clear",
    ("intervals", "yes"): "their intervals do not overlap",
    ("intervals", "no"): "their intervals overlap, or might",
}
"""How clear a difference is, by the columns ``by`` and ``clear`` of the summary."""


def _name(row: Row, at_split: str) -> str:
    return f"{name_at(row, at_split)}{' (which sends the picture)' * (row['split'] == 'input')}"


def _size(row: Row) -> str:
    most = "at most " if row["how"] == "at most" else ""
    interval = format_interval(row)
    return f"{most}{row['bytes']:,.0f}" + (f" [{interval}]" if interval else "")

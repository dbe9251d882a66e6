"""The text of figures: headings, panels' titles and the remarks under them."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from splitbench.bench.analysis.figures.axes import format_bytes
from splitbench.bench.analysis.figures.page import Page
from splitbench.bench.analysis.figures.style import GREY
from splitbench.bench.results.names import Row
from splitbench.bench.results.table import over_seeds
from splitbench.bench.utils.text import format_macs

_METRIC = {"top1": "top-1 accuracy", "ap": "box AP"}
_POINTS = 5.6


def metric(row: Row) -> str:
    """Return the name of what ``accuracy`` is in a row."""
    return _METRIC.get(str(row["metric"]), str(row["metric"]) or "accuracy")


def heading(what: str, rows: pd.DataFrame, panels: int) -> str:
    """Return a figure's heading: what it shows, for which backbone, on which images; in lines that fit its width.

    Args:
        what: what the figure shows.
        rows: the figure's rate points, of one dataset and backbone.
        panels: the number of panels.
    """
    row, seeds = rows.iloc[0], over_seeds(rows)
    where = f"{row['backbone']} on {row['dataset']}"
    images = [f"{row['images']:,.0f} images"] if row["images"] == row["images"] else []
    if "warnings" in rows and (rows["warnings"] != "").any():  # their sentences stand in the report
        images.append("with warnings")
    if panels == 1 and seeds:
        return "\n".join([what, where, ", ".join([*images, seeds])])
    numbers = [*images, seeds] if seeds else images
    where += f" ({', '.join(numbers)})" if numbers else ""
    whole = f"{what}: {where}"
    return f"{what}\n{where}" if panels == 1 or len(whole) > 95 else whole


def title_splits(page: Page, shown: dict[str, pd.DataFrame]) -> None:
    """Title each panel by its split, with a remark on its computation and on what lies beyond the axes.

    Args:
        page: the page, whose panels have their limits set.
        shown: the points of each panel by split, in the panels' order.
    """
    titles = [f"after {split}" if split else "nothing cut" for split in shown]
    remarks = [_remarks(axes, *panel) for axes, panel in zip(page.panels, shown.items(), strict=True)]
    set_titles(page, titles, remarks)


def set_titles(page: Page, titles: Sequence[str], remarks: Sequence[Sequence[str]]) -> None:
    """Title each panel, with remarks in small print under its title; lines are broken between remarks only."""
    inches = page.figure.get_figwidth() / page.columns - 0.25
    # DejaVu Sans is about 0.55 of its size wide on average.
    letters = int(inches * 72 / (0.55 * _POINTS))
    wrapped = [_wrap(some, letters) for some in remarks]
    lines = max(len(remark) for remark in wrapped)
    # The page grows, so that panels are as high as without.
    page.figure.set_figheight(page.figure.get_figheight() + 7 / 72 * lines * math.ceil(len(titles) / page.columns))
    for axes, title, remark in zip(page.panels, titles, wrapped, strict=True):
        axes.set_title(title, loc="left", pad=(6 if lines else 4) + 7 * lines)
        if not remark:
            continue
        text = axes.annotate(
            "\n".join(remark),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 2 + 7 * lines),
            textcoords="offset points",
            verticalalignment="top",
            fontsize=_POINTS,
            color=GREY,
        )
        text.set_in_layout(False)


def _remarks(axes: Axes, split: str, here: pd.DataFrame) -> list[str]:
    own = here[here["split"] == split]
    parts = []
    if split and own["macs_head"].notna().any():
        parts.append(f"{format_macs(float(own['macs_head'].min()))} on the device")
    left, right = axes.get_xlim()
    floor = axes.get_ylim()[0]
    below = int((here["accuracy"] < floor).sum())
    here = here[here["accuracy"] >= floor]
    for arrow, beyond in (("←", here[here["bytes_mean"] < left]), ("→", here[here["bytes_mean"] > right])):
        for method, points in beyond.groupby("method", sort=True):
            sizes = [format_bytes(count) for count in sorted(points["bytes_mean"].unique())]
            parts.append(f"{arrow} {method} {', '.join(sizes) if len(sizes) < 3 else f'{sizes[0]} to {sizes[-1]}'}")
    if below:
        parts.append(f"↓ {below} rate point{'s' * (below > 1)} under {floor:.0f} %")
    return parts


def _wrap(parts: Sequence[str], letters: int) -> list[str]:
    """Join remarks to lines of at most so many letters."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= letters:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines

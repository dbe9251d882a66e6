"""The text of figures: headings, panels' titles and the remarks under them."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from splitbench.bench.analysis.figures.panels.axes import format_sizes
from splitbench.bench.analysis.figures.panels.fitting import fit, join_and_fit
from splitbench.bench.analysis.figures.panels.page import COLUMN, Page
from splitbench.bench.analysis.figures.style import GREY, RC
from splitbench.bench.results.names import Row
from splitbench.bench.results.table import over_seeds
from splitbench.bench.utils.text import format_macs

_METRIC = {"top1": "top-1 accuracy", "ap": "box AP"}
_POINTS = 5.6
_EDGE = 0.15
"""Inches of a page's width that its heading leaves free."""
_LINE = 1.25 / 72
"""The height of a line of text in inches, for letters of one point."""


def metric(row: Row) -> str:
    """Return the name of what ``accuracy`` is in a row."""
    return _METRIC.get(str(row["metric"]), str(row["metric"]) or "accuracy")


def set_heading(page: Page, what: str, rows: pd.DataFrame) -> None:
    """Head a page by what it shows, for which backbone, on which images; in lines that fit its width.

    The page grows by what is more than two lines.

    Args:
        page: the page.
        what: what the figure shows.
        rows: the figure's rate points, of one dataset and backbone.
    """
    row, seeds = rows.iloc[0], over_seeds(rows)
    inches, points = page.figure.get_figwidth() - _EDGE, RC["figure.titlesize"]
    where = f"{row['backbone']} on {row['dataset']}"
    images = [f"{row['images']:,.0f} images"] if row["images"] == row["images"] else []
    if "warnings" in rows and (rows["warnings"] != "").any():  # their sentences stand in the report
        images.append("with warnings")
    numbers = ", ".join([*images, seeds] if seeds else images)
    whole = f"{where} ({numbers})" if numbers else where
    narrow = page.figure.get_figwidth() <= COLUMN
    lines = [f"{what}: {whole}"]
    if narrow or len(fit(lines[0], inches, points)) > 1:
        lines = [what, *([whole] if len(fit(whole, inches, points)) == 1 or not numbers else [where, numbers])]
    lines = [line for given in lines for line in fit(given, inches, points)]
    page.figure.suptitle("\n".join(lines))
    page.figure.set_figheight(page.figure.get_figheight() + max(len(lines) - 2, 0) * points * _LINE)


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
    """Title each panel, with remarks in small print under its title, all in lines that fit the panel's width."""
    headings = [fit(title, page.panel_width, RC["axes.titlesize"]) for title in titles]
    wrapped = [join_and_fit(some, page.panel_width, _POINTS) for some in remarks]
    lines, more = max(len(remark) for remark in wrapped), max(len(heading) for heading in headings) - 1
    # The page grows, so that panels are as high as without.
    grown = (7 / 72 * lines + more * RC["axes.titlesize"] * _LINE) * math.ceil(len(titles) / page.columns)
    page.figure.set_figheight(page.figure.get_figheight() + grown)
    for axes, heading, remark in zip(page.panels, headings, wrapped, strict=True):
        axes.set_title("\n".join(heading), loc="left", pad=(6 if lines else 4) + 7 * lines)
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
            parts.append(f"{arrow} {method} {format_sizes(points['bytes_mean'])}")
    if below:
        parts.append(f"↓ {below} rate point{'s' * (below > 1)} under {floor:.0f} %")
    return parts

"""Accuracy against bytes per image: one figure per dataset and backbone, one panel per split."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from splitbench.bench.analysis.compare.curves.front import splits_in_order
from splitbench.bench.analysis.compare.curves.interpolation import FAR
from splitbench.bench.analysis.figures import published
from splitbench.bench.analysis.figures.panels.axes import limits, set_log_ticks
from splitbench.bench.analysis.figures.panels.marks import draw_points, mark_under
from splitbench.bench.analysis.figures.panels.page import Page, new_page
from splitbench.bench.analysis.figures.panels.titles import metric, set_heading, title_splits
from splitbench.bench.analysis.figures.style import BASELINE, GREY, Looks, Style, arrow
from splitbench.bench.results.names import UNCUT, curve_name
from splitbench.bench.results.table import interval_name

_NARROW = 0.02
"""The share of the axis below which a curve has error bars, as a band could not be seen."""


def draw(rows: pd.DataFrame, looks: Looks, others: pd.DataFrame, *, narrow: bool = False) -> Page:
    """Draw accuracy against bytes for one backbone.

    Args:
        rows: :func:`splitbench.bench.results.table.points` of one dataset and backbone.
        looks: :func:`splitbench.bench.analysis.figures.style.styles` of the whole table.
        others: published points, of which those beside these rows are drawn.
        narrow: draw the panels below one another.
    """
    first = rows.iloc[0]
    splits = splits_in_order(rows) or [""]
    others = published.beside(rows, others)
    x, y = limits(rows)
    page = new_page("rate-accuracy", first, len(splits), narrow=narrow)
    drawn: dict[str, Artist] = {}
    grey: dict[str, Artist] = {}
    shown = {split: rows[(rows["split"] == split) | rows["split"].isin(UNCUT)] for split in splits}
    for axes, (split, here) in zip(page.panels, shown.items(), strict=True):
        axes.set_xscale("log")
        axes.set_xlim(*x)
        axes.set_ylim(*y)
        axes.axhline(float(first["baseline"]), **BASELINE, zorder=1.5)
        grey |= _published(axes, others[others["split"].isin(["", "input", split])])
        curves = list(here.groupby(["method", "variant", "split"], sort=True))
        for (method, variant, _), curve in curves:
            name, look = curve_name(str(method), str(variant)), looks[str(method), str(variant)]
            _draw_curve(axes, curve, look, crowd=len(curves))
            drawn[name] = Line2D([], [], **look.line, label=name)
        set_log_ticks(axes, most=6 if page.columns < 3 else 5)
    title_splits(page, shown)
    set_heading(page, "Accuracy against bytes per image", rows)
    measured = [handle for _, handle in sorted(drawn.items())] + _baseline_and_interval(rows)
    cited = published.cited(others[others["system"].isin(list(grey))])
    x_label = f"bytes per image{_bits_per_pixel(rows)}"
    page.finish(x_label, f"{metric(first)} (%)", [("", measured), (cited, list(grey.values()))])
    return page


def _baseline_and_interval(rows: pd.DataFrame) -> list[Artist]:
    base = float(rows["baseline"].iloc[0])
    handles: list[Artist] = [Line2D([], [], **BASELINE, label=f"uncompressed ({base:.2f} %)")]
    if rows["accuracy_low"].notna().any():
        handles.append(Patch(facecolor="#999999", alpha=0.35, label=interval_name(rows)))
    return handles


def _draw_curve(axes: Axes, curve: pd.DataFrame, look: Style, crowd: int) -> None:
    size, accuracy = curve["bytes_mean"].to_numpy(float), curve["accuracy"].to_numpy(float)
    low, high = curve["accuracy_low"].to_numpy(float), curve["accuracy_high"].to_numpy(float)
    parts = np.split(np.arange(len(size)), np.flatnonzero(size[1:] > FAR * size[:-1]) + 1)  # no lines across gaps
    left, right = axes.get_xlim()
    inside = (size >= left) & (size <= right)
    width = np.log(size[inside].max() / size[inside].min()) / np.log(right / left) if inside.any() else 0.0
    banded = [part for part in parts if len(part) > 1 and width >= _NARROW and look.joined]
    for part in banded:
        # Many bands on top of each other must still let the lines through.
        faint = float(np.clip(0.5 / crowd, 0.025, 0.15))
        axes.fill_between(size[part], low[part], high[part], color=look.band, alpha=faint, linewidth=0, zorder=1.8)
    alone = np.flatnonzero(inside & ~np.isin(np.arange(len(size)), np.concatenate([[], *banded])))
    if len(alone):
        reach = np.maximum([accuracy - low, high - accuracy], 0)[:, alone]
        bars: dict[str, Any] = {"ecolor": look.colour, "elinewidth": 0.7, "capsize": 1.5}
        axes.errorbar(size[alone], accuracy[alone], reach, fmt="none", **bars, zorder=2)
    thin: dict[str, Any] = {"linewidth": 0.9, "markersize": 3.6} if crowd > 6 else {}
    for part in parts:
        draw_points(axes, size[part], accuracy[part], look.line | thin)
    mark_under(axes, size, accuracy, look.colour)
    mark_under(axes, size[alone], low[alone], look.colour)
    beyond = ~inside & (accuracy >= axes.get_ylim()[0])
    for x, y in zip(size[beyond], accuracy[beyond], strict=True):
        # Beyond the axis: an arrow at its edge, at the right height; the remark above says how many bytes.
        edge, way = (0.0, 180) if x < left else (1.0, 0)
        head = arrow(way, look.colour)
        axes.plot([edge], [y], **head, transform=axes.get_yaxis_transform(), clip_on=False, zorder=4)


def _published(axes: Axes, table: pd.DataFrame) -> dict[str, Artist]:
    # A letter needs room on all sides, or the panel's edge cuts it.
    across, up = axes.transAxes.inverted().transform(axes.transData.transform(table[["bytes", "accuracy"]])).T
    inside = table[(np.abs(across - 0.5) < 0.49) & (np.abs(up - 0.5) < 0.48)]
    drawn: dict[str, Artist] = {}
    for (system, letter), points in inside.groupby(["system", "mark"], sort=False):
        look: dict[str, Any] = {
            "linestyle": "none",
            "marker": _letter(str(letter)),
            "color": GREY,
            "markersize": 4.2,
            "markeredgewidth": 0.2,
        }
        axes.plot(points["bytes"], points["accuracy"], **look, zorder=2.2)
        drawn[str(system)] = Line2D([], [], **look, label=str(system))
    return drawn


def _letter(letter: str) -> Path:
    """Return a letter's outline, around its middle."""
    outline = TextPath((0, 0), letter, size=10)
    box = outline.get_extents()
    return Path(outline.vertices - [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2], outline.codes)


def _bits_per_pixel(rows: pd.DataFrame) -> str:
    """Return the rate in bits per pixel as a second unit, where one factor converts all of a figure's points."""
    per_byte = (rows["bits_per_pixel"] / rows["bytes_mean"]).dropna()
    if per_byte.empty or per_byte.max() > 1.01 * per_byte.min():
        return ""
    return f" (1,000 bytes = {1000 * per_byte.median():.2g} bits per pixel)"

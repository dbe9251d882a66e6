"""The drop of accuracy against bytes per image, with its paired interval: one panel per split.

A rate point and the uncompressed backbone are measured on the same images, so that the drop between them is known far
better than either accuracy: the intervals are several times as narrow as in the figure of accuracies.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from splitbench.bench.analysis.compare.curves.front import splits_in_order
from splitbench.bench.analysis.compare.curves.interpolation import FAR
from splitbench.bench.analysis.figures.panels.axes import set_log_ticks
from splitbench.bench.analysis.figures.panels.marks import draw_points, mark_under
from splitbench.bench.analysis.figures.panels.page import Page, new_page
from splitbench.bench.analysis.figures.panels.titles import metric, set_heading, set_titles
from splitbench.bench.analysis.figures.style import BASELINE, Looks, Style
from splitbench.bench.results.names import Row, curve_name
from splitbench.bench.results.table import compressors, interval_name

DEEPEST = 5.0
"""Points of drop that are shown; nobody would send what loses more."""

_ROOM = 0.06


def draw(rows: pd.DataFrame, looks: Looks, report: Callable[[str], None], *, narrow: bool = False) -> Page | None:
    """Draw drop against bytes for one backbone.

    Args:
        rows: :func:`splitbench.bench.results.table.points` of one dataset and backbone.
        looks: :func:`splitbench.bench.analysis.figures.style.styles` of the whole table.
        report: called with the reason where nothing can be drawn.
        narrow: draw the panels below one another.
    """
    first, core = rows.iloc[0], compressors(rows)
    near = core[core["drop"] <= DEEPEST]
    splits = splits_in_order(rows) or [""]
    shown = {split: core[core["split"].isin([split, "input"])] for split in splits}
    far = [split for split, here in shown.items() if not (here["drop"] <= DEEPEST).any()]
    if len(far) == len(shown):
        report(f"no figure of drops for {_place(first)}: all exceed {DEEPEST:g} points, or only answers are sent")
        return None
    for split in far:
        report(f"no drops after {split} are drawn for {_place(first)}: all exceed {DEEPEST:g} points")
        del shown[split]
    page = new_page("rate-drop", first, len(shown), narrow=narrow)
    drawn: dict[str, Artist] = {}
    for axes, here in zip(page.panels, shown.values(), strict=True):
        _set_limits(axes, near)
        axes.axhline(0, **BASELINE, zorder=1.5)
        for (method, variant, _), curve in here.groupby(["method", "variant", "split"], sort=True):
            look = looks[str(method), str(variant)]
            deep = curve.loc[curve["drop"] > DEEPEST, ["bytes_mean", "drop"]].to_numpy(float).T
            mark_under(axes, deep[0], axes.get_ylim()[0] + deep[1], look.colour)
            if _draw_curve(axes, curve[curve["drop"] <= DEEPEST], look):
                name = curve_name(str(method), str(variant))
                drawn[name] = Line2D([], [], **look.line, label=name)
        set_log_ticks(axes, most=6 if page.columns < 3 else 5)
    set_titles(page, [f"after {split}" if split else "nothing cut" for split in shown], _remarks(shown))
    set_heading(page, "Drop of accuracy against bytes per image", rows)
    base = Line2D([], [], **BASELINE, label=f"uncompressed ({float(first['baseline']):.2f} %)")
    handles = [*(handle for _, handle in sorted(drawn.items())), base, *_interval(near)]
    page.finish("bytes per image", f"drop of {metric(first)} (points)", [("", handles)])
    return page


def _place(row: Row) -> str:
    return f"{row['backbone']} on {row['dataset']}"


def _set_limits(axes: Axes, near: pd.DataFrame) -> None:
    """Show all drops up to :data:`DEEPEST` with their intervals, the smallest drop at the top."""
    ends = near[["drop", "drop_low", "drop_high"]].clip(upper=2 * DEEPEST)
    top, bottom = min(float(ends.min().min()), 0.0), max(float(ends.max().max()), 1.0)
    room = _ROOM * (bottom - top)
    axes.set_ylim(bottom + room, top - room)
    low, high = float(near["bytes_mean"].min()), float(near["bytes_mean"].max())
    pad = max((high / low) ** 0.05, 1.15, float(np.sqrt(3 * low / high)))
    axes.set_xscale("log")
    axes.set_xlim(low / pad, high * pad)


def _draw_curve(axes: Axes, curve: pd.DataFrame, look: Style) -> bool:
    """Draw a curve's points, joined where they lie near each other, and return whether there are any."""
    size, drop = curve["bytes_mean"].to_numpy(float), curve["drop"].to_numpy(float)
    for part in np.split(np.arange(len(size)), np.flatnonzero(size[1:] > FAR * size[:-1]) + 1):
        draw_points(axes, size[part], drop[part], look.line)
    reach = np.abs(np.stack([drop - curve["drop_low"], curve["drop_high"] - drop]))
    bars: dict[str, Any] = {"ecolor": look.colour, "elinewidth": 0.7, "capsize": 1.8, "capthick": 0.7}
    axes.errorbar(size, drop, reach, fmt="none", **bars, zorder=2)
    mark_under(axes, size, curve["drop_high"].to_numpy(float), look.colour)
    return len(size) > 0


def _remarks(shown: dict[str, pd.DataFrame]) -> list[list[str]]:
    counts = [int((here["drop"] > DEEPEST).sum()) for here in shown.values()]
    return [
        [f"↓ {count} rate point{'s' * (count > 1)} lose{'s' * (count == 1)} more than {DEEPEST:g} points"]
        if count
        else []
        for count in counts
    ]


def _interval(near: pd.DataFrame) -> list[Artist]:
    if near["drop_low"].isna().all():
        return []
    look: dict[str, Any] = {"linestyle": "none", "marker": "|", "color": "#999999", "markersize": 8}
    return [Line2D([], [], **look, label=f"{interval_name(near)}, paired")]

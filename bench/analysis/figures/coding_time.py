"""Bytes at equal accuracy against coding time: a point per curve, a panel per split."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from splitbench.bench.analysis.compare.curves.front import beside_every_split, splits_in_order
from splitbench.bench.analysis.compare.curves.interpolation import envelope, read_bytes
from splitbench.bench.analysis.figures.panels.axes import log_ticks, set_log_ticks, set_ticks
from splitbench.bench.analysis.figures.panels.page import Page, new_page
from splitbench.bench.analysis.figures.panels.titles import set_heading, set_titles
from splitbench.bench.analysis.figures.style import GREY, Looks, arrow
from splitbench.bench.results.names import curve_name
from splitbench.bench.results.table import compressors

DROP = 1.0
"""Points of accuracy that are given up."""

_FEWEST = 3
"""Curves in a panel, below which a table says it better."""


def draw(rows: pd.DataFrame, looks: Looks, *, narrow: bool = False) -> Page | None:
    """Draw what each curve takes to lose :data:`DROP` points: bytes, and milliseconds to encode and decode an image.

    Times are those of the rate point that loses no more; encoding on the device and decoding on the server are added.
    Where a curve loses less at its lowest rate, its bytes are an upper bound, marked by an arrow.

    Args:
        rows: :func:`splitbench.bench.results.table.points` of one dataset and backbone.
        looks: :func:`splitbench.bench.analysis.figures.style.styles` of the whole table.
        narrow: draw the panels below one another.

    Returns:
        The page, or None where no split has enough curves with times that come that near.
    """
    there = beside_every_split(compressors(rows)).dropna(subset=["encode_ms", "decode_ms"])
    tables = {split: pd.DataFrame(_read(there[there["at_split"] == split])) for split in splits_in_order(rows)}
    tables = {split: table for split, table in tables.items() if len(table) and table["bytes"].count() >= _FEWEST}
    if not tables:
        return None
    page = new_page("bytes-coding-time", rows.iloc[0], len(tables), narrow=narrow)
    every = pd.concat([table.dropna() for table in tables.values()])
    drawn: dict[str, Artist] = {}
    for axes, table in zip(page.panels, tables.values(), strict=True):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(*_reach(every["ms"]))
        axes.set_ylim(*_reach(every["bytes"]))
        drawn |= _draw_panel(axes, table.dropna(), looks)
        set_log_ticks(axes)
        set_ticks(axes.yaxis, log_ticks(*axes.get_ylim(), most=7))
    remarks = [_never(table) for table in tables.values()]
    set_titles(page, [f"after {split}" for split in tables], remarks)
    set_heading(page, f"Bytes for a drop of {DROP:g} point against coding time", rows)
    handles = [handle for _, handle in sorted(drawn.items())]
    page.finish("encoding and decoding, milliseconds per image", "bytes per image", [("", handles)])
    return page


def _read(here: pd.DataFrame) -> Iterator[dict[str, object]]:
    """The bytes and milliseconds of each curve at a split, empty where it loses more."""
    for (method, variant), curve in here.groupby(["method", "variant"], sort=True):
        size, drop = curve["bytes_mean"].to_numpy(float), curve["drop"].to_numpy(float)
        time = (curve["encode_ms"] + curve["decode_ms"]).to_numpy(float)
        reading = read_bytes(size, drop, DROP)
        good = [float(kept) for kept, lost in zip(*envelope(size, drop), strict=True) if lost <= DROP]
        ms = float(time[size == good[0]][0]) if good else np.nan
        yield {
            "method": str(method),
            "variant": str(variant),
            "bytes": reading.value,
            "bound": reading.how == "at most",
            "ms": ms,
        }


def _reach(values: "pd.Series[float]") -> tuple[float, float]:
    """An axis' ends: at least a factor of 3, so that there are round numbers."""
    low, high = float(values.min()), float(values.max())
    room = max((high / low) ** 0.06, 1.15, (3 * low / high) ** 0.5)
    return low / room, high * room


def _draw_panel(axes: Axes, table: pd.DataFrame, looks: Looks) -> dict[str, Artist]:
    """Draw a panel's points, a line along those that no other beats in both, and return the handles by name."""
    drawn: dict[str, Artist] = {}
    order = table.sort_values(["ms", "bytes"], kind="stable")
    best = order[order["bytes"] < order["bytes"].cummin().shift(fill_value=np.inf)]
    axes.plot(best["ms"], best["bytes"], color=GREY, linewidth=0.6, drawstyle="steps-post", zorder=2)
    drawn["~"] = Line2D([], [], color=GREY, linewidth=0.6, label="fewest bytes within a time")
    for _, row in table.iterrows():
        style = looks[row["method"], row["variant"]].line | {"linestyle": "none"}
        name = curve_name(row["method"], row["variant"])
        axes.plot([row["ms"]], [row["bytes"]], **style, clip_on=False, zorder=3)
        drawn[name] = Line2D([], [], **style, label=name)
        if row["bound"]:
            axes.annotate(
                "",
                (row["ms"], row["bytes"]),
                xytext=(0, -9),
                textcoords="offset points",
                arrowprops={"arrowstyle": "<-", "color": style["color"], "linewidth": 0.7, "shrinkA": 0, "shrinkB": 2},
            )
            drawn["~~"] = Line2D([], [], **arrow(270, GREY), label="at most: loses less at its lowest rate")
    return drawn


def _never(table: pd.DataFrame) -> list[str]:
    """Name the curves that lose more at every rate."""
    names = [curve_name(row["method"], row["variant"]) for _, row in table.iterrows() if np.isnan(row["bytes"])]
    return [f"lose more: {names[0]}", *names[1:]] if names else []

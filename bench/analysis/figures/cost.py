"""Accuracy at a given number of bytes against what it costs: device MACs, weights stored, weights switched."""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from splitbench.bench.analysis.compare.cost_table import cost_table
from splitbench.bench.analysis.compare.curves.interpolation import accuracy_at_budgets
from splitbench.bench.analysis.compare.summary import telling_budgets
from splitbench.bench.analysis.figures.panels.axes import format_bytes, limits, log_ticks, set_ticks
from splitbench.bench.analysis.figures.panels.marks import draw_points, mark_under
from splitbench.bench.analysis.figures.panels.page import Page, new_page
from splitbench.bench.analysis.figures.panels.placement import name_splits, offsets
from splitbench.bench.analysis.figures.panels.titles import metric, set_heading, set_titles
from splitbench.bench.analysis.figures.style import BASELINE, GREY, Looks, arrow
from splitbench.bench.results.names import CURVE, UNCUT, curve_name
from splitbench.bench.results.table import interval_name

_WEIGHTS = {
    "storage_device_packed_bytes": "stored on the device",
    "storage_server_packed_bytes": "stored on the server",
    "switch_device_packed_bytes": "loaded on the device per switch",
    "switch_server_packed_bytes": "loaded on the server per switch",
}
"""What a deployment would store; tables of earlier versions have no such columns."""

_IN_MEMORY = {
    "storage_device_bytes": "stored on the device",
    "storage_server_bytes": "stored on the server",
    "switch_device_bytes": "loaded on the device per switch",
    "switch_server_bytes": "loaded on the server per switch",
}


def draw_macs(rows: pd.DataFrame, looks: Looks, report: Callable[[str], None], *, narrow: bool = False) -> Page | None:
    """Draw accuracy against device MACs: a panel per byte budget, a line per method through the splits.

    Args:
        rows: :func:`splitbench.bench.results.table.points` of one dataset and backbone.
        looks: :func:`splitbench.bench.analysis.figures.style.styles` of the whole table.
        report: called with the reason where there is no figure.
        narrow: draw the panels below one another.
    """
    first = rows.iloc[0]
    place = f"{first['backbone']} on {first['dataset']}"
    if rows.loc[rows["split"] != "input", "device_macs"].isna().all():
        report(f"no figure of accuracy against device MACs for {place}: macs_head is empty")
        return None
    floor = limits(rows)[1][0]
    every = {budget: _at(rows, budget) for budget in telling_budgets(rows, most=3)}
    tables = {budget: table for budget, table in every.items() if _seen(table, floor)}
    if not tables:
        report(f"no figure of accuracy against device MACs for {place}: what is sent leaves less than {floor:.0f} %")
        return None
    scale, unit = (1e9, "GMAC") if rows["device_macs"].max() >= 1e9 else (1e6, "MMAC")
    page = new_page("accuracy-device-macs", first, len(tables), narrow=narrow)
    room = 0.05 * float(rows["device_macs"].max()) / scale
    drawn: dict[str, Artist] = {}
    for axes, table in zip(page.panels, tables.values(), strict=True):
        table["x"] = table["device_macs"] / scale
        axes.set_ylim(*limits(rows)[1])
        axes.set_xlim(-room, float(rows["device_macs"].max()) / scale + room)
        drawn |= _draw_panel(axes, table, looks, page.panel_width)
        name_splits(axes, {split: x / scale for split, x in _places(rows, "device_macs").items()}, page.panel_width)
    titles = [f"within {budget:,.0f} bytes per image" for budget in tables]
    set_titles(page, titles, [_too_large(table) for table in tables.values()])
    set_heading(page, "Accuracy against device computation", rows)
    x = f"computation on the device per image ({unit})"
    page.finish(x, f"{metric(first)} (%)", [(_legend_heading(list(tables.values())), _handles(drawn, rows))])
    return page


def draw_weights(
    rows: pd.DataFrame, looks: Looks, report: Callable[[str], None], *, narrow: bool = False
) -> Page | None:
    """Draw accuracy against weights stored and weights switched, in a panel each; arguments as :func:`draw_macs`."""
    first = rows.iloc[0]
    place = f"{first['backbone']} on {first['dataset']}"
    pairs = zip(_WEIGHTS, _IN_MEMORY, strict=True)
    packed = all(rows[name].notna().equals(rows[loaded].notna()) for name, loaded in pairs)
    titles = _WEIGHTS if packed else _IN_MEMORY
    filled = [name for name in titles if rows[name].notna().any()]
    if not filled:
        report(f"no figure of storage and weight switching for {place}: their columns are empty")
        return None
    filled = [name for name in filled if rows[name].any()]  # nothing is stored or loaded: nothing to compare
    if not filled:
        return None
    some = rows[rows[filled].notna().any(axis=1)]
    (budget,) = telling_budgets(some, most=1)
    page = new_page("accuracy-weights", first, len(filled), narrow=narrow, share_x=False)
    drawn: dict[str, Artist] = {}
    table = _at(some, budget)
    for axes, name in zip(page.panels, filled, strict=True):
        table["x"] = table[name]
        axes.set_ylim(*limits(some)[1])
        _byte_axis(axes, table.loc[table["accuracy"].notna(), "x"].dropna())
        drawn |= _draw_panel(axes, table, looks, page.panel_width, joined=False)
        if name.startswith("storage"):
            name_splits(axes, _places(some, name), page.panel_width)
        axes.set_title(titles[name], loc="left")
    what = f"Accuracy within {budget:,.0f} bytes per image against weights stored and switched"
    set_heading(page, what, rows)
    legend = _legend_heading([table.assign(x=table[name]) for name in filled], joined=False)
    if larger := ", ".join(_too_large(table)):
        legend += f"; {larger}"
    how = " (float16 where that is exact)" if packed else ""
    page.finish(f"bytes of weights and tables{how}", f"{metric(first)} (%)", [(legend, _handles(drawn, rows))])
    return page


def _at(rows: pd.DataFrame, budget: float) -> pd.DataFrame:
    """Return a row per curve with its accuracy within the budget and its costs."""
    table = accuracy_at_budgets(rows, [budget]).merge(cost_table(rows), on=CURVE)
    return table.assign(baseline=float(rows["baseline"].iloc[0]))


def _seen(table: pd.DataFrame, floor: float) -> bool:
    """Return whether a panel shows more than what runs everything on the device."""
    return bool((table.loc[table["split"] != "output", "accuracy"] >= floor).any())


def _places(rows: pd.DataFrame, cost: str) -> dict[str, float]:
    """Return the least cost at each split."""
    least = rows[~rows["split"].isin(UNCUT)].groupby("split")[cost].min().dropna()
    return {str(split): float(x) for split, x in least.items()}


def _too_large(table: pd.DataFrame) -> list[str]:
    """Name the methods that need more bytes than a panel allows, and at how many of their curves."""
    parts = []
    for method, curves in table.groupby("method", sort=True):
        missing = int(curves["accuracy"].isna().sum())
        if missing:
            parts.append(
                str(method)
                if missing == len(curves)
                else f"{method} (at {missing} of {len(curves)} splits and settings)"
            )
    return [f"need more bytes: {parts[0]}", *parts[1:]] if parts else []


def _legend_heading(tables: Sequence[pd.DataFrame], *, joined: bool = True) -> str:
    """Explain what several markers of a method are and where they stand, so far as panels have them."""
    shown = [table.dropna(subset=["x", "accuracy"]) for table in tables]
    lines = any(table.duplicated(["method", "variant"]).any() for table in shown)
    zero = any(table.loc[table["x"] == 0, "method"].count() > 1 for table in shown)
    apart = "nearly equal costs are drawn a little apart" + " (at 0: to the right of it)" * zero
    return "; ".join(
        ["lines join a method's splits" if joined else "a marker for each of a method's splits"] * lines + [apart]
    )


def _draw_panel(
    axes: Axes, table: pd.DataFrame, looks: Looks, inches: float, *, joined: bool = True
) -> dict[str, Artist]:
    """Draw a panel's curves and return their handles by name; ``joined`` says whether lines join a method's splits."""
    axes.axhline(float(table["baseline"].iloc[0]), **BASELINE, zorder=1.5)
    curves = list(table.dropna(subset=["x", "accuracy"]).groupby(["method", "variant"], sort=True))
    figure = cast(Figure, axes.get_figure(root=True))
    drawn: dict[str, Artist] = {}
    apart = offsets(axes, [curve["x"].to_numpy(float) for _, curve in curves], inches)
    for ((method, variant), curve), points in zip(curves, apart, strict=True):
        look, name = looks[str(method), str(variant)], curve_name(str(method), str(variant))
        line = curve.sort_values("x", kind="stable")
        style = look.line if joined else look.line | {"linestyle": "none"}
        x, y = line["x"].to_numpy(float), line["accuracy"].to_numpy(float)
        reach = np.maximum([y - line["accuracy_low"].to_numpy(float), line["accuracy_high"].to_numpy(float) - y], 0)
        aside = ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
        at = axes.transData + aside
        axes.errorbar(x, y, reach, fmt="none", ecolor=look.colour, elinewidth=0.5, alpha=0.6, transform=at, zorder=2)
        draw_points(axes, x, y, style, aside=aside)
        drawn[name] = Line2D([], [], **style, label=name)
        if mark_under(axes, x, y - reach[0], look.colour, aside):
            drawn["~"] = Line2D([], [], **arrow(270, GREY), label="goes on under the axis")
    return drawn


def _handles(drawn: dict[str, Artist], rows: pd.DataFrame) -> list[Artist]:
    base = Line2D([], [], **BASELINE, label=f"uncompressed ({rows['baseline'].iloc[0]:.2f} %)")
    bars = Line2D([], [], color=GREY, linestyle="none", marker="|", markersize=8, label=interval_name(rows))
    return [*(handle for _, handle in sorted(drawn.items())), base, bars]


def _byte_axis(axes: Axes, values: "pd.Series[float]") -> None:
    positive = values[values > 0]
    if positive.empty:
        # Something costs more than 0, but nothing that is drawn at these bytes.
        axes.set_xlim(-1, 1)
        set_ticks(axes.xaxis, [0.0], ["0"])
        return
    low, high = float(positive.min()), float(positive.max())
    room = max((high / low) ** 0.08, 1.6 if high > 1.5 * low else 3.0)
    marks = log_ticks(low / room, high * room, most=4)
    labels = [format_bytes(mark) for mark in marks]
    if (values == 0).any():
        # Nothing to load is a result too; a logarithmic axis has no place for 0, so it gets one at the left edge.
        axes.set_xscale("symlog", linthresh=low / room, linscale=0.4)
        axes.set_xlim(-0.3 * low / room, high * room)
        set_ticks(axes.xaxis, [0.0, *marks], ["0", *labels])
    else:
        axes.set_xscale("log")
        axes.set_xlim(low / room, high * room)
        set_ticks(axes.xaxis, marks, labels)

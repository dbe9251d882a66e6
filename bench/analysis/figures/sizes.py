"""The distribution of bytes per image: a box per rate point, a row per curve, a panel per split."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from splitbench.bench.analysis.compare.curves.front import splits_in_order
from splitbench.bench.analysis.figures.panels.axes import format_sizes, set_log_ticks
from splitbench.bench.analysis.figures.panels.page import Page, stacked_page
from splitbench.bench.analysis.figures.panels.titles import set_heading
from splitbench.bench.analysis.figures.style import GREY, Looks, Style
from splitbench.bench.analysis.image_records import read_records
from splitbench.bench.results.names import Row, curve_name
from splitbench.bench.results.table import compressors, over_seeds

ENDS = (5, 25, 50, 75, 95)
"""Percentiles of a box: whiskers, box and median."""

_LANE, _BOX = 0.17, 0.45
"""Inches per lane of boxes, and a box's share of it; the rest holds the value of the box's rate point."""

_LETTERS, _NARROW_LETTERS = 32, 17
"""Letters of a line of a curve's name, on a page two columns and one column wide."""
_VALUE = 5.0
"""The size of a value's letters in points of the page."""

_BOXES_WIDE, _NARROW_BOXES = 4.6, 1.9
"""The approximate width of a panel beside the names, in inches, likewise."""


def draw(rows: pd.DataFrame, looks: Looks, report: Callable[[str], None], *, narrow: bool = False) -> Page | None:
    """Draw the distribution for one backbone, from the per-image records beside its CSV.

    Args:
        rows: :func:`splitbench.bench.results.table.points` of one dataset and backbone.
        looks: :func:`splitbench.bench.analysis.figures.style.styles` of the whole table.
        report: called with the reason where there is no figure.
        narrow: draw the panels below one another.
    """
    first = rows.iloc[0]
    spread = spreads(rows)
    if not (spread["p5"] < spread["p95"]).any():
        report(
            f"no figure of how bytes spread over images for {first['backbone']} on {first['dataset']}: "
            "no per-image records of bytes that differ lie beside the table"
        )
        return None
    core = compressors(spread)
    x = core[f"p{ENDS[0]}"].min() / 1.15, core[f"p{ENDS[-1]}"].max() * 1.15
    beyond = spread[(spread["p50"] < x[0]) | (spread["p50"] > x[1])]
    spread = spread.drop(index=beyond.index)
    cut = splits_in_order(spread)
    splits = [*cut, *(split for split in ("input", "output") if split in set(spread["split"]))]
    shown = {split: spread[spread["split"] == split] for split in splits}
    letter = (x[1] / x[0]) ** (0.6 * _VALUE / 72 / (_NARROW_BOXES if narrow else _BOXES_WIDE))
    letters = _NARROW_LETTERS if narrow else _LETTERS
    curves = {split: [_boxes(curve, letter, letters) for curve in _curves(here)] for split, here in shown.items()}
    lanes = [sum(curve.lanes for curve in here) for here in curves.values()]
    page = stacked_page("bytes-spread", first, lanes, _LANE, narrow=narrow)
    for axes, (split, here) in zip(page.panels, curves.items(), strict=True):
        axes.set_xscale("log")
        axes.set_xlim(*x)
        _draw_panel(axes, here, looks)
        axes.set_title(_TITLES.get(split, f"after {split}"), loc="left")
        set_log_ticks(axes, most=4 if narrow else 7)
    set_heading(page, "Distribution of bytes per image", rows.assign(seeds=1))
    page.finish("bytes per image", "", [(_legend_heading(spread, beyond), _handles(spread))])
    return page


_TITLES = {"input": "the picture is sent", "output": "everything on the device"}


def spreads(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the percentiles :data:`ENDS` of each rate point's bytes per image to its row, as ``p5`` to ``p95``.

    Rate points without records are left out.
    """
    percentiles = []
    for index, row in rows.iterrows():
        records = read_records(row, ["bytes"])
        if records is not None:
            values = np.percentile(records["bytes"].astype(np.float64), ENDS)
            percentiles.append((index, *values.tolist()))
    table = pd.DataFrame(percentiles, columns=["index", *(f"p{end}" for end in ENDS)]).set_index("index")
    joined: pd.DataFrame = rows.join(table, how="inner")
    return joined[joined["p5"] > 0]


class _Boxes(NamedTuple):
    """A curve's boxes, each in a lane where it and its value cover no other, and the number of lanes."""

    look: tuple[str, str]
    name: str
    boxes: list[tuple[int, Row]]
    lanes: float


def _curves(here: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    for (method, variant), curve in here.groupby(["method", "variant"], sort=True):
        yield str(method), str(variant), curve.sort_values("p50", kind="stable")


def _boxes(curve: tuple[str, str, pd.DataFrame], letter: float, letters: int) -> _Boxes:
    """Put a curve's boxes into lanes, and break its name into lines.

    Args:
        curve: the method, its variant and the rate points.
        letter: the ratio of the bytes at a letter's two sides.
        letters: of a line of the name.
    """
    method, variant, points = curve
    name = f"{curve_name(method, variant)} ({points['knob'].iloc[0]})"
    lines = textwrap.wrap(name, letters, break_long_words=False, break_on_hyphens=False)
    ends: list[float] = []
    boxes = []
    for _, point in points.iterrows():
        half = letter ** (len(str(point["value"])) / 2 + 0.5)
        left, right = min(point["p5"], point["p50"] / half), max(point["p95"], point["p50"] * half)
        lane = next((i for i, end in enumerate(ends) if end < left), len(ends))
        ends[lane : lane + 1] = [right]
        boxes.append((lane, point))
    return _Boxes((method, variant), "\n".join(lines), boxes, max(len(ends), 0.3 + 0.6 * len(lines)) + 0.25)


def _draw_panel(axes: Axes, curves: Sequence[_Boxes], looks: Looks) -> None:
    tops = np.cumsum([0.0, *(curve.lanes for curve in curves)])
    for top, curve in zip(tops, curves, strict=False):
        for lane, point in curve.boxes:
            _draw_box(axes, float(top) + lane, point, looks[curve.look])
    axes.set_ylim(float(tops[-1]) + 0.1, -0.1)
    axes.set_yticks((tops[:-1] + tops[1:]) / 2, [curve.name for curve in curves])
    axes.grid(visible=False, axis="y")


def _draw_box(axes: Axes, top: float, point: Row, look: Style) -> None:
    low, quarter, middle, three, high = (float(point[f"p{end}"]) for end in ENDS)
    y = top + 1 - _BOX / 2
    axes.plot([low, high], [y, y], color=look.colour, linewidth=0.8, zorder=2)
    axes.barh(y, three - quarter, _BOX, quarter, color=look.band, edgecolor=look.colour, linewidth=0.6, zorder=3)
    axes.plot([middle, middle], [top + 1 - _BOX, top + 1], color="black", linewidth=0.9, zorder=4)
    axes.text(middle, top + 1 - _BOX, str(point["value"]), fontsize=_VALUE, ha="center", va="bottom", color=GREY)


def _legend_heading(spread: pd.DataFrame, beyond: pd.DataFrame) -> str:
    """Explain the numbers over the boxes, and name what lies beyond the axis; of several seeds the lowest is drawn."""
    seed = "; of the lowest seed" * bool(over_seeds(spread))
    parts = [f"{method} {format_sizes(points['p50'])}" for method, points in beyond.groupby("method", sort=True)]
    far = f"; beyond the axis: {', '.join(parts)}" * bool(parts)
    return f"over each box its rate point: the value of the knob in brackets{seed}{far}"


def _handles(spread: pd.DataFrame) -> list[Artist]:
    alike = Line2D([], [], color=GREY, linestyle="none", marker="|", markersize=8, label="all images of one size")
    return [*([alike] if (spread["p5"] == spread["p95"]).any() else []), *_box_handles()]


def _box_handles() -> list[Artist]:
    return [
        Patch(facecolor="#999999", edgecolor=GREY, label="half of the images, with the median"),
        Line2D([], [], color=GREY, linewidth=0.8, label=f"from {ENDS[0]} % to {ENDS[-1]} % of the images"),
    ]

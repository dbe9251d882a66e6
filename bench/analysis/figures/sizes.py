"""How bytes per image spread over the images: a box per rate point, a row per curve, a panel per split."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from splitbench.bench.analysis.compare.front import splits_in_order
from splitbench.bench.analysis.figures import page as pages
from splitbench.bench.analysis.figures import ticks
from splitbench.bench.analysis.figures.style import GREY, Style
from splitbench.bench.analysis.figures.titles import heading
from splitbench.bench.analysis.image_records import read_records
from splitbench.bench.results.table import Row, curve_name, over_seeds

ENDS = (5, 25, 50, 75, 95)
"""Percentiles of a box: whiskers, box and median."""

_LANE, _BOX = 0.17, 0.45
"""Inches per lane of boxes, and a box's share of it; what is left holds the value of the box's rate point."""

_LETTERS = 32
_VALUE = 5.0
"""Points of the page: the size of a value's letters."""

_BOXES_WIDE = 4.6
"""About how many inches a panel is wide beside the names."""


def draw(
    rows: pd.DataFrame, looks: dict[tuple[str, str], Style], folder: Path, report: Callable[[str], None]
) -> list[Path]:
    """Draws one backbone's figure, from the per-image records beside its CSV.

    Args:
        rows: :func:`splitbench.bench.results.table.points` of one dataset and backbone.
        looks: :func:`splitbench.bench.analysis.figures.style.styles` of the whole table.
        folder: where the files go.
        report: told why there is no figure, where there is none.
    """
    first = rows.iloc[0]
    spread = spreads(rows)
    if spread.empty:
        report(
            f"no figure of how bytes spread over images for {first['backbone']} on {first['dataset']}: "
            "no per-image records of bytes that differ lie beside the table"
        )
        return []
    cut = splits_in_order(spread)
    splits = [*cut, *(split for split in ("input", "output") if split in set(spread["split"]))]
    shown = {split: spread[spread["split"] == split] for split in splits}
    x = spread[f"p{ENDS[0]}"].min() / 1.15, spread[f"p{ENDS[-1]}"].max() * 1.15
    letter = (x[1] / x[0]) ** (0.6 * _VALUE / 72 / _BOXES_WIDE)
    curves = {split: [_curve(*curve, letter) for curve in _curves(here)] for split, here in shown.items()}
    page = pages.stacked([sum(curve.lanes for curve in here) for here in curves.values()], _LANE)
    for axes, (split, here) in zip(page.panels, curves.items(), strict=True):
        axes.set_xscale("log")
        axes.set_xlim(*x)
        _panel(axes, here, looks)
        axes.set_title(_TITLES.get(split, f"after {split}"), loc="left")
        ticks.set_log_ticks(axes, most=7)
    page.figure.suptitle(heading("Distribution of bytes per image", rows.assign(seeds=1), 2))
    pages.finish(page, "bytes per image", "", [(_legend(spread), _explained())])
    return pages.save(page, folder, "bytes-spread", first)


_TITLES = {"input": "the picture is sent", "output": "everything on the device"}


def spreads(rows: pd.DataFrame) -> pd.DataFrame:
    """The percentiles :data:`ENDS` of each rate point's bytes per image, as ``p5`` to ``p95`` beside its row.

    Rate points without records are left out, and those whose bitstreams all have one length.
    """
    found = []
    for index, row in rows.iterrows():
        records = read_records(row, ["bytes"])
        if records is not None and len(np.unique(records["bytes"])) > 1:
            values = np.percentile(records["bytes"].astype(np.float64), ENDS)
            found.append((index, *values.tolist()))
    table = pd.DataFrame(found, columns=["index", *(f"p{end}" for end in ENDS)]).set_index("index")
    joined: pd.DataFrame = rows.join(table, how="inner")
    return joined[joined["p5"] > 0]


class _Curve(NamedTuple):
    """A curve's boxes, each in a lane where it and its value cover no other, and how many lanes it takes."""

    look: tuple[str, str]
    name: str
    boxes: list[tuple[int, Row]]
    lanes: float


def _curves(here: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    for (method, variant), curve in here.groupby(["method", "variant"], sort=True):
        yield str(method), str(variant), curve.sort_values("p50", kind="stable")


def _curve(method: str, variant: str, points: pd.DataFrame, letter: float) -> _Curve:
    """A curve's boxes in lanes; ``letter`` is the factor between the bytes at a letter's two sides."""
    name = f"{curve_name(method, variant)} ({points['knob'].iloc[0]})"
    lines = textwrap.wrap(name, _LETTERS, break_long_words=False, break_on_hyphens=False)
    ends: list[float] = []
    boxes = []
    for _, point in points.iterrows():
        half = letter ** (len(str(point["value"])) / 2 + 0.5)
        left, right = min(point["p5"], point["p50"] / half), max(point["p95"], point["p50"] * half)
        lane = next((i for i, end in enumerate(ends) if end < left), len(ends))
        ends[lane : lane + 1] = [right]
        boxes.append((lane, point))
    return _Curve((method, variant), "\n".join(lines), boxes, max(len(ends), 0.3 + 0.6 * len(lines)) + 0.25)


def _panel(axes: Axes, curves: Sequence[_Curve], looks: dict[tuple[str, str], Style]) -> None:
    tops = np.cumsum([0.0, *(curve.lanes for curve in curves)])
    for top, curve in zip(tops, curves, strict=False):
        for lane, point in curve.boxes:
            _box(axes, float(top) + lane, point, looks[curve.look])
    axes.set_ylim(float(tops[-1]) + 0.1, -0.1)
    axes.set_yticks((tops[:-1] + tops[1:]) / 2, [curve.name for curve in curves])
    axes.grid(visible=False, axis="y")


def _box(axes: Axes, top: float, point: Row, look: Style) -> None:
    low, quarter, middle, three, high = (float(point[f"p{end}"]) for end in ENDS)
    y = top + 1 - _BOX / 2
    axes.plot([low, high], [y, y], color=look.colour, linewidth=0.8, zorder=2)
    axes.barh(y, three - quarter, _BOX, quarter, color=look.band, edgecolor=look.colour, linewidth=0.6, zorder=3)
    axes.plot([middle, middle], [top + 1 - _BOX, top + 1], color="black", linewidth=0.9, zorder=4)
    axes.text(middle, top + 1 - _BOX, str(point["value"]), fontsize=_VALUE, ha="center", va="bottom", color=GREY)


def _legend(spread: pd.DataFrame) -> str:
    """What the numbers over the boxes are; of several seeds the lowest one's bytes are drawn."""
    seed = "; of the lowest seed" * bool(over_seeds(spread))
    return f"over each box its rate point: the value of the knob in brackets{seed}"


def _explained() -> list[Artist]:
    return [
        Patch(facecolor="#999999", edgecolor=GREY, label="half of the images, with the median"),
        Line2D([], [], color=GREY, linewidth=0.8, label=f"from {ENDS[0]} % to {ENDS[-1]} % of the images"),
    ]

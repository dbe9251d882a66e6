"""How bytes per image spread over the images: a box per rate point, a row per curve, a panel per split."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from splitbench.bench.compare.front import splits_in_order
from splitbench.bench.compare.recorded import recorded
from splitbench.bench.figures import page as pages
from splitbench.bench.figures import ticks
from splitbench.bench.figures.style import GREY, Style
from splitbench.bench.figures.titles import heading
from splitbench.bench.table import curve_name

ENDS = (5, 25, 50, 75, 95)
"""Percentiles of a box: whiskers, box and median."""

_ROW, _BOX, _ASIDE = 0.2, 0.3, 0.18
"""Inches per row, a box's height, and by how much every other one is moved: neighbours' whiskers may overlap."""

_LEFT_OUT = ("raw", "label-only")
"""Methods whose bitstreams all have one length."""

_LETTERS = 32


def draw(
    rows: pd.DataFrame, looks: dict[tuple[str, str], Style], folder: Path, report: Callable[[str], None]
) -> list[Path]:
    """Draws one backbone's figure, from the per-image records beside its CSV.

    Args:
        rows: :func:`splitbench.bench.table.points` of one dataset and backbone.
        looks: :func:`splitbench.bench.figures.style.styles` of the whole table.
        folder: where the files go.
        report: told why there is no figure, where there is none.
    """
    first = rows.iloc[0]
    spread = spreads(rows[~rows["method"].isin(_LEFT_OUT)])
    if spread.empty:
        report(
            f"no figure of how bytes spread over images for {first['backbone']} on {first['dataset']}: "
            "there are no per-image records of compressors beside the table"
        )
        return []
    cut = splits_in_order(spread)
    splits = [*cut, *(split for split in ("input", "output") if split in set(spread["split"]))]
    shown = {split: spread[spread["split"] == split] for split in splits}
    page = pages.stacked([sum(_room(name) for name in _names(here)) for here in shown.values()], _ROW)
    x = spread[f"p{ENDS[0]}"].min() / 1.15, spread[f"p{ENDS[-1]}"].max() * 1.15
    for axes, (split, here) in zip(page.panels, shown.items(), strict=True):
        axes.set_xscale("log")
        axes.set_xlim(*x)
        _panel(axes, here, looks)
        axes.set_title(_TITLES.get(split, f"after {split}"), loc="left")
        ticks.set_log_ticks(axes, most=7)
    page.figure.suptitle(heading("Bytes per image, as they spread over the images", first, 2))
    pages.finish(page, "bytes per image", "", [("", _explained())])
    return pages.save(page, folder, "bytes-spread", first)


_TITLES = {"input": "the picture is sent", "output": "everything on the device"}


def spreads(rows: pd.DataFrame) -> pd.DataFrame:
    """The percentiles :data:`ENDS` of each rate point's bytes per image, as ``p5`` to ``p95`` beside its row.

    Rate points without records are left out.
    """
    found = []
    for index, row in rows.iterrows():
        records = recorded(row, ["bytes"])
        if records is not None and len(records["bytes"]):
            values = np.percentile(records["bytes"].astype(np.float64), ENDS)
            found.append((index, *values.tolist()))
    table = pd.DataFrame(found, columns=["index", *(f"p{end}" for end in ENDS)]).set_index("index")
    joined: pd.DataFrame = rows.join(table, how="inner")
    return joined[joined["p5"] > 0]


def _names(here: pd.DataFrame) -> list[str]:
    """The curves' names, in lines that leave room for the boxes."""
    pairs = sorted({(str(method), str(variant)) for method, variant in here[["method", "variant"]].to_numpy()})
    wrap: dict[str, Any] = {"width": _LETTERS, "break_long_words": False, "break_on_hyphens": False}
    return ["\n".join(textwrap.wrap(curve_name(*pair), **wrap)) for pair in pairs]


def _room(name: str) -> float:
    """A row's height: as many lines as its name has take a little less than as many rows."""
    return max(1.0, 0.3 + 0.6 * (1 + name.count("\n")))


def _panel(axes: Axes, here: pd.DataFrame, looks: dict[tuple[str, str], Style]) -> None:
    names = _names(here)
    rooms = np.array([_room(name) for name in names])
    places = np.cumsum(rooms) - rooms / 2
    for place, ((method, variant), curve) in zip(places, here.groupby(["method", "variant"], sort=True), strict=True):
        look = looks[str(method), str(variant)]
        for order, (_, point) in enumerate(curve.sort_values("p50", kind="stable").iterrows()):
            _box(axes, float(place) + (_ASIDE if order % 2 else -_ASIDE), point, look)
    axes.set_ylim(float(rooms.sum()) + 0.1, -0.1)
    axes.set_yticks(places, names)
    axes.grid(visible=False, axis="y")


def _box(axes: Axes, y: float, point: "pd.Series[Any]", look: Style) -> None:
    low, quarter, middle, three, high = (float(point[f"p{end}"]) for end in ENDS)
    axes.plot([low, high], [y, y], color=look.colour, linewidth=0.8, zorder=2)
    axes.barh(y, three - quarter, _BOX, quarter, color=look.band, edgecolor=look.colour, linewidth=0.6, zorder=3)
    axes.plot([middle], [y], marker="|", color="white", markersize=4.5, markeredgewidth=1.0, zorder=4)


def _explained() -> list[Artist]:
    return [
        Patch(facecolor="#999999", edgecolor=GREY, label="half of the images, with the median"),
        Line2D([], [], color=GREY, linewidth=0.8, label=f"from {ENDS[0]} % to {ENDS[-1]} % of the images"),
    ]

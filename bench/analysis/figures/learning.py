"""Learning curves: loss, rate and accuracy against images seen, from the CSVs that training writes."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from splitbench.bench.analysis.figures import ticks
from splitbench.bench.analysis.figures.drawing import drawing, save
from splitbench.bench.analysis.figures.page import COLUMN
from splitbench.bench.analysis.figures.style import GREY
from splitbench.bench.utils.errors import UserError

_FIRST = {
    "loss": "loss",
    "bits_per_pixel": "rate\n(bits per pixel)",
    "accuracy": "accuracy (%)",
    "agreement": "same class as\nuncompressed (%)",
    "distortion": "distortion",
}
"""Panels from the top, with what their axes say; further measures follow under their own names."""

# Okabe and Ito's colours without yellow, which is pale on white; markers say the same again for print in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_PANEL = 1.25
_LETTERS = 46
_COURSE = ("epoch", "images", "seconds", "learning_rate")


def read(path: Path) -> pd.DataFrame:
    """A learning curve, as training writes it: a row per epoch.

    Raises:
        UserError: no such file, or no learning curve.
    """
    try:
        curve: pd.DataFrame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the learning curve {path}: {error}") from None
    missing = [name for name in ("images", "loss") if name not in curve]
    if missing or curve.empty:
        raise UserError(f"{path} is no learning curve: {f'no column {missing[0]}' if missing else 'no epoch in it'}")
    return curve


def draw(curves: Mapping[str, Path], out: Path, name: str = "learning-curve", title: str = "") -> list[Path]:
    """Draw learning curves over one another, a panel for each measure: held-out measures, and training means dotted.

    The same CSVs give the same SVG, byte for byte.

    Args:
        curves: The CSVs by what the legend calls them.
        out: Folder for the files; made where it is missing.
        name: Of the files, without ending.
        title: Above the panels.

    Returns:
        The files written, SVG and PNG.

    Raises:
        UserError: a CSV cannot be read, or ``out`` not be written.
    """
    tables = {label: read(path) for label, path in curves.items()}
    with drawing():
        return save(_figure(tables, title), out, name)


def _figure(tables: Mapping[str, pd.DataFrame], title: str = "") -> Figure:
    found = dict.fromkeys(column for table in tables.values() for column in table.columns if column not in _COURSE)
    measures = dict.fromkeys(column.removeprefix("train_") for column in found)
    panels = [column for column in _FIRST if column in measures] + [one for one in measures if one not in _FIRST]
    lines = title.count("\n") + 1 if title else 0
    height = _PANEL * len(panels) + 0.35 + 0.13 * (len(tables) + 2 + lines)
    figure = Figure(figsize=(COLUMN, height), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title)
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    handles: list[Artist] = []
    for place, (label, table) in enumerate(tables.items()):
        # Where colours come again, they come with other markers.
        colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[(place + place // len(_COLOURS)) % len(_MARKERS)]
        # Markers at every epoch of a long training would run into a band.
        line: dict[str, Any] = {"color": colour, "marker": marker, "markevery": max(1, len(table) // 12)}
        for axes, measure in zip(grid, panels, strict=True):
            alone = {"marker": "."} if len(table) == 1 else {}  # of one epoch there is no line
            _line(axes, table, f"train_{measure}", color=colour, linestyle=(0, (1, 1.2)), linewidth=0.9, **alone)
            _line(axes, table, measure, **line, markersize=3.0)
        handles.append(Line2D([], [], **line | {"markevery": None}, label=textwrap.fill(label, _LETTERS)))
    for axes, measure in zip(grid, panels, strict=True):
        axes.set_ylabel(_FIRST.get(measure, measure.replace("_", " ")))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    figure.align_ylabels(list(grid))
    grid[-1].set_xlabel("training images seen (with repeats)")
    grid[-1].set_xlim(left=0)
    grid[-1].xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    grid[-1].xaxis.set_major_formatter(FuncFormatter(lambda count, _: ticks.plain(count)))
    handles += [
        Line2D([], [], color=GREY, label="held-out images"),
        Line2D([], [], color=GREY, linestyle=(0, (1, 1.2)), linewidth=0.9, label="training images, while they train"),
    ]
    figure.legend(handles=handles, loc="outside lower left", handlelength=3.0, labelspacing=0.3, borderaxespad=0.2)
    return figure


def _line(axes: Axes, table: pd.DataFrame, column: str, **look: Any) -> None:
    if column in table:
        axes.plot(table["images"], table[column], **look)

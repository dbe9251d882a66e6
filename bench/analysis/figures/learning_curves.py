"""Learning curves: loss, rate and accuracy against images seen, from the CSVs that training writes."""

import re
import tempfile
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

from splitbench.bench.analysis.figures.panels.axes import format_tick
from splitbench.bench.analysis.figures.panels.fitting import fit
from splitbench.bench.analysis.figures.panels.page import COLUMN, save
from splitbench.bench.analysis.figures.style import GREY, RC, drawing
from splitbench.bench.results import archive
from splitbench.bench.results.names import curve_name, setting_name, without_module
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import file_word

_FIRST = {
    "loss": "loss",
    "bits_per_pixel": "rate\n(bits per pixel)",
    "accuracy": "accuracy (%)",
    "agreement": "same class as\nuncompressed (%)",
    "distortion": "distortion",
}
"""Panels from the top, with the labels of their axes; further measures follow under their own names."""

# Okabe and Ito's colours without yellow, which is pale on white; markers say the same again for print in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_DOTTED: dict[str, Any] = {"linestyle": (0, (1, 1.2)), "linewidth": 0.9}
_PANEL = 1.25
_LETTERS = 46
_COURSE = ("epoch", "images", "seconds", "learning_rate")


def draw_learning(run: Path, out: Path) -> list[Path]:
    """Draw the learning curves of a run, the rate points of a method over one another.

    Args:
        run: its folder, its table, or an archive of it that has been verified.
        out: the folder for the files; made where it is missing.

    Returns:
        The files written; none where nothing was trained.
    """
    if archive.is_archive(run):
        with tempfile.TemporaryDirectory() as folder:
            archive.unpack(run, ("learning/", archive.TABLE), Path(folder))
            return draw_learning(Path(folder), out)
    run = run if run.is_dir() else run.parent
    files: list[Path] = []
    names = _names(run)
    for method in sorted(path for path in (run / "learning").glob("*/*/*/*") if path.is_dir()):
        variants = sorted(path for path in method.iterdir() if path.is_dir())
        for variant in variants:
            tables = sorted(variant.glob("*.csv"), key=lambda path: _knob_value(path.stem))
            if tables:
                place = method.parts[-4:]
                dataset, backbone, split, name = (without_module(names.get(word, word)) for word in place)
                words = [*place, *([variant.name] if len(variants) > 1 else [])]
                settings = variant.name.split("+") if len(variants) > 1 and variant.name != "default" else []
                curve = curve_name(name, ", ".join(map(setting_name, settings)))
                title = "\n".join(fit(f"Learning: {curve}", COLUMN, RC["figure.titlesize"]))
                title += f"\n{backbone} on {dataset}\nafter {split}"
                curves = {path.stem.replace("+", " "): path for path in tables}
                files += draw(curves, out, "_".join(("learning", *words)), title)
    return files


def _names(run: Path) -> dict[str, str]:
    """Return the names in a run's table by the words that stand for them in paths."""
    try:
        table = pd.read_csv(run / "cells.csv", dtype=str, keep_default_na=False)
    except (OSError, ValueError):
        return {}
    columns = [name for name in ("dataset", "backbone", "split", "method") if name in table]
    return {file_word(name): name for column in columns for name in table[column].unique()}


def _knob_value(label: str) -> tuple[float, str]:
    """Return a key that sorts ``lmbda=0.3`` by its value, whatever follows it."""
    found = re.search(r"=(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", label)
    return (float(found[1]) if found else float("inf")), label


def read(path: Path) -> pd.DataFrame:
    """Read a learning curve as training writes it: a row per epoch.

    Raises:
        UserError: no such file, or not a learning curve.
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

    The same CSVs yield the same SVG, byte for byte.

    Args:
        curves: the CSVs by their names in the legend.
        out: the folder for the files; made where it is missing.
        name: the files' name without ending.
        title: the text above the panels.

    Returns:
        The files written, SVG and PNG.

    Raises:
        UserError: a CSV cannot be read, or ``out`` not be written.
    """
    tables = {label: read(path) for label, path in curves.items()}
    with drawing():
        return save(make_figure(tables, title), out, name)


def make_figure(tables: Mapping[str, pd.DataFrame], title: str = "") -> Figure:
    """Draw learning curves by their names in the legend, as :func:`draw` describes."""
    columns = dict.fromkeys(
        column
        for table in tables.values()
        for column in table.dropna(axis="columns", how="all").columns
        if column not in _COURSE
    )
    measures = dict.fromkeys(column.removeprefix("train_") for column in columns)
    measures = dict.fromkeys([name for name in _FIRST if name in measures] + list(measures))
    lines = title.count("\n") + 1 if title else 0
    height = _PANEL * len(measures) + 0.35 + 0.13 * (len(tables) + 2 + lines)
    figure = Figure(figsize=(COLUMN, height), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title)
    grid = figure.subplots(len(measures), 1, squeeze=False, sharex=True)[:, 0]
    handles: list[Artist] = []
    for place, (label, table) in enumerate(tables.items()):
        # Where colours come again, they come with other markers.
        colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[(place + place // len(_COLOURS)) % len(_MARKERS)]
        # Markers at every epoch of a long training would run into a band.
        line: dict[str, Any] = {"color": colour, "marker": marker, "markevery": max(1, len(table) // 12)}
        for axes, measure in zip(grid, measures, strict=True):
            alone = {"marker": "."} if len(table) == 1 else {}  # of one epoch there is no line
            _line(axes, table, f"train_{measure}", color=colour, **_DOTTED, **alone)
            _line(axes, table, measure, **line, markersize=3.0)
        handles.append(Line2D([], [], **line | {"markevery": None}, label=textwrap.fill(label, _LETTERS)))
    for axes, measure in zip(grid, measures, strict=True):
        axes.set_ylabel(_FIRST.get(measure, measure.replace("_", " ")))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    figure.align_ylabels(list(grid))
    grid[-1].set_xlabel("training images seen (with repeats)")
    grid[-1].set_xlim(left=0)
    grid[-1].xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    grid[-1].xaxis.set_major_formatter(FuncFormatter(lambda count, _: format_tick(count)))
    handles += [
        Line2D([], [], color=GREY, label="held-out images"),
        Line2D([], [], color=GREY, **_DOTTED, label="training images, while they train"),
    ]
    figure.legend(handles=handles, loc="outside lower left", handlelength=3.0, labelspacing=0.3, borderaxespad=0.2)
    return figure


def _line(axes: Axes, table: pd.DataFrame, column: str, **look: Any) -> None:
    if column in table:
        axes.plot(table["images"], table[column], **look)

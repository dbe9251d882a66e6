"""Figures of a what-if: latency against link speed per method, and which rate point wins where."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from splitbench.bench.analysis.compare.interpolation import Numbers
from splitbench.bench.analysis.figures import page as pages
from splitbench.bench.analysis.figures import regions, ticks
from splitbench.bench.analysis.figures.drawing import drawing
from splitbench.bench.analysis.figures.style import Style, styles
from splitbench.bench.analysis.figures.titles import heading
from splitbench.bench.analysis.latency.latency import Link, latency_ms
from splitbench.bench.analysis.latency.question import Question

SPEED_LABEL = "link speed (Mbit/s)"

_LATENCY = "latency-link"

_BEST: dict[str, Any] = {"color": "#cccccc", "linewidth": 4.0, "solid_capstyle": "round", "zorder": 1.6}


def draw_links(
    frame: pd.DataFrame,
    rows: pd.DataFrame,
    out: Path,
    question: Question,
    report: Callable[[str], None] = lambda reason: None,
) -> list[Path]:
    """Draws latency against link speed, and the winning rate points over link speed and tolerated drop.

    Args:
        frame: the whole table, which styles are made from, so that methods look as in every other figure.
        rows: its rate points as :func:`splitbench.bench.analysis.latency.latency.timed` returns them.
        out: folder for the files; made where it is missing. Its earlier figures of these kinds are removed.
        question: latency has a panel for each of its drops and round trips, the winners one for each round trip.
        report: called with one sentence for each figure that is left out.

    Returns:
        The files written, SVG and PNG; the same table gives the same SVG.

    Raises:
        UserError: ``out`` cannot be written.
    """
    looks = styles(frame)
    files: list[Path] = []
    for kind in (_LATENCY, regions.KIND):
        pages.remove(out, kind)  # of an earlier question, which need not have had the same figures
    with drawing():
        for (dataset, backbone), here in rows.groupby(["dataset", "backbone"], sort=True):
            shown = [(drop, rtt) for drop in question.drops for rtt in question.rtts if (here["drop"] <= drop).any()]
            if shown:
                files += _draw_latency(here, looks, shown, question, out)
            else:
                report(f"no figure of latency for {backbone} on {dataset}: no rate point loses so little")
            files += regions.draw(here, looks, question, out)
    return files


def _draw_latency(
    rows: pd.DataFrame,
    looks: dict[tuple[str, str], Style],
    shown: Sequence[tuple[float, float]],
    question: Question,
    out: Path,
) -> list[Path]:
    first = rows.iloc[0]
    page = pages.new(len(shown))
    drawn: dict[str, Artist] = {}
    speeds = np.geomspace(question.slowest, question.fastest, 121)
    for axes, (drop, rtt) in zip(page.panels, shown, strict=True):
        drawn |= _panel(axes, rows[rows["drop"] <= drop], looks, rtt, speeds)
        axes.set_title(f"drop ≤ {drop:g} point{'s' * (drop != 1)}, round trip {rtt:g} ms", loc="left")
    page.figure.suptitle(heading("Latency against link speed", rows, len(shown)))
    best = Line2D([], [], **_BEST, label="the least")
    handles = [*(handle for _, handle in sorted(drawn.items())), best]
    pages.finish(
        page,
        SPEED_LABEL,
        "latency per image (ms)",
        [(f"{_LEGEND} the answer is wanted on the {question.answer}", handles)],
    )
    return pages.save(page, out, _LATENCY, first)


_LEGEND = "each method at its best split and rate point for the speed;"


def _panel(
    axes: Axes, fit: pd.DataFrame, looks: dict[tuple[str, str], Style], rtt: float, speeds: Numbers
) -> dict[str, Artist]:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(speeds[0], speeds[-1])
    drawn: dict[str, Artist] = {}
    lowest = np.full(len(speeds), np.inf)
    for place, (method, own) in enumerate(fit.groupby("method", sort=True)):
        least = np.min([latency_ms(own, Link(float(mbps), rtt)).to_numpy(float) for mbps in speeds], axis=1)
        lowest = np.minimum(lowest, least)
        look = looks[str(method), str(own["variant"].iloc[0])]
        # Markers of different methods at different speeds, or those of equal latencies would hide each other.
        line: dict[str, Any] = {"color": look.band, "marker": look.marker, "markevery": (2 + 3 * place % 18, 20)}
        axes.plot(speeds, least, **line, zorder=3)
        drawn[str(method)] = Line2D([], [], **line, label=str(method))
    axes.plot(speeds, lowest, **_BEST)
    ticks.set_log_ticks(axes, most=5)
    low, high = axes.get_ylim()
    ticks.fix_y(axes, ticks.log_ticks(low, high))
    return drawn

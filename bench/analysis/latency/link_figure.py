"""Figures of a what-if: latency against link speed per method, and the map of winning rate points."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from splitbench.bench.analysis.figures.panels.axes import log_ticks, set_log_ticks, set_ticks
from splitbench.bench.analysis.figures.panels.page import Page, new_page, remove_figures
from splitbench.bench.analysis.figures.panels.titles import set_heading
from splitbench.bench.analysis.figures.style import Looks, drawing, styles
from splitbench.bench.analysis.latency import region_map
from splitbench.bench.analysis.latency.end_to_end import Link, latency_ms
from splitbench.bench.analysis.latency.question import Answer, Question, always_on_device

_KIND = "latency-link"
_PLACE = ["dataset", "backbone"]
_LEAST: dict[str, Any] = {"color": "#cccccc", "linewidth": 4.0, "solid_capstyle": "round", "zorder": 1.6}


def draw_links(
    frame: pd.DataFrame,
    result: Answer,
    question: Question,
    out: Path,
    *,
    sent: Answer | None = None,
    report: Callable[[str], None] = lambda reason: None,
) -> list[Path]:
    """Draw latency against link speed, and the winning rate points over link speed and tolerated drop.

    Args:
        frame: the whole table, which styles are made from, so that methods look as in every other figure.
        result: the question's answer.
        question: latency has a panel for each of its drops and round trips, the map one for each round trip.
        out: the folder for the files; made where it is missing. Its earlier figures of these kinds are removed.
        sent: the answer without what runs wholly on the device. Its map is drawn where the device alone always wins:
            a map of one colour says nothing.
        report: called with one sentence for each figure that is left out.

    Returns:
        The files written, SVG and PNG; the same table yields the same SVG.

    Raises:
        UserError: ``out`` cannot be written.
    """
    for kind in (_KIND, region_map.KIND):
        remove_figures(out, kind)  # those of an earlier question, which need not have had the same figures
    with drawing():
        looks = styles(frame)
        drawn = [*_latencies(result.rows, looks, question, report), *_maps(result, sent, looks, question)]
        return [file for page in drawn for file in page.save(out)]


def _latencies(rows: pd.DataFrame, looks: Looks, question: Question, report: Callable[[str], None]) -> Iterator[Page]:
    for (dataset, backbone), here in rows.groupby(_PLACE, sort=True):
        if page := _draw_latency(here, looks, question):
            yield page
        else:
            report(f"no figure of latency for {backbone} on {dataset}: no rate point loses so little")


def _maps(result: Answer, sent: Answer | None, looks: Looks, question: Question) -> Iterator[Page]:
    if sent is not None and always_on_device(result):
        result, question = sent, replace(question, offload=True)
    for _, here in result.rows.groupby(_PLACE, sort=True):
        yield region_map.draw(here, looks, question)


def _draw_latency(rows: pd.DataFrame, looks: Looks, question: Question) -> Page | None:
    """Draw one backbone's latency; None where no rate point loses so little."""
    first = rows.iloc[0]
    shown = [(drop, rtt) for drop in question.drops for rtt in question.rtts if (rows["drop"] <= drop).any()]
    if not shown:
        return None
    page = new_page(_KIND, first, len(shown))
    drawn: dict[str, Artist] = {}
    speeds = np.geomspace(question.slowest, question.fastest, 121).tolist()
    for axes, (drop, rtt) in zip(page.panels, shown, strict=True):
        drawn |= _draw_panel(axes, rows[rows["drop"] <= drop], looks, [Link(mbps, rtt) for mbps in speeds])
        axes.set_title(f"drop ≤ {drop:g} point{'s' * (drop != 1)}, round trip {rtt:g} ms", loc="left")
    set_heading(page, "Latency against link speed", rows)
    handles = [*(handle for _, handle in sorted(drawn.items())), Line2D([], [], **_LEAST, label="the least")]
    text = "each method at its best split and rate point for the speed; "
    text += f"the answer is wanted on the {question.answer}"
    page.finish("link speed (Mbit/s)", "latency per image (ms)", [(text, handles)])
    return page


def _draw_panel(axes: Axes, rows: pd.DataFrame, looks: Looks, links: list[Link]) -> dict[str, Artist]:
    speeds = [link.mbps for link in links]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(speeds[0], speeds[-1])
    drawn: dict[str, Artist] = {}
    lowest = np.full(len(speeds), np.inf)
    for place, (method, own) in enumerate(rows.groupby("method", sort=True)):
        least = np.min([latency_ms(own, link).to_numpy(float) for link in links], axis=1)
        lowest = np.minimum(lowest, least)
        look = looks[str(method), str(own["variant"].iloc[0])]
        # Markers of different methods at different speeds, or those of equal latencies would hide each other.
        line: dict[str, Any] = {"color": look.band, "marker": look.marker, "markevery": (2 + 3 * place % 18, 20)}
        axes.plot(speeds, least, **line, zorder=3)
        drawn[str(method)] = Line2D([], [], **line, label=str(method))
    axes.plot(speeds, lowest, **_LEAST)
    set_log_ticks(axes, most=5)
    set_ticks(axes.yaxis, log_ticks(*axes.get_ylim()))
    return drawn

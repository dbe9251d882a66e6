"""The rate point with the least latency over link speed and tolerated drop: a map with a panel per round trip."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Patch, Rectangle

from splitbench.bench.analysis.compare.curves.front import splits_in_order
from splitbench.bench.analysis.figures.panels.axes import format_tick, set_ticks
from splitbench.bench.analysis.figures.panels.page import Page, new_page
from splitbench.bench.analysis.figures.panels.titles import set_heading
from splitbench.bench.analysis.figures.style import Looks
from splitbench.bench.analysis.latency.best import SPEEDS, regions
from splitbench.bench.analysis.latency.question import Question
from splitbench.bench.results.names import UNCUT

KIND = "least-latency"

_LETTERS = 5.4
_LINE = 1.25 * _LETTERS / 72
_PANEL_HEIGHT = 1.6
_NONE: dict[str, Any] = {"facecolor": "white", "edgecolor": "#bbbbbb", "hatch": "////", "linewidth": 0.0}
_UNCUT_WORDS = {"input": "picture", "output": "all on device"}


class Area(NamedTuple):
    """A rectangle in the plane of link speed (log10 Mbit/s) and tolerated drop (points) that one rate point wins."""

    row: int
    left: float
    right: float
    low: float
    high: float


def draw(rows: pd.DataFrame, looks: Looks, question: Question) -> Page:
    """Draw one backbone's map.

    Args:
        rows: one dataset's and backbone's rate points, as :func:`splitbench.bench.analysis.latency.end_to_end.timed`
            returns them.
        looks: :func:`splitbench.bench.analysis.figures.style.styles` of the whole table.
        question: there is a panel for each of its round trips; drops go up to three times the largest of its own.
    """
    rows = rows.reset_index(drop=True)
    first = rows.iloc[0]
    top = max(3 * max(question.drops), 1.0)
    # Where all wait for the same round trip, it decides nothing.
    matters = rows["trips"].nunique() > 1
    rtts = question.rtts if matters else question.rtts[:1]
    page = new_page(KIND, first, len(rtts))
    shades = _shades(rows)
    drawn: dict[str, Artist] = {}
    slowest, fastest = (float(np.log10(end)) for end in (question.slowest, question.fastest))
    decades = range(math.ceil(slowest - 1e-9), math.floor(fastest + 1e-9) + 1)
    for axes, rtt in zip(page.panels, rtts, strict=True):
        tiles = areas(rows, rtt, top, slowest=question.slowest, fastest=question.fastest)
        axes.set_xlim(slowest, fastest)
        axes.set_ylim(0, top)
        axes.grid(visible=False)
        axes.add_patch(Rectangle((slowest, 0), fastest - slowest, top, **_NONE, zorder=1))
        for tile in tiles:
            winner = rows.iloc[tile.row]
            method = str(winner["method"])
            colour = looks[method, str(winner["variant"])].band
            shade = _lighten(colour, shades[str(winner["split"])])
            box = (tile.left, tile.low), tile.right - tile.left, tile.high - tile.low
            # An edge of its own colour: between two tiles of one winner nothing must shine through.
            axes.add_patch(Rectangle(*box, facecolor=shade, edgecolor=shade, linewidth=0.3, zorder=2))
            drawn[method] = Patch(facecolor=_lighten(colour, 0.45), label=method)
        axes.add_collection(LineCollection(borders(tiles), colors="white", linewidths=0.7, zorder=3), autolim=False)
        _write_names(axes, rows, tiles, page.panel_width)
        if min((tile.low for tile in tiles), default=top) > 0:
            drawn["~"] = Patch(**_NONE, label="nothing loses so little")
        axes.set_title(f"round trip {rtt:g} ms" if matters else "any round trip", loc="left")
        set_ticks(axes.xaxis, list(decades), [format_tick(10.0**decade) for decade in decades])
    set_heading(page, "Least latency over link speed and tolerated drop", rows)
    darker = "the deeper a split, the darker; " * (len(splits_in_order(rows)) > 1)
    legend = (
        f"{darker}{'without what runs wholly on the device; ' * question.offload}the answer is wanted on the "
        f"{question.answer}",
        [handle for _, handle in sorted(drawn.items())],
    )
    page.finish("link speed (Mbit/s)", "tolerated drop (points)", [legend])
    return page


def areas(
    rows: pd.DataFrame, rtt: float, top: float, *, slowest: float = SPEEDS[0], fastest: float = SPEEDS[-1]
) -> list[Area]:
    """Return rectangles with one winner each, from a drop of 0 to ``top`` points; none where nothing loses so little.

    The rate points that may win change only at a drop that one of them has, so that the rectangles are exact.
    """
    steps = sorted({0.0, *(drop for drop in rows["drop"].tolist() if 0 < drop < top)})
    tiles: list[Area] = []
    for low, high in zip(steps, [*steps[1:], top], strict=True):
        fit = rows[rows["drop"] <= low]
        for begin, end, at in regions(fit.reset_index(drop=True), rtt, slowest, fastest):
            tiles.append(Area(int(fit.index[at]), float(np.log10(begin)), float(np.log10(end)), low, high))
    return tiles


def borders(tiles: Sequence[Area]) -> list[list[tuple[float, float]]]:
    """Return the lines between neighbouring tiles of different winners, each as its two ends."""
    lines = []
    for tile, other in itertools.permutations(tiles, 2):
        if tile.row == other.row:
            continue
        if tile.right == other.left and tile.low == other.low:
            lines.append([(tile.right, tile.low), (tile.right, tile.high)])
        left, right = max(tile.left, other.left), min(tile.right, other.right)
        if tile.high == other.low and left < right:
            lines.append([(left, tile.high), (right, tile.high)])
    return lines


def _write_names(axes: Axes, rows: pd.DataFrame, tiles: Sequence[Area], width: float) -> None:
    """Write each winner's split and rate point into its largest rectangle, where that has the room."""
    inch = width / (axes.get_xlim()[1] - axes.get_xlim()[0]), _PANEL_HEIGHT / axes.get_ylim()[1]
    for row in sorted({tile.row for tile in tiles}):
        place = _largest([tile for tile in tiles if tile.row == row], inch)
        winner = rows.iloc[row]
        split = _UNCUT_WORDS.get(str(winner["split"]), str(winner["split"]))
        rate = f"{winner['knob']}={winner['value']}"
        wide, tall = (place.right - place.left) * inch[0], (place.high - place.low) * inch[1]
        full = f"{split}\n{rate}\n{winner['variant']}".rstrip()
        middle = (place.left + place.right) / 2, (place.low + place.high) / 2
        for text, turned in itertools.product((full, f"{split}\n{rate}", f"{split} {rate}", split), (False, True)):
            lines = text.split("\n")
            long, high = max(map(len, lines)) * 0.58 * _LETTERS / 72 + 0.04, len(lines) * _LINE
            if (long < wide and high < tall) if not turned else (long < tall and high < wide):
                look: dict[str, Any] = {"rotation": 90 if turned else 0, "fontsize": _LETTERS, "zorder": 4}
                axes.text(*middle, text, ha="center", va="center", **look)
                break


def _largest(tiles: Sequence[Area], inch: tuple[float, float]) -> Area:
    """Return the largest rectangle within the tiles of one winner, which lie above one another or apart."""
    best, most = tiles[0], -1.0
    for start, tile in enumerate(tiles):
        left, right, high = tile.left, tile.right, tile.high
        for other in tiles[start:]:
            if other is not tile and other.low != high:
                continue
            left, right, high = max(left, other.left), min(right, other.right), other.high
            room = (right - left) * inch[0] * (high - tile.low) * inch[1]
            if right > left and room > most:
                best, most = Area(tile.row, left, right, tile.low, high), room
    return best


def _shades(rows: pd.DataFrame) -> dict[str, float]:
    """Return the share of a method's colour for each split: the deeper, the more."""
    splits = splits_in_order(rows)
    depth = np.linspace(0.3, 0.6, len(splits)) if len(splits) > 1 else [0.45] * len(splits)
    return dict.fromkeys(UNCUT, 0.45) | dict(zip(splits, map(float, depth), strict=True))


def _lighten(colour: str, share: float) -> str:
    red, green, blue = (1 - share * (1 - part) for part in to_rgb(colour))
    return to_hex((red, green, blue))

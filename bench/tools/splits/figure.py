"""Draw the size of the cut and the MACs done along a network."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from splitbench.bench.analysis.figures.panels.axes import log_ticks, set_ticks
from splitbench.bench.split.point import SplitPoint
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_macs

SENT, COMPUTED, HINT = (
    "#0072b2",
    "#d55e00",
    "#666666",
)  # Okabe and Ito: distinct in any colour vision, and in grey
MOST_NAMES = 40
_MIN_RANGE = 30
"""Minimum ratio of the ends of the size axis: it then has three ticks, and small differences look small."""


def plot(points: Sequence[SplitPoint], path: Path, title: str = "", input_bytes: int | None = None) -> None:
    """Draw the size of the cut (log scale) and the share of MACs done, along the network, into a PNG, PDF or SVG.

    Args:
        points: Split points in order of execution, at least one.
        path: The file to write; its suffix decides the format.
        title: The figure's title.
        input_bytes: Size of the input in float32, drawn as a line to compare with.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        make_figure(points, title, input_bytes).savefig(path)
    except (OSError, ValueError) as error:
        raise UserError(f"the figure cannot be written to {path} ({error})") from None


def make_figure(points: Sequence[SplitPoint], title: str = "", input_bytes: int | None = None) -> Figure:
    """Draw the figure without writing it; arguments as in :func:`plot`."""
    figure = Figure(figsize=(max(6.4, min(14.0, 1.5 + 0.3 * len(points))), 4.4), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)  # draws without a screen
    left = figure.subplots()
    right = left.twinx()
    places = range(len(points))
    total = points[0].macs_head + points[0].macs_tail or 1
    sizes = [p.bytes / 1000 for p in points]  # as `splitbench splits` lists them
    left.plot(places, sizes, color=SENT, marker="o", markersize=5, zorder=3)
    large = [i for i, p in enumerate(points) if p.larger_than_input]
    left.plot(large, [sizes[i] for i in large], "o", color="white", markeredgecolor=SENT, markersize=5, zorder=4)
    right.plot(
        places, [100 * p.macs_head / total for p in points], color=COMPUTED, linestyle="--", marker="s", markersize=4
    )
    if input_bytes:
        left.axhline(input_bytes / 1000, color=HINT, linewidth=0.9, linestyle=":")
    left.set_yscale("log")
    low, high = left.get_ylim()
    wider = max(1.0, _MIN_RANGE / (high / low)) ** 0.5  # cuts of one size, as in a ViT, span no range
    left.set_ylim(low / wider, high * wider)
    marks = log_ticks(*left.get_ylim(), most=6)
    set_ticks(left.yaxis, marks, [f"{mark:,.5g}" for mark in marks])
    left.set_ylabel("cut in float32, kB (circles)", color=SENT)
    right.set_ylabel(f"MACs done (squares),\n% of the whole network's {format_macs(total)}", color=COMPUTED)
    right.set_ylim(-3, 103)
    if input_bytes:
        title += "\ndotted: size of the input; open circles: larger than that"
    step = -(-len(points) // MOST_NAMES)
    left.set_xticks(
        list(places)[::step],
        [p.name for p in points][::step],
        rotation=60,
        ha="right",
        rotation_mode="anchor",
        fontsize=8,
    )
    left.set_xlabel("split point, in order of execution")
    left.grid(axis="y", alpha=0.25)
    for axis in (left, right):
        axis.spines["top"].set_visible(False)
    left.set_title(title, fontsize=9)
    return figure

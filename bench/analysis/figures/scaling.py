"""Draws how long sweeps take with more and more workers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from splitbench.bench.analysis.figures.drawing import drawing, save
from splitbench.bench.analysis.figures.page import COLUMN
from splitbench.bench.analysis.figures.style import GREY, RC
from splitbench.bench.analysis.figures.ticks import fix, fix_y, log_ticks

_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
_LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"), ("#CC79A7", "^"))


def draw(
    seconds: Mapping[str, Sequence[float]],
    workers: Sequence[int],
    enough: int,
    words: str,
    out: Path,
    real: Sequence[tuple[int, float]] = (),
) -> list[Path]:
    """Draw time against workers, both logarithmic, and what the first line would be if workers were all that counts.

    Args:
        seconds: By what the legend calls them, as many as there are ``workers``; the first is their sum.
        workers: How many, growing, beginning with 1.
        enough: From where on more hardly help; a line marks it.
        words: Above the figure.
        out: The file without its ending; SVG and PNG are written.
        real: Workers and seconds of runs, drawn as crosses.

    Raises:
        UserError: the files cannot be written.
    """
    first = next(iter(seconds.values()))
    unit, length = next(one for one in _UNITS if first[0] >= 2 * one[1] or one[1] == 1)
    with drawing():
        figure = Figure(figsize=(COLUMN, 3.1), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        figure.suptitle(words, fontsize=RC["axes.titlesize"])
        for (name, values), (colour, marker) in zip(seconds.items(), _LOOKS, strict=False):
            axes.plot(workers, [value / length for value in values], color=colour, marker=marker, label=name)
        ideal = [first[0] / length / count for count in workers]
        axes.plot(workers, ideal, color=GREY, linestyle=(0, (1, 1.2)), label="all workers always busy")
        axes.axvline(
            enough, color=GREY, linewidth=0.8, linestyle=(0, (6, 3)), label=f"{enough}: twice as many save < 10 %"
        )
        for index, (count, taken) in enumerate(real):
            label = "runs" if index == 0 else None
            axes.plot(count, taken / length, "x", color="black", markersize=8, markeredgewidth=1.5, label=label)
        axes.set_xscale("log")
        axes.set_yscale("log")
        fix(axes, list(workers))
        low, high = axes.get_ylim()
        fix_y(axes, log_ticks(low, high))
        axes.set_xlabel("workers")
        axes.set_ylabel(unit)
        figure.legend(loc="outside lower left", ncols=1)
        return save(figure, out.parent, out.stem)

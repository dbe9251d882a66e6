"""The time that sweeps take against the number of workers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from splitbench.bench.analysis.figures.panels.axes import log_ticks, set_ticks
from splitbench.bench.analysis.figures.panels.page import COLUMN, save
from splitbench.bench.analysis.figures.style import GREY, RC, drawing

_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
_LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"), ("#CC79A7", "^"))


def draw(
    seconds: Mapping[str, Sequence[float]],
    workers: Sequence[int],
    out: Path,
    *,
    enough: int,
    title: str,
    measured: Sequence[tuple[int, float]] = (),
) -> list[Path]:
    """Draw time against workers, both logarithmic, and the first line as it would be if all workers were always busy.

    Args:
        seconds: times for each number of ``workers``, by their names in the legend; the first is the sum of the others.
        workers: ascending numbers of workers, beginning with 1.
        out: the file without its ending; SVG and PNG are written.
        enough: the number of workers from which on more hardly help, marked by a line.
        title: the text above the figure.
        measured: workers and seconds of runs, drawn as crosses.

    Raises:
        UserError: the files cannot be written.
    """
    first = next(iter(seconds.values()))
    unit, length = next(unit for unit in _UNITS if first[0] >= 2 * unit[1] or unit[1] == 1)
    with drawing():
        figure = Figure(figsize=(COLUMN, 3.1), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        figure.suptitle(title, fontsize=RC["axes.titlesize"])
        for (name, values), (colour, marker) in zip(seconds.items(), _LOOKS, strict=False):
            axes.plot(workers, [value / length for value in values], color=colour, marker=marker, label=name)
        ideal = [first[0] / length / count for count in workers]
        axes.plot(workers, ideal, color=GREY, linestyle=(0, (1, 1.2)), label="all workers always busy")
        axes.axvline(
            enough, color=GREY, linewidth=0.8, linestyle=(0, (6, 3)), label=f"{enough}: twice as many save < 10 %"
        )
        for index, (count, taken) in enumerate(measured):
            label = "runs" if index == 0 else None
            axes.plot(count, taken / length, "x", color="black", markersize=8, markeredgewidth=1.5, label=label)
        axes.set_xscale("log")
        axes.set_yscale("log")
        set_ticks(axes.xaxis, list(workers))
        low, high = axes.get_ylim()
        set_ticks(axes.yaxis, log_ticks(low, high))
        axes.set_xlabel("workers")
        axes.set_ylabel(unit)
        figure.legend(loc="outside lower left", ncols=1)
        return save(figure, out.parent, out.stem)

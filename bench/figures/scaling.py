"""Draws how long sweeps take with more and more workers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from splitbench.bench.errors import UserError
from splitbench.bench.figures.drawing import drawing, lay_out
from splitbench.bench.figures.page import COLUMN
from splitbench.bench.figures.style import GREY, RC
from splitbench.bench.figures.ticks import fix, fix_y, log_ticks

_LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"), ("#CC79A7", "^"))


def draw(
    hours: Mapping[str, Sequence[float]], workers: Sequence[int], enough: int, words: str, out: Path
) -> list[Path]:
    """Draw hours against workers, both logarithmic, and what the first line would be if workers were all that counts.

    Args:
        hours: By what the legend calls them, as many as there are ``workers``; the first is their sum.
        workers: How many, growing, beginning with 1.
        enough: From where on more hardly help; a line marks it.
        words: Above the figure.
        out: The file without its ending; SVG and PNG are written.

    Raises:
        UserError: the files cannot be written.
    """
    files = [out.with_suffix(ending) for ending in (".svg", ".png")]
    with drawing():
        figure = Figure(figsize=(COLUMN, 3.1), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        figure.suptitle(words, fontsize=RC["axes.titlesize"])
        for (name, values), (colour, marker) in zip(hours.items(), _LOOKS, strict=False):
            axes.plot(workers, values, color=colour, marker=marker, label=name)
        first = next(iter(hours.values()))
        ideal = [first[0] / count for count in workers]
        axes.plot(workers, ideal, color=GREY, linestyle=(0, (1, 1.2)), label="all workers always busy")
        axes.axvline(
            enough, color=GREY, linewidth=0.8, linestyle=(0, (6, 3)), label=f"{enough}: twice as many save < 10 %"
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        fix(axes, list(workers))
        low, high = axes.get_ylim()
        fix_y(axes, log_ticks(low, high))
        axes.set_xlabel("workers")
        axes.set_ylabel("hours")
        figure.legend(loc="outside lower left", ncols=2)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            lay_out(figure)
            figure.savefig(files[0], metadata={"Date": None})
            figure.savefig(files[1])
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror}") from None
    return files

"""Figures that come out the same each time: whatever the user's matplotlibrc, and without chance in the layout."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from splitbench.bench.analysis.figures.style import RC
from splitbench.bench.utils.errors import UserError


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with matplotlib's defaults and ``style.RC``; restore the user's settings afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in RC.items():
            mpl.rcParams[name] = value
        yield


ENDINGS = (".svg", ".png")
"""Of the files that every figure ends up in."""


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Lays a figure out and writes it as SVG and PNG, without dates; makes the folder, and returns the files.

    Args:
        figure: the figure.
        folder: where the files go.
        name: theirs, without ending.

    Raises:
        UserError: the folder or a file cannot be written.
    """
    files = [folder / f"{name}{ending}" for ending in ENDINGS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lay_out(figure)
        figure.savefig(files[0], metadata={"Date": None})
        figure.savefig(files[1])
    except OSError as error:
        raise UserError(f"cannot write {folder / name}: {error.strerror}") from None
    return files


def lay_out(figure: Figure) -> None:
    """Places the panels for good, on a grid of a millionth of the page.

    The layout's solver orders its terms by their addresses in memory, so that the last digits of what it finds change
    from one call to the next, and with them the ids in an SVG.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))

"""Figures that come out the same each time: whatever the user's matplotlibrc, and without chance in the layout."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.figure import Figure

from splitbench.bench.figures.style import RC


@contextmanager
def drawing() -> Iterator[None]:
    """Within, matplotlib has its own defaults and :data:`splitbench.bench.figures.style.RC`; after, the user's."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in RC.items():
            mpl.rcParams[name] = value
        yield


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

"""Rate points within a panel: lines that end at its axes, whole markers, and arrows for what lies under the axis."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Transform

from splitbench.bench.analysis.compare.curves.interpolation import Numbers
from splitbench.bench.analysis.figures.style import arrow


def draw_points(axes: Axes, x: Numbers, y: Numbers, line: dict[str, Any], *, aside: Transform | None = None) -> None:
    """Draw rate points: the line through them ends at the axes, and markers are whole at their edges, too.

    Args:
        axes: the panel, with its limits set.
        x: the points' places along the x axis.
        y: likewise.
        line: keyword arguments of a matplotlib line.
        aside: moves all of it on the page.
    """
    at = axes.transData if aside is None else axes.transData + aside
    axes.plot(x, y, **(line | {"marker": "None"}), transform=at, zorder=3)
    inside = is_inside(axes, x, y)
    if not inside.any():
        return
    axes.plot(x[inside], y[inside], **(line | {"linestyle": "none"}), transform=at, clip_on=False, zorder=3.1)


def is_inside(axes: Axes, x: Numbers, y: Numbers) -> Any:
    """Return a mask of the points that lie within a panel's axes."""
    across, up = _on_panel(axes, x, y)
    return (across >= 0) & (across <= 1) & (up >= 0) & (up <= 1)


def mark_under(axes: Axes, x: Numbers, y: Numbers, colour: str, aside: Transform | None = None) -> bool:
    """Mark what lies under a panel's lower axis by arrows, and return whether there is anything.

    Args:
        axes: the panel, with its limits set.
        x: places along the x axis; those beyond its ends are left out.
        y: rate points, or the lower ends of their intervals; nan where there is none.
        colour: the arrows'.
        aside: moves them on the page.
    """
    across, up = _on_panel(axes, x, y)
    under = x[(up < 0) & (across >= 0) & (across <= 1)]
    if not len(under):
        return False
    edge = axes.get_xaxis_transform() if aside is None else axes.get_xaxis_transform() + aside
    look = arrow(270, colour)
    axes.plot(under, np.zeros(len(under)), **look, transform=edge, clip_on=False, zorder=4)
    return True


def _on_panel(axes: Axes, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Return places as shares of a panel, from its lower left corner."""
    if not len(x):
        return np.empty(0), np.empty(0)
    across, up = (axes.transScale + axes.transLimits).transform(np.column_stack([x, y])).T
    return across, up

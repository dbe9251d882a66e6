"""Placement within a panel: curves of equal costs side by side, and names where no marker covers them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from splitbench.bench.analysis.compare.curves.interpolation import Numbers
from splitbench.bench.analysis.figures.panels.fitting import fit, width
from splitbench.bench.analysis.figures.style import GREY

_NEAR = 1.5
"""Points of the page."""
_LETTERS = 5.6
_HEIGHT = 1.45
"""How many inches a panel is high at least."""


def offsets(axes: Axes, curves: Sequence[Numbers], inches: float) -> list[float]:
    """Return how many points of the page to the right of its costs each curve is drawn, so that all can be seen.

    Curves stay where they are unless they cost nearly the same as another one somewhere. Those that do stand around
    their cost, or to its right where it is 0, since nothing costs less.

    Args:
        axes: the panel, with its limits set.
        curves: the costs of each curve's points, in the axis' unit.
        inches: about how wide the panel is.
    """
    across = axes.transScale + axes.transLimits
    at = [72 * inches * across.transform(np.column_stack([x, np.ones(len(x))]))[:, 0] for x in curves]
    groups: list[list[int]] = []
    for i, own in enumerate(at):
        near = [group for group in groups if any(np.abs(at[j][:, None] - own).min() < _NEAR for j in group)]
        groups = [group for group in groups if group not in near] + [[*(j for group in near for j in group), i]]
    chosen = [0.0] * len(curves)
    for group in groups:
        step = min(_NEAR, 8 / len(group))
        from_zero = any((curves[i] == 0).any() for i in group)
        for place, i in enumerate(sorted(group, key=lambda i: (at[i].min(initial=np.inf), i))):
            chosen[i] = step * (place if from_zero else place - (len(group) - 1) / 2)
    return chosen


def name_splits(axes: Axes, places: dict[str, float], inches: float) -> None:
    """Mark where each split lies, with its name beside the line where no marker covers it, as low as can be.

    A name that has no room beside the others is left out.

    Args:
        axes: the panel, with its limits set and all else drawn.
        places: each split's cost, in the axis' unit.
        inches: about how wide the panel is.
    """
    drawn = _drawn(axes)
    page = np.array([inches, _HEIGHT])
    about = 2.5 / 72 / page
    named: list[tuple[Numbers, Numbers]] = []  # lower left and upper right corners
    for split, x in places.items():
        axes.axvline(x, color="#bbbbbb", linewidth=0.5, zorder=1)
        lines = fit(split, 0.9 * _HEIGHT, _LETTERS)
        size = np.array([1.3 * len(lines) * _LETTERS / 72, max(width(line, _LETTERS) for line in lines) + 0.03]) / page
        line = float((axes.transScale + axes.transLimits).transform((x, 1))[0])
        spots = [
            np.array([left, low])
            for low in np.linspace(0.04, max(0.97 - size[1], 0.04), 12)
            for left in (line - size[0], line)
        ]
        free = [
            spot
            for spot in spots
            if not any((spot < high).all() and (spot + size > low).all() for low, high in named)
            and -about[0] <= spot[0] <= 1 - size[0] + about[0]
        ]

        def covered(spot: Numbers, size: Numbers = size) -> float:
            inside = (drawn[:, :2] > spot - about) & (drawn[:, :2] < spot + size + about)
            return float(drawn[inside.all(1), 2].sum())

        if not free:
            continue
        spot = min(free, key=covered)
        named.append((spot, spot + size))
        before = spot[0] < line
        axes.annotate(
            "\n".join(lines),
            (x, spot[1]),
            xycoords=("data", "axes fraction"),
            xytext=(-1 if before else 1, 0),
            textcoords="offset points",
            fontsize=_LETTERS,
            rotation=90,
            ha="right" if before else "left",
            va="bottom",
            color=GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
            zorder=2.5,
        )


def _drawn(axes: Axes) -> Numbers:
    """Return points along all lines (n, 3): x and y as shares of the panel, and the cost of covering them."""
    drawn = []
    for line in axes.lines:
        x, y = axes.transAxes.inverted().transform(line.get_transform().transform(line.get_xydata())).T
        drawn.append(np.column_stack([x, y, np.full(len(x), 1000.0)]))
        between = np.linspace(0, len(x) - 1, 200 * (len(x) - 1) + 1)
        along = [np.interp(between, np.arange(len(x)), values) for values in (x, y)]
        drawn.append(np.column_stack([*along, np.ones(len(between))]))
    to_axes = axes.transData - axes.transAxes
    for bars in (item for item in axes.collections if isinstance(item, LineCollection)):
        for segment in bars.get_segments():
            ends = to_axes.transform(segment)
            drawn.append(np.column_stack([np.linspace(ends[0], ends[-1], 50), np.full(50, 5.0)]))
    return np.concatenate(drawn)

"""The ranges of axes and their ticks: round numbers, a few on every axis whatever its range."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from splitbench.bench.results.table import compressors

_DEEPEST = 12.0
"""Points below the baseline that are shown at least. What loses more is of little use; every curve's best is shown."""

_STEPS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9))


def limits(rows: pd.DataFrame) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges of bytes and of accuracy (%) in which compressors differ.

    Uncompressed tensors, labels and boxes may lie orders of magnitude away from everything else, and a one-bit code may
    lose everything: given axis, they would squeeze the rest into a corner. The intervals of what is shown are within,
    down to twice the depth of the points at most.
    """
    core = compressors(rows)
    base = float(rows["baseline"].iloc[0])
    best = float(core.groupby(["split", "method", "variant"])["accuracy"].max().min())
    floor = max(float(core["accuracy"].min()), min(base - _DEEPEST, best - 3.0))
    bottom, deepest = floor, floor - _DEEPEST
    while True:  # an interval's lower end brings further points into view, with intervals of their own
        shown = rows[rows["accuracy"] >= bottom]
        lowest = max(float(shown["accuracy_low"].fillna(bottom).min()), deepest)
        if not lowest < bottom:
            break
        bottom = lowest
    top = max(base, float(shown[["accuracy", "accuracy_high"]].max().max()))
    room = max(0.04 * (top - bottom), 1.0 - (top - bottom) / 2)
    bottom, top = max(bottom - room, -1.0), min(top + room, 102.0)

    seen = core.loc[core["accuracy"] >= bottom, "bytes_mean"]
    low, high = float(seen.min()), float(seen.max())
    # At least a factor of 3, so that a single size has round numbers on both sides.
    pad = max((high / low) ** 0.05, 1.15, math.sqrt(3 * low / high))
    return (low / pad, high * pad), (bottom, top)


def log_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers from ``low`` to ``high`` for a logarithmic axis: at least 3, at most ``most`` of them.

    >>> log_ticks(90, 120000)
    [100.0, 1000.0, 10000.0, 100000.0]
    >>> log_ticks(3000, 9000)
    [3000.0, 5000.0, 7000.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    best: list[float] = []
    for steps in _STEPS:
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [float(f"{tick:.6g}") for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) > most:
            # Even decades may be too many; a coarser set before this one may have had too few.
            return best if len(best) >= 2 else ticks[:: math.ceil(len(ticks) / most)]
        best = ticks
        if len(best) >= 3:
            break
    return best or [float(f"{math.sqrt(low * high):.3g}")]


def set_log_ticks(axes: Axes, most: int = 5) -> None:
    """Put round numbers on a logarithmic x axis."""
    low, high = axes.get_xlim()
    set_ticks(axes.xaxis, log_ticks(low, high, most))


def set_ticks(axis: Axis, ticks: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """Put exactly these ticks on an axis, labelled by :func:`format_tick` unless labels are given."""
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(FixedFormatter(list(labels) if labels else [format_tick(tick) for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def format_tick(number: float) -> str:
    """Format a number in few letters, by powers of 1000: ``500``, ``20k``, ``1.5M``.

    >>> [format_tick(n) for n in (0.05, 2, 1500, 1e5, 3e6)]
    ['0.05', '2', '1.5k', '100k', '3M']
    """
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g}{unit}"
    return f"{number:.3g}"


def format_bytes(count: float) -> str:
    """Format a number of bytes in few letters, by powers of 1000: ``2 B``, ``401 kB``, ``1.6 MB``.

    >>> [format_bytes(n) for n in (2, 999, 401408, 1605632, 2e9)]
    ['2 B', '999 B', '401 kB', '1.61 MB', '2 GB']
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.3g} B"


def format_sizes(counts: Iterable[float]) -> str:
    """Format numbers of bytes as :func:`format_bytes`: two of them, or the range of more.

    >>> format_sizes([401408, 2, 2]), format_sizes([8, 2, 4])
    ('2 B, 401 kB', '2 B to 8 B')
    """
    sizes = [format_bytes(count) for count in sorted(set(counts))]
    return ", ".join(sizes) if len(sizes) < 3 else f"{sizes[0]} to {sizes[-1]}"

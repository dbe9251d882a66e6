"""Where ticks go and what they say; every tick has a number, whatever the range."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

_STEPS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9))


def log_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high`` for a logarithmic axis: at least 3, at most ``most`` of them.

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
    """Round numbers on a logarithmic x axis."""
    low, high = axes.get_xlim()
    fix(axes, log_ticks(low, high, most))


def fix(axes: Axes, ticks: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """Puts exactly these ticks on the x axis."""
    _fix(axes.xaxis, ticks, labels)


def fix_y(axes: Axes, ticks: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """Puts exactly these ticks on the y axis."""
    _fix(axes.yaxis, ticks, labels)


def _fix(axis: Axis, ticks: Sequence[float], labels: Sequence[str] | None) -> None:
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(FixedFormatter(list(labels) if labels else [plain(tick) for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def plain(number: float) -> str:
    """A tick's number in few letters, powers of 1000: ``500``, ``20k``, ``1.5M``.

    >>> [plain(n) for n in (0.05, 2, 1500, 1e5, 3e6)]
    ['0.05', '2', '1.5k', '100k', '3M']
    """
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g}{unit}"
    return f"{number:.3g}"


def size(count: float) -> str:
    """Bytes in few letters, powers of 1000: ``2 B``, ``401 kB``, ``1.6 MB``.

    >>> [size(n) for n in (2, 999, 401408, 1605632, 2e9)]
    ['2 B', '999 B', '401 kB', '1.61 MB', '2 GB']
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.3g} B"

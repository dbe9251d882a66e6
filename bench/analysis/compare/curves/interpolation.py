"""Interpolates measured curves: bytes needed for a tolerated drop, accuracy within a byte budget.

A curve is read along its *envelope*: its rate points ordered by bytes, without those that cost more bytes than another
and are no more accurate. Between two neighbours of the envelope the logarithm of the bytes is taken as linear in the
drop, if the larger has at most four times the smaller's bytes: accuracy can break down anywhere in a wider gap. Nothing
is read outside the measured points, nor within such gaps:

* a drop below the smallest one measured is *not reached* and stays empty;
* where even the smallest rate point drops less than tolerated, that point's bytes are the answer, and an upper bound
  (``at most``): a lower rate might do, but was not measured;
* a drop that is tolerated in a gap takes the bytes of the gap's larger end, an upper bound likewise;
* a budget below the smallest rate point is not reached; one above the last, or in a gap, gets the accuracy of the last
  one before it, since nothing forces the sender to spend all.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splitbench.bench.results.names import CURVE, Row
from splitbench.bench.results.table import points

DROPS = (0.5, 1.0, 2.0)
"""Tolerated drops, in points of accuracy."""

BUDGETS = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
"""Bytes per image."""

FAR = 4.0
"""The largest ratio of the bytes of two neighbouring rate points between which curves are interpolated."""

Numbers = NDArray[np.float64]


class Reading(NamedTuple):
    """A value read off a curve (nan where not reached) and how it was read (empty where the curve has no values)."""

    value: float
    how: str


def envelope(size: Numbers, drop: Numbers) -> tuple[Numbers, Numbers]:
    """Return the undominated points of a curve: along them bytes strictly rise and the drop strictly falls.

    >>> envelope(np.array([100.0, 200.0, 300.0, 400.0]), np.array([9.0, 4.0, 5.0, 1.0]))
    (array([100., 200., 400.]), array([9., 4., 1.]))
    """
    along = _along_envelope(size, drop)
    return size[along], drop[along]


def _along_envelope(size: Numbers, drop: Numbers) -> NDArray[np.intp]:
    """Return the indices of the points of :func:`envelope`, by rising bytes."""
    known = np.flatnonzero(np.isfinite(size) & np.isfinite(drop) & (size > 0))
    order = known[np.lexsort((drop[known], size[known]))]
    best = np.minimum.accumulate(drop[order])
    along: NDArray[np.intp] = order[np.diff(best, prepend=np.inf) < 0]
    return along


def read_bytes(size: Numbers, drop: Numbers, tolerated: float) -> Reading:
    """Return the bytes at which a curve's drop is ``tolerated``; the module's docstring has the rules.

    Args:
        size: bytes per image of the rate points, in any order.
        drop: their drops, in points.
        tolerated: the drop to look up, in points.
    """
    size, drop = envelope(size, drop)
    if not len(size) or drop[-1] > tolerated:
        return Reading(np.nan, "not reached" if len(size) else "")
    if drop[0] <= tolerated:
        return Reading(float(size[0]), "measured" if drop[0] == tolerated else "at most")
    if tolerated in drop:
        return Reading(float(size[drop == tolerated][0]), "measured")
    after = int(np.flatnonzero(drop < tolerated)[0])
    if size[after] > FAR * size[after - 1]:
        return Reading(float(size[after]), "at most")
    value = np.exp(np.interp(tolerated, drop[::-1], np.log(size[::-1])))
    return Reading(float(value), "interpolated")


def read_drop(size: Numbers, drop: Numbers, budget: float) -> Reading:
    """Return the drop, in points, of a curve that may spend ``budget`` bytes per image."""
    size, drop = envelope(size, drop)
    if not len(size) or size[0] > budget:
        return Reading(np.nan, "not reached")
    value, between = _within(size, drop, budget)
    return Reading(value, "interpolated" if between else "measured")


def bytes_at_drops(frame: pd.DataFrame, drops: Sequence[float] = DROPS) -> pd.DataFrame:
    """Return the bytes per image that each curve needs for each tolerated drop.

    Returns:
        One row per curve and tolerated drop (points): ``bytes`` and ``how`` it was read (measured, interpolated, at
        most, or not reached); ``bytes_low``, ``how_low``, ``bytes_high`` and ``how_high``: the same read at the lower
        and upper ends of the drops' 95 % intervals, widened to hold ``bytes``; ``rate_points``: how many measured
        points the curve has; and ``seeds``: how many seeds each of these is a mean over, at least. What is *at most* is
        a bound: where ``how_low`` says so, the interval's lower end lies at ``bytes_low`` or anywhere below.
        ``bytes_high`` is empty where the upper end never comes down to the tolerated drop.
    """
    rows = []
    for name, curve in _curves(frame, ["bytes_mean", "drop", "drop_low", "drop_high", "seeds"]):
        size = curve["bytes_mean"]
        for tolerated in drops:
            middle, low, high = (read_bytes(size, curve[end], tolerated) for end in ("drop", "drop_low", "drop_high"))
            # A curve whose interval's ends cross another point's envelope can be read outside of both.
            low = middle if low.value > middle.value else low
            high = middle if high.value < middle.value else high
            rows.append((*name, float(tolerated), *middle, *low, *high, len(size), int(curve["seeds"].min())))
    ends = ["bytes_low", "how_low", "bytes_high", "how_high"]
    return pd.DataFrame(rows, columns=[*CURVE, "tolerated_drop", "bytes", "how", *ends, "rate_points", "seeds"])


def accuracy_at_budgets(frame: pd.DataFrame, budgets: Sequence[float] = BUDGETS) -> pd.DataFrame:
    """Return the accuracy that each curve reaches within each byte budget.

    Returns:
        One row per curve and budget (bytes per image): ``accuracy`` (%), ``drop`` (points), ``how`` (measured,
        interpolated or not reached), ``bytes`` that this accuracy takes (those of the rate point, or the budget where
        it lies between two), ``accuracy_low`` and ``accuracy_high``: the same reading of the 95 % interval's
        ends, on the same points; and ``seeds``: how many seeds each of its points is a mean over, at least.
    """
    rows = []
    for name, curve in _curves(frame, ["bytes_mean", "drop", "baseline", "accuracy_low", "accuracy_high", "seeds"]):
        size, drop, base = curve["bytes_mean"], curve["drop"], curve["baseline"][0]
        kept, seeds = _along_envelope(size, drop), int(curve["seeds"].min())
        for budget in budgets:
            reading = read_drop(size, drop, budget)
            spent, ends = np.nan, [np.nan, np.nan]
            if reading.how != "not reached":
                spent = float(budget if reading.how == "interpolated" else size[kept][size[kept] <= budget].max())
                ends = [_along(size[kept], curve[end][kept], budget) for end in ("accuracy_low", "accuracy_high")]
            rows.append((*name, float(budget), base - reading.value, reading.value, reading.how, spent, *ends, seeds))
    columns = [*CURVE, "budget", "accuracy", "drop", "how", "bytes", "accuracy_low", "accuracy_high", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def format_interval(row: Row) -> str:
    """Format the interval of a row of :func:`bytes_at_drops`; empty where it has none.

    An end that is only a bound is marked: ``≤ 30 to 102``, ``100 to ≤ 250``; ``≤ 30`` where both are the same bound.
    """
    if np.isnan(row["bytes_low"]):
        return ""
    bounds = row["how_low"] == "at most", row["how_high"] == "at most"
    low, high = (
        f"{'≤ ' * bound}{row[end]:,.0f}" for bound, end in zip(bounds, ("bytes_low", "bytes_high"), strict=True)
    )
    if np.isnan(row["bytes_high"]):
        return f"{low} to more than measured" if bounds[0] else f"{low} or more"
    return low if all(bounds) and row["bytes_low"] == row["bytes_high"] else f"{low} to {high}"


def intervals_apart(fewer: Row, more: Row) -> bool:
    """Return whether the interval of ``fewer`` ends below where that of ``more``, which needs more bytes, begins."""
    return bool(fewer["bytes_high"] < more["bytes_low"] and more["how_low"] != "at most")


def _curves(frame: pd.DataFrame, columns: list[str]) -> Iterator[tuple[tuple[str, ...], dict[str, Numbers]]]:
    for name, curve in points(frame).groupby(CURVE, sort=True):
        yield tuple(map(str, name)), {column: curve[column].to_numpy(float) for column in columns}


def _along(size: Numbers, values: Numbers, budget: float) -> float:
    known = np.isfinite(values)
    return _within(size[known], values[known], budget)[0] if known.any() else np.nan


def _within(size: Numbers, values: Numbers, budget: float) -> tuple[float, bool]:
    """Return the value that a budget reaches, by rising bytes, and whether it lies between two rate points."""
    before = max(int(np.searchsorted(size, budget, "right")) - 1, 0)
    near = before + 1 < len(size) and size[before + 1] <= FAR * size[before]
    if budget <= size[before] or not near:
        return float(values[before]), False
    return float(np.interp(np.log(budget), np.log(size), values)), True

"""The best rate point for each link: of those that lose no more than is tolerated, the one with the least latency.

Latency is a straight line in 1 / speed, so that the winners over all speeds are the lower envelope of lines, and the
speeds at which they take turns are exact, not read off a grid.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splitbench.bench.what_if.latency import PARTS, Link, latency_ms, send_ms

SPEEDS = tuple(float(f"{speed:.3g}") for speed in 10 ** np.linspace(-1, 2, 16))
"""Mbit/s that tables have rows for."""

SLOWEST, FASTEST = SPEEDS[0], SPEEDS[-1]

_NAMES = ("dataset", "backbone")
_OPTION = ("split", "method", "variant", "knob", "value", "bytes_mean", "accuracy", "drop")


class Region(NamedTuple):
    """The range of speeds (Mbit/s) in which the row of that position wins."""

    slowest: float
    fastest: float
    row: int


def regions(rows: pd.DataFrame, rtt: float, slowest: float = SLOWEST, fastest: float = FASTEST) -> list[Region]:
    """Who wins at which speed, from slow to fast; of equals the one that loses less.

    Args:
        rows: rate points of one dataset and backbone, as :func:`splitbench.bench.what_if.latency.timed` returns them.
        rtt: the round trip, in ms.
        slowest: Mbit/s from which to look.
        fastest: Mbit/s up to which to look.
    """
    if rows.empty:
        return []
    lines = _Lines(
        (rows["fixed_ms"] + rows["trips"] * rtt).to_numpy(float),
        rows["sent_bytes"].to_numpy(float) * 8 / 1000,
        rows["drop"].to_numpy(float),
    )
    inverse, row = 1 / slowest, lines.lowest_at(1 / slowest)
    found: list[Region] = []
    while True:
        until, successor = lines.next_below(row, inverse)
        if until <= 1 / fastest:
            return [*found, Region(1 / inverse, fastest, row)]
        found.append(Region(1 / inverse, 1 / until, row))
        inverse, row = until, successor


class _Lines(NamedTuple):
    """Latency of each rate point: ``at_once`` ms plus ``slope`` ms times 1 / Mbit/s."""

    at_once: NDArray[np.float64]
    slope: NDArray[np.float64]
    loss: NDArray[np.float64]

    def lowest_at(self, inverse: float) -> int:
        # Of equals the steepest: it is the lower one on faster links.
        return int(np.lexsort((self.loss, -self.slope, self.at_once + self.slope * inverse))[0])

    def next_below(self, row: int, inverse: float) -> tuple[float, int]:
        """The next smaller 1 / speed at which another line comes below, and which does; 0 where none does."""
        steeper = np.flatnonzero(self.slope > self.slope[row])
        where = (self.at_once[row] - self.at_once[steeper]) / (self.slope[steeper] - self.slope[row])
        ahead = (where > 0) & (where < inverse)
        if not ahead.any():
            return 0.0, row
        steeper, where = steeper[ahead], where[ahead]
        tied = where >= where.max() * (1 - 1e-12)
        steeper = steeper[tied]
        successor = np.lexsort((self.loss[steeper], self.at_once[steeper], -self.slope[steeper]))[0]
        return float(where.max()), int(steeper[successor])


def best(rows: pd.DataFrame, drops: Sequence[float], rtts: Sequence[float]) -> pd.DataFrame:
    """The best rate point for every tolerated drop, round trip and speed of :data:`SPEEDS`.

    Args:
        rows: as :func:`splitbench.bench.what_if.latency.timed` returns them, of any datasets and backbones.
        drops: tolerated drops, in points.
        rtts: round trips, in ms.

    Returns:
        One row per dataset, backbone, tolerated drop, ``rtt_ms`` and ``mbps``: the rate point, its ``latency_ms`` and
        the parts of it, and the latency of the best of another ``method`` (``next_method``, ``next_latency_ms``).
        Where no rate point loses so little there is no row.
    """
    found = []
    for (dataset, backbone), here in rows.groupby(list(_NAMES), sort=True):
        for drop in drops:
            fit = here[here["drop"] <= drop]
            for link in (Link(mbps, rtt) for rtt in rtts for mbps in SPEEDS):
                if len(fit):
                    place = {"dataset": dataset, "backbone": backbone, "tolerated_drop": drop, "rtt_ms": link.rtt}
                    found.append(place | {"mbps": link.mbps} | _fastest(fit, link))
    columns = [*_NAMES, "tolerated_drop", "rtt_ms", "mbps", *_OPTION, "latency_ms", *(f"{part}_ms" for part in PARTS)]
    return pd.DataFrame(found, columns=[*columns, "send_ms", "next_method", "next_latency_ms"])


def _fastest(fit: pd.DataFrame, link: Link) -> dict[str, object]:
    order = fit.assign(latency_ms=latency_ms(fit, link), send_ms=send_ms(fit, link))
    order = order.sort_values(["latency_ms", "drop"], kind="stable")
    one = order.iloc[0]
    others = order[order["method"] != one["method"]]
    told = {name: one[name] for name in (*_OPTION, "latency_ms", *(f"{part}_ms" for part in PARTS), "send_ms")}
    other = others.iloc[0] if len(others) else None
    return told | {
        "next_method": "" if other is None else other["method"],
        "next_latency_ms": np.nan if other is None else other["latency_ms"],
    }

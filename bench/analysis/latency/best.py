"""The best rate point for each link: of those that lose no more than is tolerated, the one with the least latency.

Times are medians and carry noise: latencies within :data:`TIED` of the least count as equal to it, and of equals the
one that sends fewest bytes wins, then the one that loses least.

Latency is linear in 1 / speed, so that the speeds at which a rate point comes within that of the least, or no longer
does, are exact, not read off a grid.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splitbench.bench.analysis.latency.end_to_end import PARTS, Link, latency_ms, send_ms
from splitbench.bench.results.names import Row

SPEEDS = tuple(float(f"{speed:.3g}") for speed in 10 ** np.linspace(-1, 2, 16))
"""The speeds in Mbit/s that tables always have rows for."""

TIED = 0.01
"""The share of the least latency by which others may exceed it and count as equal."""

_NAMES = ("dataset", "backbone")
_OPTION = ("split", "method", "variant", "knob", "value", "bytes_mean", "accuracy", "drop")


class Region(NamedTuple):
    """The range of speeds (Mbit/s) in which the row of that position wins."""

    slowest: float
    fastest: float
    row: int


def regions(rows: pd.DataFrame, rtt: float, slowest: float = SPEEDS[0], fastest: float = SPEEDS[-1]) -> list[Region]:
    """Return which rate point wins at which speed, from slow to fast; the module's docstring has the rules.

    Args:
        rows: rate points of one dataset and backbone, as :func:`splitbench.bench.analysis.latency.end_to_end.timed`
            returns them.
        rtt: the round trip, in ms.
        slowest: the lowest speed, in Mbit/s.
        fastest: the highest speed, in Mbit/s.
    """
    if rows.empty:
        return []
    # Latency is at_once ms, plus slope ms times the inverse of the speed in Mbit/s.
    at_once = (rows["fixed_ms"] + rows["trips"] * rtt).to_numpy(float)
    slope = rows["sent_bytes"].to_numpy(float) * 8 / 1000
    preferred = np.lexsort((at_once, rows["drop"].to_numpy(float), slope))
    since, until = (ends[preferred] for ends in _tied(at_once, slope))
    inverse = 1 / slowest
    won: list[Region] = []
    while inverse > 1 / fastest:
        # A hair faster, lest two ends that rounding alone keeps apart make a region.
        here = inverse * _HAIR
        winner = int(np.argmax((since < here) & (here <= until)))
        before = until[:winner][(until[:winner] < here) & (since[:winner] < until[:winner] * _HAIR)]
        stop = max(1 / fastest, since[winner], before.max(initial=0))
        won.append(Region(1 / inverse, 1 / stop, int(preferred[winner])))
        inverse = stop
    return won


_HAIR = 1 - 1e-12


def _tied(at_once: NDArray[np.float64], slope: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the range of 1 / speed in which each line is within :data:`TIED` of the lowest; (inf, inf) where nowhere.

    One range each, as each other line, raised by so much, bounds it on one side at most.
    """
    order = np.lexsort((slope, at_once))
    # It is enough to compare with the lines that no other one beats in both.
    lowest = order[np.diff(np.minimum.accumulate(slope[order]), prepend=np.inf) < 0]
    room = (1 + TIED) * at_once[lowest] - at_once[:, None]
    steeper = slope[:, None] - (1 + TIED) * slope[lowest]
    with np.errstate(divide="ignore", invalid="ignore"):
        meet = room / steeper
    until = np.where(steeper > 0, meet, np.inf).min(1)
    since = np.where(steeper < 0, meet, np.where((steeper == 0) & (room < 0), np.inf, 0)).max(1)
    return since, until


def best(
    rows: pd.DataFrame, drops: Sequence[float], rtts: Sequence[float], speeds: Sequence[float] = SPEEDS
) -> pd.DataFrame:
    """Return the best rate point for every tolerated drop, round trip and speed.

    Args:
        rows: as :func:`splitbench.bench.analysis.latency.end_to_end.timed` returns them, of any datasets and backbones.
        drops: tolerated drops, in points.
        rtts: round trips, in ms.
        speeds: of links, in Mbit/s.

    Returns:
        One row per dataset, backbone, tolerated drop, ``rtt_ms`` and ``mbps``: the rate point, its ``latency_ms`` and
        the parts of it, and the latency of the best of another ``method``, chosen alike (``next_method``,
        ``next_latency_ms``).
        Where no rate point loses so little there is no row.
    """
    table = []
    for (dataset, backbone), here in rows.groupby(list(_NAMES), sort=True):
        for drop in drops:
            fit = here[here["drop"] <= drop]
            links = [Link(mbps, rtt) for rtt in rtts for mbps in speeds] if len(fit) else []
            table += [_place(str(dataset), str(backbone), drop, link) | _fastest(fit, link) for link in links]
    return pd.DataFrame(table, columns=[*_PLACE, *_ANSWER, "next_method", "next_latency_ms"])


def best_per_split(
    rows: pd.DataFrame, drops: Sequence[float], rtts: Sequence[float], speeds: Sequence[float]
) -> pd.DataFrame:
    """Return the best rate point of each split for every drop, round trip and speed; arguments as :func:`best`.

    Returns:
        One row per dataset, backbone, tolerated drop, ``rtt_ms``, ``mbps`` and split, the best first, then by
        latency: the rate point, its ``latency_ms`` and the parts of it. ``input`` is where the picture is
        sent, ``output`` where everything runs on the device. A split at which no rate point loses so little has no row.
    """
    table = []
    for (dataset, backbone), here in rows.groupby(list(_NAMES), sort=True):
        for drop in drops:
            fit = here[here["drop"] <= drop]
            for link in (Link(mbps, rtt) for rtt in rtts for mbps in speeds):
                timed = _at(fit, link)
                winners = [_latency_columns(_winner(own)) for _, own in timed.groupby("split", sort=True)]
                place = _place(str(dataset), str(backbone), drop, link)
                first = _winner(timed)["split"] if winners else None
                winners.sort(key=lambda winner: (winner["split"] != first, winner["latency_ms"]))
                table += [place | winner for winner in winners]
    return pd.DataFrame(table, columns=[*_PLACE, *_ANSWER])


_PLACE = (*_NAMES, "tolerated_drop", "rtt_ms", "mbps")
_ANSWER = (*_OPTION, "latency_ms", *(f"{part}_ms" for part in PARTS), "send_ms")


def _place(dataset: str, backbone: str, drop: float, link: Link) -> dict[str, object]:
    return dict(zip(_PLACE, (dataset, backbone, drop, link.rtt, link.mbps), strict=True))


def _at(rows: pd.DataFrame, link: Link) -> pd.DataFrame:
    return rows.assign(latency_ms=latency_ms(rows, link), send_ms=send_ms(rows, link))


def _latency_columns(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in _ANSWER}


def _fastest(fit: pd.DataFrame, link: Link) -> dict[str, object]:
    rows = _at(fit, link)
    winner = _winner(rows)
    others = rows[rows["method"] != winner["method"]]
    second = _winner(others) if len(others) else {"method": "", "latency_ms": np.nan}
    return _latency_columns(winner) | {"next_method": second["method"], "next_latency_ms": second["latency_ms"]}


def _winner(rows: pd.DataFrame) -> Row:
    tied = rows[rows["latency_ms"] <= (1 + TIED) * rows["latency_ms"].min()]
    winner: Row = tied.sort_values(["sent_bytes", "drop", "latency_ms"], kind="stable").iloc[0]
    return winner

"""Which rate points are tested against each other: those of two methods that cost nearly the same bytes."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from splitbench.bench.analysis.compare.curves.bd import WITHIN, Anchor
from splitbench.bench.analysis.compare.curves.front import beside_every_split, undominated
from splitbench.bench.results.names import CURVE, Row

FACTOR = 1.25
"""The largest ratio of the bytes of two rate points that are compared."""


class Pair(NamedTuple):
    """Two rate points and the split that they are compared at."""

    at_split: str
    a: Row
    b: Row


def pairs(
    good: pd.DataFrame, anchor: Anchor | None = None, *, all_curves: bool = False, factor: float = FACTOR
) -> list[Pair]:
    """Return the pairs of rate points to test, per (dataset, backbone, split).

    By default every two methods are compared, each by its front: the rate points, of all its variants, that no other
    one of the method dominates in bytes and accuracy. Of two fronts or curves, those points are paired that are each
    other's nearest in bytes and whose bytes differ by at most ``factor``; pairs of which one loses more than
    :data:`WITHIN` points are left out, as nobody would choose it. Methods that send the picture are paired
    with others at every split, and with each other once, at ``input``.

    Args:
        good: single cells as :func:`splitbench.bench.results.table.points` returns them: one row per rate point.
        anchor: compare every curve with this one alone, as the second of each pair.
        all_curves: compare every two curves instead, variants of one method included.
        factor: see above, 1 or more.
    """
    return [
        pair
        for _, rows in good.groupby(["dataset", "backbone"], sort=True)
        for split, here in _places(rows)
        for a, b in _compared(here, anchor, all_curves)
        if split == "input" or set(a["split"]) | set(b["split"]) != {"input"}
        for pair in _nearest_points(split, a, b, factor)
        if max(pair.a["drop"], pair.b["drop"]) <= WITHIN
    ]


def _places(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    beside = beside_every_split(rows)
    for split, here in beside.groupby("at_split", sort=False):
        yield str(split), here
    pictures = rows[rows["split"] == "input"]
    if len(pictures) and "input" not in set(beside["at_split"]):
        yield "input", pictures


def _compared(
    here: pd.DataFrame, anchor: Anchor | None, all_curves: bool
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield what is compared at one split, two by two."""
    curves = {(str(name[3]), str(name[4])): curve for name, curve in here.groupby(CURVE, sort=True)}
    if all_curves:
        yield from combinations(curves.values(), 2)
    elif anchor is None:
        yield from combinations((_front(rows) for _, rows in here.groupby("method", sort=True)), 2)
    elif anchor in curves:
        yield from ((curve, curves[anchor]) for name, curve in curves.items() if name != anchor)


def _front(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[undominated(rows[["bytes_mean", "drop"]].to_numpy(float))]


def _nearest_points(split: str, a: pd.DataFrame, b: pd.DataFrame, factor: float) -> Iterator[Pair]:
    sizes = [np.log(curve["bytes_mean"].to_numpy(float)) for curve in (a, b)]
    distance = np.abs(np.subtract.outer(*sizes))
    for i, j in enumerate(distance.argmin(1)):
        if distance[:, j].argmin() == i and distance[i, j] <= np.log(factor) + 1e-12:
            yield Pair(split, a.iloc[i], b.iloc[j])

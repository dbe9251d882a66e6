"""Probability tables by channel and activity of the causal neighbours, fitted on calibration images.

A symbol's *row* is (its channel, its class of activity). There are more rows than images could fill: rows that are
distributed alike share a table, found by k-means on code lengths (Lloyd's algorithm with Kullback and Leibler's
divergence for a distance). How many tables there are follows from what symbols and tables take together.

Which table suits a row is decided by its counts and by symbols borrowed from the same class of channels that are as
active: a row of a deep layer, whose maps are small, has seen a handful of symbols or none.

    tables    frequencies of T tables, 2 bytes each      (``tables.py``)
    rows      the table of each row, (C, classes), 1 byte each
    context   the neighbours' weights and the classes' limits
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitbench.methods.base import MethodError
from splitbench.methods.coding.context import neighbours
from splitbench.methods.coding.context.neighbours import CLASSES, WEIGHTS, Maps, Neighbourhood
from splitbench.methods.coding.entropy.probability_tables import TOTAL, Tables

REVISION = 1
"""Of what tables are fitted, in the keys of cells."""

BUDGET = 2**16
"""Bytes that the tables of one tensor take at most."""

_NUMBERS_OF_TABLES = (1, 4, 16, 64, 256)
_ROUNDS = 12
_PRIOR = 2.0  # symbols, distributed as all together, that a table borrows
BORROWED = 64.0  # symbols, distributed as in channels as active, that a row borrows while tables are chosen
_ACTIVE_ALIKE = 16  # groups of channels as active
_UNSEEN = 0.5  # added to the count of what is outside of all supports
_BINS = 64  # of activity, from which classes are joined

_Counts = npt.NDArray[np.int64]
_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ContextTables:
    """Tables of one tensor with C channels: the neighbourhood that decides a symbol's class, and each row's table.

    Raises:
        MethodError: a row names a table that is not there, or limits are not in order, as in a damaged file.
    """

    context: Neighbourhood
    rows: npt.NDArray[np.uint8]
    tables: Tables

    def __post_init__(self) -> None:
        """Check what a damaged file could break."""
        weights, limits = self.context.weights, self.context.limits
        if self.rows.dtype != np.uint8 or self.rows.ndim != 2 or len(limits) > 2**8 - 1:
            raise MethodError("invalid context tables: fit or download them again")
        sound = len(weights) == len(WEIGHTS[0]) and all(0 <= weight < 16 for weight in weights)
        ordered = len(limits) == self.rows.shape[1] - 1 and list(limits) == sorted(limits)
        if not (sound and ordered and self.rows.size > 0 and int(self.rows.max()) < self.tables.groups):
            raise MethodError("invalid context tables: fit or download them again")

    def bits(self, maps: Maps) -> float:
        """Return the code length of maps (C, H, W) by the tables' probabilities, and of escapes' distances.

        Next to an escape the magnitude is taken from the symbol, where the coder takes the largest: bits more or less.
        """
        classes = self.context.lookup()[neighbours.activities(maps, np.array(self.context.weights))]
        table = self.rows[np.arange(len(maps))[:, None, None], classes].ravel()
        lengths = self.tables.lengths.astype(np.int64)[table]
        places = maps.ravel().astype(np.int64) - self.tables.lowest[table]
        outside = (places < 0) | (places >= lengths)
        frequencies = np.concatenate(self.tables.with_escapes())
        starts = self.tables.starts + np.arange(self.tables.groups)  # an escape behind each group
        bits = -np.log2(frequencies[starts[table] + np.where(outside, lengths, places)] / TOTAL).sum()
        beyond = np.where(places < 0, -2 * places - 1, 2 * (places - lengths))[outside] + 1
        return float(bits + (2 * np.floor(np.log2(beyond)) + 1).sum())

    def to_tensors(self, name: str = "") -> dict[str, Tensor]:
        """Return the arrays as tensors to store, with ``.name`` behind their names."""
        suffix = f".{name}" if name else ""
        context = {"weights": self.context.weights, "limits": self.context.limits}
        stored = {key + suffix: torch.tensor(value, dtype=torch.int32) for key, value in context.items()}
        return stored | {f"rows{suffix}": torch.from_numpy(self.rows)} | self.tables.to_tensors(name)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "ContextTables":
        """Restore the tables of :meth:`to_tensors`. Raises KeyError for missing ones, MethodError for invalid ones."""
        weights, limits = (tuple(tensors[key].tolist()) for key in ("weights", "limits"))
        return cls(Neighbourhood(weights, limits), tensors["rows"].numpy(), Tables.from_tensors(tensors))


class ContextCounts:
    """Counts symbols of calibration images, given twice: once to find the classes, once to fill the rows.

    Args:
        channels: C.
        lowest: symbols below are counted together with those above ``highest``: they will be escapes.
        highest: the largest symbol with a separate place.
    """

    def __init__(self, channels: int, lowest: int, highest: int) -> None:
        self.channels, self.lowest = channels, lowest
        self._size = highest - lowest + 2  # one place more for what is outside

    def classes(self, images: Iterable[Maps]) -> Neighbourhood:
        """Return the neighbourhood and its classes that leave symbols with the least entropy, all channels together."""
        counts = {weights: np.zeros((_BINS, self._size), np.int64) for weights in WEIGHTS}
        for maps in images:
            places = self._places(maps)
            for weights, histogram in counts.items():
                bins = _bin(neighbours.activities(maps, np.array(weights)), sum(weights))
                histogram += np.bincount((bins * self._size + places).ravel(), minlength=histogram.size).reshape(
                    histogram.shape
                )
        merged = {weights: joined(histogram, CLASSES) for weights, histogram in counts.items()}
        best = min(WEIGHTS, key=lambda weights: merged[weights][0])
        limits = edges(sum(best) * neighbours.LARGEST)
        return Neighbourhood(best, tuple(int(limits[last]) for last in merged[best][1]))

    def fit(self, context: Neighbourhood, images: Iterable[Maps]) -> ContextTables:
        """Tables for the rows of this neighbourhood. Raises MethodError where there are no images."""
        classes = len(context.limits) + 1
        counts = np.zeros((self.channels * classes, self._size), np.int64)
        lookup, weights = context.lookup(), np.array(context.weights)
        channel = np.arange(self.channels)[:, None, None] * classes
        for maps in images:
            rows = channel + lookup[neighbours.activities(maps, weights)]
            counts += np.bincount((rows * self._size + self._places(maps)).ravel(), minlength=counts.size).reshape(
                counts.shape
            )
        if not counts.any():
            raise MethodError("no calibration images: name some in the sweep's `calibration`")
        rows, together = shared(counts, counts + BORROWED * self._expected(counts))
        pmf = smoothed(together)
        tables = Tables.from_pmf(pmf[:, :-1], self.lowest, pmf[:, -1])
        return ContextTables(context, rows.reshape(self.channels, classes).astype(np.uint8), tables)

    def _expected(self, counts: _Counts) -> _Numbers:
        """Return the probabilities of a row's symbols by its class and by how active its channel is.

        What a group of channels has seen little of in a class is filled up with what all channels have there.
        """
        by_channel = counts.reshape(self.channels, -1, self._size)
        magnitudes = np.abs(np.arange(self._size) + self.lowest)
        symbols = by_channel.sum(1)
        mean = symbols @ magnitudes / np.maximum(symbols.sum(1), 1)
        group = np.empty(self.channels, np.int64)
        group[mean.argsort(kind="stable")] = np.arange(self.channels) * _ACTIVE_ALIKE // self.channels
        everywhere = smoothed(by_channel.sum(0))
        seen = _sums(by_channel, group, _ACTIVE_ALIKE)
        filled = (seen + BORROWED * everywhere) / (seen.sum(2, keepdims=True) + BORROWED)
        return np.asarray(filled[group].reshape(counts.shape), np.float64)

    def _places(self, maps: Maps) -> _Counts:
        places: _Counts = maps.astype(np.int64) - self.lowest
        places[(places < 0) | (places >= self._size - 1)] = self._size - 1
        return places


def edges(most: int) -> _Counts:
    """Return the highest activity of each bin up to the largest: one by one at first, then in steps that grow."""
    steps = np.round(np.geomspace(1, most + 1, _BINS) - 1).astype(np.int64)
    limits: _Counts = np.unique(np.maximum(steps, np.arange(_BINS)))
    return limits


def _bin(activities: npt.NDArray[np.int32], weight: int) -> _Counts:
    bins: _Counts = np.searchsorted(edges(weight * neighbours.LARGEST), activities, side="left").clip(0, _BINS - 1)
    return bins


def _entropy(counts: "npt.NDArray[np.int64]") -> _Numbers:
    """Bits that the symbols of each row take with a separate table."""
    totals = counts.sum(-1, keepdims=True)
    lengths = np.log2(np.maximum(totals, 1) / np.maximum(counts, 1))
    return np.asarray((counts * lengths).sum(-1), np.float64)


def joined(histogram: _Counts, classes: int) -> tuple[float, list[int]]:
    """Join bins to intervals of least entropy, by dynamic programming.

    Returns:
        The bits that all symbols take, and the last bin of each interval but the last.
    """
    used = int(np.flatnonzero(histogram.any(1)).max(initial=0)) + 1
    cumulated = np.concatenate([np.zeros_like(histogram[:1]), np.cumsum(histogram[:used], 0)])
    cost = np.full((used, used + 1), np.inf)
    for first in range(used):
        cost[first, first + 1 :] = _entropy(cumulated[first + 1 :] - cumulated[first])
    bits, ends = cost[0].copy(), [[0] * (used + 1)]
    for _ in range(min(classes, used) - 1):
        through = bits[:used, None] + cost
        ends.append(through.argmin(0).tolist())
        bits = through.min(0)
    chosen, last = [], used
    for back in reversed(ends[1:]):
        last = back[last]
        chosen.append(last - 1)
    return float(bits[used]), chosen[::-1]


def shared(counts: _Counts, borrowed: _Numbers) -> tuple[_Counts, _Counts]:
    """Return each row's table and each table's counts, for the number of tables that costs the fewest bits."""
    best: tuple[float, _Counts, _Counts] | None = None
    symbols = int(counts.any(0).sum())
    for number in _NUMBERS_OF_TABLES:
        if best is not None and number * symbols * 2 + len(counts) > BUDGET:
            break
        rows, together = _alike(counts, borrowed, number)
        bits = float(_entropy(together).sum()) + 16 * np.count_nonzero(together)
        if best is None or bits < best[0]:
            best = bits, rows, together
    if best is None:
        raise AssertionError("one table always fits")
    return best[1], best[2]


def _alike(counts: _Counts, borrowed: _Numbers, number: int) -> tuple[_Counts, _Counts]:
    """Group rows of similar distributions into at most ``number`` groups, by ``borrowed`` counts, and add up theirs."""
    mean = (borrowed * np.arange(borrowed.shape[1])).sum(1) / borrowed.sum(1)
    order = mean.argsort(kind="stable")
    weight = np.cumsum(np.sqrt(counts.sum(1)[order]))
    group = np.empty(len(counts), np.int64)
    group[order] = (weight / weight[-1] * number).astype(np.int64).clip(0, number - 1)
    for _ in range(_ROUNDS if number > 1 else 0):
        probable = smoothed(_sums(counts, group, number))
        lengths = -np.log2(np.maximum(probable, np.finfo(float).tiny))  # 0 for symbols that no row has
        group = (borrowed @ lengths.T).argmin(1)
    used, group = np.unique(group, return_inverse=True)
    return group, _sums(counts, group, len(used))


def _sums(counts: _Counts, group: _Counts, number: int) -> _Counts:
    sums = np.zeros((number, *counts.shape[1:]), np.int64)
    np.add.at(sums, group, counts)
    return sums


def smoothed(counts: _Counts) -> _Numbers:
    """Probabilities of each row's symbols, which borrow from those of all rows together."""
    together = counts.sum(0, dtype=np.float64)
    together[-1] += _UNSEEN
    row_totals = counts.sum(1, keepdims=True)
    return np.asarray((counts + _PRIOR * together / together.sum()) / (row_totals + _PRIOR))

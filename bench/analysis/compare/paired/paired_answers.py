"""Is the best answer to a question clear? Both curves' answers in bootstrap samples of the images, the same for both.

Each curve's accuracies were measured on the same images, so that most of the chance in either cancels: two answers can
differ significantly although their intervals overlap widely. Per-image records are needed.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splitbench.bench.analysis.compare.curves.interpolation import Numbers, read_bytes, read_drop
from splitbench.bench.analysis.image_records import read_records
from splitbench.bench.metrics import bootstrap
from splitbench.bench.metrics.records import Records
from splitbench.bench.results.names import CURVE, Row
from splitbench.bench.results.table import points

SHARE = 0.975
"""The share of samples in which the best must be ahead: one side of a 95 % interval of the difference."""

Better = Callable[[Numbers, Numbers, Numbers, Numbers], bool]
"""Whether the first curve's answer, from (bytes, drops) of its rate points, is better than the second curve's."""


def fewer_bytes(tolerated: float) -> Better:
    """Compare the bytes that two curves need for a tolerated drop in points; a bound is never known to be more."""

    def better(size: Numbers, drop: Numbers, other_size: Numbers, other_drop: Numbers) -> bool:
        mine, theirs = read_bytes(size, drop, tolerated), read_bytes(other_size, other_drop, tolerated)
        if np.isnan(mine.value):
            return False
        return bool(np.isnan(theirs.value)) or (theirs.how != "at most" and mine.value < theirs.value)

    return better


def more_accurate(budget: float) -> Better:
    """Compare the drops that two curves reach within a budget of bytes per image."""

    def better(size: Numbers, drop: Numbers, other_size: Numbers, other_drop: Numbers) -> bool:
        mine, theirs = read_drop(size, drop, budget).value, read_drop(other_size, other_drop, budget).value
        return not np.isnan(mine) and (bool(np.isnan(theirs)) or mine < theirs)

    return better


class PairedAnswers:
    """The drops of curves' rate points in bootstrap samples of the images, from the records beside a table.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        good = points(frame)
        self._points = {tuple(map(str, name)): rows for name, rows in good.groupby(CURVE, sort=False)}
        cells = frame[frame["status"] == "ok"]
        self._cells = {tuple(map(str, name)): rows for name, rows in cells.groupby(CURVE, sort=False)}
        self._drops: dict[tuple[str, ...], NDArray[np.float64] | None] = {}
        self._baselines: dict[tuple[str, ...], NDArray[np.float64] | None] = {}
        self._draws: dict[int, NDArray[np.uint8]] = {}
        self._smoothed = bool((frame["task"] == "classification").all())

    def clear(self, best: Row, other: Row, better: Better) -> bool | None:
        """Return whether ``best`` is better than ``other`` in at least :data:`SHARE` of the samples.

        Where two classifiers differ on few images, the bootstrap alone would claim too much: one image that only the
        one gets right and one that only the other does are drawn with the rest, as Agresti and Min (Statistics in
        Medicine 24, 2005) add them to the pairs' table. That comes close to McNemar's test.

        Args:
            best: a row that names a curve.
            other: likewise.
            better: what is compared.

        Returns:
            None where the records of either are missing, or are about different images.
        """
        names = [tuple(str(row[column]) for column in CURVE) for row in (best, other)]
        drops = [self._samples(name) for name in names]
        if drops[0] is None or drops[1] is None or len(set.union(*map(self._images, names))) > 1:
            return None
        if self._smoothed:
            images = float(self._points[names[0]]["images"].iloc[0])
            added = np.random.default_rng(1).poisson(1.0, (2, len(drops[0]), 1)) - 1
            drops = [drop - 100 * extra / images for drop, extra in zip(drops, added, strict=True)]
        sizes = [self._points[name]["bytes_mean"].to_numpy(float) for name in names]
        ahead = [better(sizes[0], mine, sizes[1], theirs) for mine, theirs in zip(*drops, strict=True)]
        return float(np.mean(ahead)) >= SHARE

    def _images(self, name: tuple[str, ...]) -> set[tuple[str, float]]:
        cells = self._cells[name]
        return set(zip(cells["fingerprint"], cells["images"], strict=True))

    def _samples(self, name: tuple[str, ...]) -> NDArray[np.float64] | None:
        """Return the drops of a curve's rate points, (samples, points); None without records."""
        if name not in self._drops:
            points = [self._point_drops(name, point) for _, point in self._points[name].iterrows()]
            known = [drops for drops in points if drops is not None]
            self._drops[name] = np.column_stack(known) if len(known) == len(points) else None
        return self._drops[name]

    def _point_drops(self, name: tuple[str, ...], point: Row) -> NDArray[np.float64] | None:
        """Return a rate point's drops, means over its seeds, (samples,); None without records."""
        cells = self._cells[name]
        seeds = cells[(cells["knob"] == point["knob"]) & (cells["value"] == point["value"])]
        drops = [self._cell_drops(cell) for _, cell in seeds.iterrows()]
        known = [drop for drop in drops if drop is not None]
        return np.asarray(np.mean(known, axis=0)) if len(known) == len(drops) else None

    def _cell_drops(self, cell: Row) -> NDArray[np.float64] | None:
        return self._hit_drops(cell) if cell["task"] == "classification" else self._ap_drops(cell)

    def _hit_drops(self, cell: Row) -> NDArray[np.float64] | None:
        """Return a classifier's drop in points; equal numbers of images draw equal samples."""
        records = read_records(cell, ("top1", "baseline_top1"))
        if records is None:
            return None
        lost = (records["baseline_top1"] == 1).astype(np.float32) - (records["top1"] == 1)
        images, changed = len(lost), np.flatnonzero(lost)
        if images not in self._draws:
            self._draws[images] = bootstrap.image_draws(images)
        whole = np.asarray(lost[changed] @ self._draws[images][changed], np.float64)  # exact in single precision, too
        return 100 * whole / images

    def _ap_drops(self, cell: Row) -> NDArray[np.float64] | None:
        place = tuple(str(cell[column]) for column in ("source", "fingerprint", "backbone"))
        if place not in self._baselines:
            names = [name if name.startswith("truth") else f"baseline_{name}" for name in bootstrap.REQUIRED]
            records = read_records(cell, names)
            self._baselines[place] = None if records is None else _average_precisions(records)
        baseline, measured = self._baselines[place], read_records(cell, ("samples",))
        return None if baseline is None or measured is None else baseline - measured["samples"]


def _average_precisions(records: Records) -> NDArray[np.float64]:
    return bootstrap.average_precisions({name.removeprefix("baseline_"): value for name, value in records.items()})

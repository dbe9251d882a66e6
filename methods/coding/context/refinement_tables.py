"""Tables for the refinement of symbols, fitted on calibration images.

As in ``context_tables.py``, classes are intervals of activity, and rows and classes that are alike share a table.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitbench.methods.coding.context.context_tables import BORROWED, edges, joined, shared, smoothed
from splitbench.methods.coding.context.neighbours import CLASSES, Maps
from splitbench.methods.coding.context.refinement_contexts import CHOICES, WEIGHTS, activities, choices, most, rows
from splitbench.methods.coding.entropy.probability_tables import TOTAL

_Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RefinementTables:
    """Tables of one refinement of one tensor with C channels.

    Attributes:
        weights: Of sides, corners and channels in the activity.
        limits: The highest activity of each class but the last, ascending.
        rows: The table of each row and class, uint8, (C + 2, classes).
        frequencies: Of the choices, at least 1 each and ``TOTAL`` together, uint16, (tables, CHOICES).
    """

    weights: npt.NDArray[np.int64]
    limits: npt.NDArray[np.int32]
    rows: npt.NDArray[np.uint8]
    frequencies: npt.NDArray[np.uint16]

    def lookup(self) -> npt.NDArray[np.uint8]:
        """Return the class of every activity that there can be."""
        return np.searchsorted(self.limits, np.arange(most(self.weights) + 1)).astype(np.uint8)

    def to_tensors(self, name: str) -> dict[str, Tensor]:
        """Return the arrays as tensors to store, with ``.name`` behind their names."""
        return {f"{key}.{name}": torch.from_numpy(getattr(self, key)) for key in self.__slots__}


def fit(channels: int, images: Callable[[], Iterable[Sequence[Maps]]]) -> list[RefinementTables]:
    """Return the tables of every refinement of a tensor.

    Args:
        channels: C.
        images: Yields each calibration image's symbols in all layers, (C, H, W), from the coarsest on; called twice.
    """
    histograms: list[_Histograms] = []
    for layers in images():
        histograms = histograms or [_Histograms() for _ in layers[1:]]
        for histogram, (coarse, fine) in zip(histograms, pairwise(layers), strict=True):
            histogram.add(coarse, fine)
    chosen = [histogram.best() for histogram in histograms]
    counted = [np.zeros((channels + 2, len(limits) + 1, CHOICES), np.int64) for _, limits in chosen]
    for layers in images():
        for counts, (weights, limits), (coarse, fine) in zip(counted, chosen, pairwise(layers), strict=True):
            classes = np.searchsorted(limits, activities(coarse, fine, weights))
            np.add.at(counts, (rows(coarse), classes, choices(coarse, fine)), 1)
    return [_tables(*how, counts) for how, counts in zip(chosen, counted, strict=True)]


class _Histograms:
    """The choices by activity, for all weights."""

    def __init__(self) -> None:
        self.weights = [np.array(weights, np.int64) for weights in WEIGHTS]
        self.edges = [edges(most(weights)) for weights in self.weights]
        self.counts = [np.zeros((len(limits), CHOICES), np.int64) for limits in self.edges]

    def add(self, coarse: Maps, fine: Maps) -> None:
        chosen = choices(coarse, fine)
        for weights, limits, counts in zip(self.weights, self.edges, self.counts, strict=True):
            np.add.at(counts, (np.searchsorted(limits, activities(coarse, fine, weights)), chosen), 1)

    def best(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return the weights, and limits of classes, that leave the choices with the least entropy."""
        found = [joined(counts, CLASSES) for counts in self.counts]
        index = min(range(len(found)), key=lambda i: found[i][0])
        return self.weights[index], self.edges[index][found[index][1]].astype(np.int32)


def _tables(weights: npt.NDArray[np.int64], limits: npt.NDArray[np.int32], counts: _Counts) -> RefinementTables:
    where_zero = smoothed(counts[:-2].sum(0))
    borrowed = counts + BORROWED * np.stack([*[where_zero] * (len(counts) - 2), *map(smoothed, counts[-2:])])
    table, together = shared(counts.reshape(-1, CHOICES), borrowed.reshape(-1, CHOICES))
    frequencies = 1 + (smoothed(together) * (TOTAL - CHOICES)).astype(np.int64)
    frequencies[np.arange(len(frequencies)), frequencies.argmax(1)] += TOTAL - frequencies.sum(1)
    return RefinementTables(
        weights, limits, table.reshape(counts.shape[:2]).astype(np.uint8), frequencies.astype(np.uint16)
    )

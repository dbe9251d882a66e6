"""Counting symbols of calibration images, and the tables that follow.

A group seen little borrows from the others: its probabilities are those of its counts and of ``PRIOR`` symbols
more that are distributed as all groups' together are.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitbench.methods.coding.entropy.probability_tables import Tables

PRIOR = 8.0

_UNSEEN = 0.5  # added to the count of what is outside of all supports


class Counts:
    """Histograms of the symbols of one tensor, for G groups.

    Symbols below ``lowest`` or above ``highest`` are counted together: they will be escapes.
    """

    def __init__(self, groups: int, lowest: int, highest: int) -> None:
        self.lowest = lowest
        self._size = highest - lowest + 2  # one place more for what is outside
        self.histogram: npt.NDArray[np.int64] = np.zeros((groups, self._size), np.int64)

    def add(self, symbols: Tensor) -> None:
        """Count symbols (..., G, N) of any integer dtype."""
        groups = len(self.histogram)
        places = symbols.long() - self.lowest
        places = torch.where((places < 0) | (places >= self._size), self._size - 1, places)
        offsets = torch.arange(groups, device=places.device)[:, None] * self._size
        counted = torch.bincount((places + offsets).flatten(), minlength=groups * self._size)
        self.histogram += counted.view(groups, self._size).cpu().numpy()

    def tables(self, prior: float = PRIOR) -> Tables:
        """Tables for what was counted. Every int32 symbol can be coded with them, seen or not."""
        together = self.histogram.sum(0, dtype=np.float64)
        together[-1] += _UNSEEN
        row_totals = self.histogram.sum(1, keepdims=True)
        mixed = (self.histogram + prior * together / together.sum()) / (row_totals + prior)
        mixed[:, -1] += _UNSEEN / (row_totals[:, 0] + 1)
        return Tables.from_pmf(mixed[:, :-1], self.lowest, mixed[:, -1])

    def bits(self) -> float:
        """Return what the counted symbols and the tables for them take together, in bits.

        That is the symbols' entropy in each group and, for each symbol that a group has, the 16 bits of its frequency:
        the smallest over several ways of grouping is the one worth its tables (Rissanen's two-part description length).
        """
        counts = self.histogram.astype(np.float64)
        totals = counts.sum(1, keepdims=True)
        entropy = (counts * np.log2(np.maximum(totals, 1) / np.maximum(counts, 1))).sum()
        return float(entropy + 16 * np.count_nonzero(counts))


def cheapest(ways: Iterable[Counts]) -> int:
    """Index of the counts of the same symbols, grouped in different ways, that take the fewest bits."""
    bits = [way.bits() for way in ways]
    return bits.index(min(bits))

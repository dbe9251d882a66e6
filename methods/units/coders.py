"""The two ways to code a unit's symbols, and the tables that each makes for one tensor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from splitbench.methods.coding.counts import Counts
from splitbench.methods.coding.entropy import RangeCoder
from splitbench.methods.coding.huffman import HuffmanCoder
from splitbench.methods.coding.tables import Symbols, Tables
from splitbench.methods.units.tensor_unit import TensorUnit

_BEYOND = 64
"""Symbols above the highest seen whose probability the escape gets."""
_LEAST = 1e-6


class Coder(Protocol):
    """Codes the symbols of all tensors of one image, (c, N) each, in one go."""

    def encode(self, symbols: Sequence[Symbols]) -> bytes:
        """One image's bytes."""
        ...

    def decode(self, data: bytes | memoryview, shapes: Sequence[tuple[int, int]]) -> list[Symbols]:
        """The symbols back. Raises BitstreamError for damaged bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """``tables`` makes the tables of a tensor from its trained unit and the symbols of training images."""

    build: Callable[[Sequence[Tables]], Coder]
    tables: Callable[[TensorUnit, Counts], Tables]


def _learned(unit: TensorUnit, counts: Counts) -> Tables:
    """A table per channel from the learned density, as far as any training image's symbols reach."""
    highest = int(np.flatnonzero(counts.histogram[:, :-1].sum(0)).max(initial=0))
    masses = unit.masses(0, highest + _BEYOND).cpu().numpy()
    escape = masses[:, highest + 1 :].sum(1) + _LEAST
    return Tables.from_pmf(masses[:, : highest + 1], 0, escape)


def _counted(unit: TensorUnit, counts: Counts) -> Tables:
    """One table over all channels from the training images' symbols."""
    together = Counts(1, counts.lowest, counts.lowest + counts.histogram.shape[1] - 2)
    together.histogram[:] = counts.histogram.sum(0)
    return together.tables()


CODERS: Mapping[str, Way] = {"range": Way(RangeCoder, _learned), "huffman": Way(HuffmanCoder, _counted)}
"""By the name in the settings."""

"""The two ways to code a unit's symbols, and the tables that each makes for one tensor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from splitbench.methods.coding.counts import Counts
from splitbench.methods.coding.entropy import RangeCoder
from splitbench.methods.coding.huffman import HuffmanCoder
from splitbench.methods.coding.tables import Symbols, Tables


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
    """``tables`` makes the tables of a tensor from its symbols in training images, counted by channel."""

    build: Callable[[Sequence[Tables]], Coder]
    tables: Callable[[Counts], Tables]


def _shared(counts: Counts) -> Tables:
    """One table for all channels."""
    together = Counts(1, counts.lowest, counts.lowest + counts.histogram.shape[1] - 2)
    together.histogram[:] = counts.histogram.sum(0)
    return together.tables()


CODERS: Mapping[str, Way] = {"range": Way(RangeCoder, Counts.tables), "huffman": Way(HuffmanCoder, _shared)}
"""By the name in the settings."""

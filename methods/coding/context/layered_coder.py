"""Codes maps of symbols in layers: coarse ones as ``context_coder.py`` does, then one refinement after another.

Intervals of a layer are three times as wide as those of the next one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from splitbench.methods.coding.context import refinement_tables
from splitbench.methods.coding.context.context_coder import ContextCoder
from splitbench.methods.coding.context.context_tables import ContextCounts, ContextTables
from splitbench.methods.coding.context.neighbours import Maps
from splitbench.methods.coding.context.refinement_coder import RefinementCoder
from splitbench.methods.coding.context.refinement_contexts import coarser
from splitbench.methods.coding.context.refinement_tables import RefinementTables


@dataclass(frozen=True, slots=True, eq=False)
class LayeredTables:
    """Tables of one tensor: of its base layer, and of each refinement."""

    base: ContextTables
    refinements: tuple[RefinementTables, ...]

    def to_tensors(self, name: str) -> dict[str, Tensor]:
        """Return the arrays as tensors to store, with ``.name`` and the layer behind their names."""
        stored = self.base.to_tensors(name)
        for layer, tables in enumerate(self.refinements, 2):
            stored |= tables.to_tensors(f"{name}.layer{layer}")
        return stored


def fit(channels: int, largest: int, layers: int, images: Callable[[], Iterable[Maps]]) -> LayeredTables:
    """Return the tables of a tensor, fitted to the symbols of images, (C, H, W).

    Args:
        channels: C.
        largest: The largest magnitude in the base layer.
        layers: How many there are.
        images: Yields the symbols of the last layer; called four times.

    Raises:
        MethodError: There are no images.
    """

    def first() -> Iterable[Maps]:
        return (coarser(maps, layers - 1) for maps in images())

    counts = ContextCounts(channels, -largest, largest)
    base = counts.fit(counts.classes(first()), first())
    return LayeredTables(base, tuple(refinement_tables.fit(channels, lambda: (_all(x, layers) for x in images()))))


def _all(maps: Maps, layers: int) -> list[Maps]:
    return [coarser(maps, times) for times in reversed(range(layers))]


class LayeredCoder:
    """Codes the tensors of a cut. It holds its tables alone until it codes."""

    def __init__(self, tables: Sequence[LayeredTables]) -> None:
        self._base = ContextCoder([tensor.base for tensor in tables])
        self._refinements = [RefinementCoder(each) for each in zip(*(t.refinements for t in tables), strict=True)]

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return 1 + len(self._refinements)

    def encode(self, symbols: Sequence[Maps]) -> list[bytes]:
        """Code one image's symbols of the last layer, int32 (C, H, W) for each tensor, into all layers."""
        layers = [*zip(*(_all(maps, self.layers) for maps in symbols), strict=True)]
        refined = zip(self._refinements, pairwise(layers), strict=True)
        return [self._base.encode(layers[0]), *(coder.encode(coarse, fine) for coder, (coarse, fine) in refined)]

    def decode(self, layers: Sequence[memoryview], shapes: Sequence[tuple[int, int, int]]) -> list[Maps]:
        """Return the symbols of the last of the layers that are given. Raises BitstreamError."""
        symbols = self._base.decode(layers[0], shapes)
        for coder, data in zip(self._refinements, layers[1:], strict=False):
            symbols = coder.decode(data, symbols)
        return symbols

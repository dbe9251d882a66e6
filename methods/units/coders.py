"""The entropy coders of a unit's symbols, and their tables as part of a unit's state.

The tables of two are counted when training ends, on training images. Those of the other two are fitted to calibration
images when a trained unit is deployed, so that such units share their training.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from splitbench.methods.coding.context import context_tables
from splitbench.methods.coding.context.context_coder import ContextCoder
from splitbench.methods.coding.context.context_tables import ContextCounts, ContextTables
from splitbench.methods.coding.context.neighbours import Maps
from splitbench.methods.coding.entropy.counts import Counts
from splitbench.methods.coding.entropy.huffman import HuffmanCoder
from splitbench.methods.coding.entropy.probability_tables import Symbols, Tables
from splitbench.methods.coding.entropy.range_coder import RangeCoder
from splitbench.methods.coding.mixing import mixing_model
from splitbench.methods.coding.mixing.mixing_coder import MixingCoder
from splitbench.methods.coding.mixing.mixing_model import MixingModel

HIGHEST_IN_TABLE = 1023
"""Larger symbols are coded by the coders' escapes."""

Stored = Mapping[str, Tensor]
"""The tables of one tensor."""


class Coder(Protocol):
    """Codes the symbols of all tensors of one image, (c, H, W) each, as one bitstream."""

    def encode(self, symbols: Sequence[Maps]) -> bytes:
        """Return the bytes of one image."""
        ...

    def decode(self, data: bytes | memoryview, shapes: Sequence[tuple[int, int, int]]) -> list[Maps]:
        """Return the symbols of tensors of these shapes. Raises BitstreamError for damaged bytes."""
        ...


@dataclass(frozen=True, slots=True)
class CoderKind:
    """How to make a coder.

    Attributes:
        build: Makes the coder of the tables of all tensors.
        count: Makes the tables that training ends with: of one tensor's symbols in training images, counted by channel.
        fit: Where not None, makes those that take their place in a deployment: of its symbols in calibration images.
        revision: Of what ``fit`` makes, in the keys of cells.
    """

    build: Callable[[Sequence[Stored]], Coder]
    count: Callable[[Counts], Tables] = Counts.tables
    fit: Callable[[Sequence[Maps]], Stored] | None = None
    revision: int = 0


class _ByChannel:
    """A coder of symbols (c, N), which ignores where they lie, as a coder of maps."""

    def __init__(self, coder: RangeCoder | HuffmanCoder) -> None:
        self.coder = coder

    def encode(self, symbols: Sequence[Maps]) -> bytes:
        return self.coder.encode([maps.reshape(len(maps), -1) for maps in symbols])

    def decode(self, data: bytes | memoryview, shapes: Sequence[tuple[int, int, int]]) -> list[Maps]:
        rows: list[Symbols] = self.coder.decode(data, [(c, height * width) for c, height, width in shapes])
        return [symbols.reshape(shape) for symbols, shape in zip(rows, shapes, strict=True)]


def _shared_table(counts: Counts) -> Tables:
    """One table for all channels."""
    together = Counts(1, counts.lowest, counts.lowest + counts.histogram.shape[1] - 2)
    together.histogram[:] = counts.histogram.sum(0)
    return together.tables()


def _context_tables(images: Sequence[Maps]) -> Stored:
    highest = min(max(int(maps.max(initial=0)) for maps in images), HIGHEST_IN_TABLE)
    counts = ContextCounts(len(images[0]), 0, highest)
    return counts.fit(counts.classes(images), images).to_tensors()


def _tables(stored: Iterable[Stored]) -> list[Tables]:
    return [Tables.from_tensors(tensors) for tensors in stored]


CODERS: Mapping[str, CoderKind] = {
    "range": CoderKind(lambda stored: _ByChannel(RangeCoder(_tables(stored)))),
    "huffman": CoderKind(lambda stored: _ByChannel(HuffmanCoder(_tables(stored))), _shared_table),
    "context": CoderKind(
        lambda stored: ContextCoder([ContextTables.from_tensors(tensors) for tensors in stored]),
        fit=_context_tables,
        revision=context_tables.REVISION,
    ),
    "mixing": CoderKind(
        lambda stored: MixingCoder([MixingModel.from_tensors(tensors) for tensors in stored]),
        fit=lambda images: mixing_model.fit(images).to_tensors(),
    ),
}
"""By the value of the setting ``coder``."""


class StoredTables(nn.Module):
    """Tables for each tensor of a cut as buffers ``<tensor>_<name>``; loading a state accepts tables of any size."""

    def put(self, tables: Sequence[Mapping[str, Tensor]]) -> None:
        """Replace all tables."""
        for name in list(self._buffers):
            delattr(self, name)
        for index, tensors in enumerate(tables):
            for name, tensor in tensors.items():
                self.register_buffer(f"{index}_{name}", tensor)

    def get(self) -> list[dict[str, Tensor]]:
        """Return the tables for each tensor of the cut, on the CPU; an empty list before any were put."""
        tables: dict[int, dict[str, Tensor]] = {}
        for key, tensor in self._buffers.items():
            index, _, name = key.partition("_")
            if tensor is not None:
                tables.setdefault(int(index), {})[name] = tensor.cpu()
        return [tables[index] for index in sorted(tables)]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name in list(self._buffers):
            delattr(self, name)
        for key, tensor in state_dict.items():
            if key.startswith(prefix):
                self.register_buffer(key.removeprefix(prefix), tensor.clone())
        super()._load_from_state_dict(state_dict, prefix, *others)

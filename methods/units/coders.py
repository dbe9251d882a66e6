"""The entropy coders of a unit's symbols, and their tables as part of a unit's state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from splitbench.methods.coding.counts import Counts
from splitbench.methods.coding.entropy import RangeCoder
from splitbench.methods.coding.huffman import HuffmanCoder
from splitbench.methods.coding.tables import Symbols, Tables


class Coder(Protocol):
    """Codes the symbols of all tensors of one image, (c, N) each, as one bitstream."""

    def encode(self, symbols: Sequence[Symbols]) -> bytes:
        """Return the bytes of one image."""
        ...

    def decode(self, data: bytes | memoryview, shapes: Sequence[tuple[int, int]]) -> list[Symbols]:
        """Return the symbols of tensors of these shapes. Raises BitstreamError for damaged bytes."""
        ...


@dataclass(frozen=True, slots=True)
class CoderKind:
    """How to make a coder.

    Attributes:
        build: Makes the coder of the tables of all tensors.
        tables: Makes the tables of one tensor from its symbols in training images, counted by channel.
    """

    build: Callable[[Sequence[Tables]], Coder]
    tables: Callable[[Counts], Tables]


def _shared_table(counts: Counts) -> Tables:
    """One table for all channels."""
    together = Counts(1, counts.lowest, counts.lowest + counts.histogram.shape[1] - 2)
    together.histogram[:] = counts.histogram.sum(0)
    return together.tables()


CODERS: Mapping[str, CoderKind] = {
    "range": CoderKind(RangeCoder, Counts.tables),
    "huffman": CoderKind(HuffmanCoder, _shared_table),
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

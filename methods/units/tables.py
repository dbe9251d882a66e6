"""Integer tables of a coder as part of a module's state, whatever their sizes."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn


class StoredTables(nn.Module):
    """Tables for each tensor of a cut, as buffers ``<tensor>_<name>``; loading a state takes whatever it holds."""

    def put(self, tables: Sequence[Mapping[str, Tensor]]) -> None:
        """Replace all tables."""
        for name in list(self._buffers):
            delattr(self, name)
        for index, tensors in enumerate(tables):
            for name, tensor in tensors.items():
                self.register_buffer(f"{index}_{name}", tensor)

    def get(self) -> list[dict[str, Tensor]]:
        """The tables for each tensor of the cut, on the CPU; an empty list before any were put."""
        found: dict[int, dict[str, Tensor]] = {}
        for key, tensor in self._buffers.items():
            index, _, name = key.partition("_")
            if tensor is not None:
                found.setdefault(int(index), {})[name] = tensor.cpu()
        return [found[index] for index in sorted(found)]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name in list(self._buffers):
            delattr(self, name)
        for key, tensor in state_dict.items():
            if key.startswith(prefix):
                self.register_buffer(key.removeprefix(prefix), tensor.clone())
        super()._load_from_state_dict(state_dict, prefix, *others)

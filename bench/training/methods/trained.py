"""What was trained for rate points: weights and a report per training, in a run's folder or shipped with the project.

    <folder>/<key>.safetensors   the trained tensors, tables included
    <folder>/<key>.json          what was trained, on how much data, for how long, and the learning curve
    <folder>/<key>*.checkpoint   the state of a training that has not ended

A training's key is a hash of all that its weights follow from, and of no evaluation image: cells on several datasets
share trainings.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from splitbench.bench.sweep.schema import Cell
from splitbench.bench.training.methods.bundled import PACKED, SHIPPED, contents
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import read_json, write_whole


@dataclass(frozen=True)
class Training:
    """One training that a cell needs: its key, what that is made of, and the key of the one that it begins with."""

    cell: Cell
    key: str
    ingredients: Mapping[str, Any]
    neighbour: str | None


@dataclass(frozen=True)
class Trainings:
    """Trainings in ``folder``, and in ``shipped`` where one is given."""

    folder: Path
    shipped: Path | None = SHIPPED

    def has(self, key: str) -> bool:
        """Whether the training is there, finished."""
        return self._found(key) is not None

    def weights(self, key: str) -> dict[str, Tensor]:
        """The trained tensors. Raises UserError where they are missing or damaged."""
        path = self._found(key)
        if path is None:
            raise UserError(f"no trained weights {key} in {self.folder}")
        try:
            tensors: dict[str, Tensor] = load(contents(path))
            return tensors
        except Exception as error:  # safetensors raises its own and several of Python's
            raise UserError(f"{path} is damaged ({error}): delete it, and it is trained again") from None

    def report(self, key: str) -> dict[str, Any]:
        """What was written about the training; an empty dict where that is missing."""
        path = self._found(key)
        content = read_json(path.parent / f"{key}.json") if path else None
        return content if isinstance(content, dict) and _rows(content.get("history", [])) else {}

    def checkpoint(self, key: str) -> Path:
        """Where an unfinished training keeps its state."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{key}.checkpoint"

    def put(self, key: str, weights: Mapping[str, Tensor], report: Mapping[str, Any]) -> None:
        """Store a finished training: the report first, so that weights are never there without one.

        Raises:
            UserError: no room, or no permission; the checkpoint stays.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / f"{key}.json", json.dumps(report, indent=1).encode())
            write_whole(self.folder / f"{key}.safetensors", save(tensors))
        except OSError as error:
            raise UserError(
                f"cannot write trained weights to {self.folder} ({error.strerror}): make room and run again; the "
                "training's checkpoint is kept, so that only this is repeated"
            ) from None
        for path in self.folder.glob(f"{key}*.checkpoint"):
            path.unlink(missing_ok=True)

    def _found(self, key: str) -> Path | None:
        places = [self.folder / f"{key}.safetensors"]
        if self.shipped is not None:
            places.append(self.shipped / f"{key}{PACKED}")
        return next((path for path in places if path.is_file()), None)


def _rows(history: object) -> bool:
    """Whether it is a learning curve: rows of numbers."""
    return isinstance(history, list) and all(
        isinstance(row, dict) and all(isinstance(value, int | float) for value in row.values()) for row in history
    )

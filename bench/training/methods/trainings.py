"""What was trained for rate points: weights and a report per training, in a run's folder or bundled with the project.

    <folder>/<key>.safetensors   the trained tensors, tables included
    <folder>/<key>.json          what was trained, on how much data, for how long, and the learning curve
    <folder>/<key>*.checkpoint   the state of an unfinished training

A training's key is a hash of everything that its weights follow from, and of no evaluation image: cells on several
datasets share trainings.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from splitbench.bench.sweep.cells import Cell
from splitbench.bench.training import Report
from splitbench.bench.training.methods import bundled
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import file_word, read_json, write_file

CURVES = "learning"
"""The folder of a run's learning curves."""


@dataclass(frozen=True)
class Training:
    """One training that a cell needs.

    Attributes:
        cell: The first cell that needs it.
        key: A hash of ``ingredients``.
        ingredients: What the weights follow from.
        neighbour: The key of the training whose weights it begins with, if any.
    """

    cell: Cell
    key: str
    ingredients: Mapping[str, Any]
    neighbour: str | None


@dataclass(frozen=True)
class Trainings:
    """Finished trainings in ``folder`` and, with ``bundled``, those that come with the project."""

    folder: Path
    bundled: bool = True

    def has(self, key: str) -> bool:
        """Return whether the training is finished."""
        return self._path(key) is not None

    def weights(self, key: str) -> dict[str, Tensor]:
        """Return the trained tensors. Raises UserError where they are missing or damaged."""
        path = self._path(key)
        if path is None:
            raise UserError(f"no trained weights {key} in {self.folder}")
        try:
            return bundled.read(path) if path.parent == bundled.FOLDER else load_file(path)
        except Exception as error:  # safetensors raises its own and several of Python's
            raise UserError(f"{path} is damaged ({error}): delete it, and it is trained again") from None

    def report(self, key: str) -> dict[str, Any]:
        """Return what was written about the training; an empty dict where that is missing or damaged."""
        path = self._path(key)
        content = read_json(path.parent / f"{key}.json") if path else None
        return content if isinstance(content, dict) and _is_history(content.get("history", [])) else {}

    def checkpoint(self, key: str) -> Path:
        """Return the file of an unfinished training's state; makes its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{key}.checkpoint"

    def save(self, key: str, weights: Mapping[str, Tensor], report: Mapping[str, Any]) -> None:
        """Store a finished training: the report first, so that weights are never there without one.

        Raises:
            UserError: no room, or no permission; the checkpoint stays.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        advice = "make room and run again; the training's checkpoint is kept, so that only this is repeated"
        write_file(self.folder / f"{key}.json", json.dumps(report, indent=1), advice)
        write_file(self.folder / f"{key}.safetensors", save(tensors), advice)
        for path in self.folder.glob(f"{key}*.checkpoint"):
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path | None:
        paths = [self.folder / f"{key}.safetensors"]
        if self.bundled:
            paths.append(bundled.FOLDER / f"{key}{bundled.SUFFIX}")
        return next((path for path in paths if path.is_file()), None)


def write_learning_curve(
    run: Path, cell: Cell, report: Mapping[str, Any], *, seeds: int = 1, shared: bool = False
) -> None:
    """Write the learning curve of a cell that something was trained for, in a sweep of so many seeds.

    The file is ``<run>/learning/<dataset>/<backbone>/<split>/<method>/<variant>/<knob>=<value>[+seed=<seed>].csv``, so
    that figures can be drawn from the files alone. A training that rate points share has one file, ``<knob>=all.csv``.

    Raises:
        TrainingError: it cannot be written.
    """
    history = report.get("history")
    if not history:
        return
    words = (cell.dataset_label, cell.backbone_label, cell.split, cell.method, cell.variant or "default")
    folder = Path(run, CURVES, *map(file_word, words))
    point = f"{cell.knob}={'all' if shared else cell.value}" + (f" seed={cell.seed}" if cell.seed or seeds > 1 else "")
    Report(history=list(history)).write_csv(folder / f"{file_word(point)}.csv")


def _is_history(content: object) -> bool:
    """Return whether it is a learning curve: rows of numbers."""
    return isinstance(content, list) and all(
        isinstance(row, dict) and all(isinstance(value, int | float) for value in row.values()) for row in content
    )

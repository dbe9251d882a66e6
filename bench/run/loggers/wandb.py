"""Weights & Biases: measures of trainings over epochs, and a table of all rows; offline unless WANDB_MODE says else."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
import yaml

_PROJECT = "splitbench"


class WandbLogger:
    """Logs into one run.

    Args:
        folder: The run's folder, whose name the run gets; files lie in ``wandb`` below it.
        sweep: The sweep as YAML, which becomes the run's configuration.
    """

    def __init__(self, folder: Path, sweep: str) -> None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=folder.resolve().name,
            dir=str(folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=yaml.safe_load(sweep),
            settings=wandb.Settings(silent=True),
        )
        self._rows: list[Mapping[str, Any]] = []
        self._trainings: set[str] = set()

    def log_scalars(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """See the protocol. The epochs of several trainings cannot share the run's single counter."""
        if name not in self._trainings:
            self._trainings.add(name)
            self._run.define_metric(f"{name}/epoch")
            self._run.define_metric(f"{name}/*", step_metric=f"{name}/epoch")
        self._run.log({f"{name}/epoch": step, **{f"{name}/{measure}": value for measure, value in values.items()}})

    def log_row(self, row: Mapping[str, Any]) -> None:
        """See the protocol."""
        self._rows.append(row)

    def close(self) -> None:
        """See the protocol; a table is logged whole."""
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        rows = [[row.get(name) for name in columns] for row in self._rows]
        if rows:
            self._run.log({"results": wandb.Table(columns=columns, data=rows, allow_mixed_types=True)})
        self._run.finish()


def open_logger(folder: Path, sweep: str) -> WandbLogger:
    """Open a logger that writes into ``wandb`` in the run's folder, or where the environment says."""
    return WandbLogger(folder, sweep)

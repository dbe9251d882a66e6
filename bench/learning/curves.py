"""The learning curves of a run's rate points as CSVs, named so that figures can be drawn from them alone.

<run>/learning/<dataset>/<backbone>/<split>/<method>/<variant>/<knob>=<value>.csv
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from splitbench.bench.sweep import Cell
from splitbench.bench.training import Report

FOLDER = "learning"


def write(run: Path, cell: Cell, report: Mapping[str, Any]) -> None:
    """Write the curve of a cell that something was trained for. Raises TrainingError where it cannot be written."""
    history = report.get("history")
    if not history:
        return
    words = (cell.dataset_label, cell.backbone_label, cell.split, cell.method, cell.variant or "default")
    folder = Path(run, FOLDER, *(_plain(word) for word in words))
    Report(history=list(history)).write_csv(folder / f"{_plain(f'{cell.knob}={cell.value}')}.csv")


def _plain(word: str) -> str:
    """A word as a part of a path; never one that leads elsewhere, as two dots do."""
    plain = re.sub(r"[^\w.=-]+", "-", word.replace("/", "--"))
    return plain if plain.strip(".") else "-"

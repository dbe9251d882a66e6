"""The learning curves of a run's rate points as CSVs, named so that figures can be drawn from them alone.

<run>/learning/<dataset>/<backbone>/<split>/<method>/<variant>/<knob>=<value>[+seed=<seed>].csv
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from splitbench.bench.sweep.schema import Cell
from splitbench.bench.training import Report
from splitbench.bench.utils.files import file_word

FOLDER = "learning"


def write(run: Path, cell: Cell, report: Mapping[str, Any], seeds: int = 1) -> None:
    """Write the curve of a cell that something was trained for, in a sweep of so many seeds.

    Raises:
        TrainingError: it cannot be written.
    """
    history = report.get("history")
    if not history:
        return
    words = (cell.dataset_label, cell.backbone_label, cell.split, cell.method, cell.variant or "default")
    folder = Path(run, FOLDER, *map(file_word, words))
    point = f"{cell.knob}={cell.value}" + (f" seed={cell.seed}" if cell.seed or seeds > 1 else "")
    Report(history=list(history)).write_csv(folder / f"{file_word(point)}.csv")

"""The report of a training, its learning curve as a CSV, and the error that ends a training."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from splitbench.bench.utils.files import write_file


@dataclass(slots=True)
class Report:
    """What a training run did.

    Attributes:
        history: One row per epoch: ``epoch`` (from 1), ``images`` seen and ``seconds`` taken since the beginning,
            ``learning_rate`` of its last step, the step's measures averaged over the epoch as ``train_<name>``, and
            those on held-out images under their own names.
        best_epoch: The index in ``history`` of the epoch whose weights were kept; -1 where there is none.
        images: Seen in training, by all processes; an image counts every time.
        seconds: Taken for training and validation, without what a killed run did after its last checkpoint.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    images: int = 0
    seconds: float = 0.0

    def add_epoch(self, trained: Mapping[str, float], measured: Mapping[str, float]) -> None:
        """Append an epoch's row: what it was trained with, and what was measured after it."""
        so_far = {"epoch": len(self.history) + 1, "images": self.images, "seconds": self.seconds}
        self.history.append({**so_far, **trained, **measured})

    def write_csv(self, path: Path) -> None:
        """Write the learning curve, ``history`` as a table, complete or not at all. Numbers read back exactly.

        Raises:
            TrainingError: the file cannot be written.
        """
        columns = list(dict.fromkeys(name for row in self.history for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_file(path, text.getvalue(), error_type=TrainingError)


class TrainingError(Exception):
    """Training cannot go on; the message says why and what to do.

    ``report`` is what was done up to there, where training had begun; the model then holds the best weights so far.
    """

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report

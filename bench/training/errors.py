"""What goes wrong in training, in a sentence."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splitbench.bench.training.report import Report


class TrainingError(Exception):
    """Training cannot go on; the message says why and what to do.

    ``report`` is what was done up to there, where training had begun; the model then holds the best weights so far.
    """

    def __init__(self, message: str, report: "Report | None" = None) -> None:
        super().__init__(message)
        self.report = report

"""What a logger is, and the ones that a run has."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from splitbench.bench.utils.errors import format_error


class Logger(Protocol):
    """A tool that shows measures over steps, and results."""

    def log_scalars(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Take the measures of a training, called ``name``, after so many epochs."""

    def log_row(self, row: Mapping[str, Any]) -> None:
        """Take the row of a cell that has been stored, as ``cells.csv`` has it."""

    def close(self) -> None:
        """Write what is not written yet."""


@dataclass
class Loggers:
    """The loggers of a run, by name. One that raises is closed and left out; the run goes on.

    Attributes:
        loggers: The loggers that work.
        warn: Called with a sentence for each that does not any longer.
    """

    loggers: dict[str, Logger] = field(default_factory=dict)
    warn: Callable[[str], None] = lambda message: None
    _epochs: dict[str, float] = field(default_factory=dict)

    def log_epoch(self, training: str, measures: Mapping[str, float]) -> None:
        """Send the measures of an epoch, which are among them by its number, ``epoch`` from 1."""
        epoch = measures["epoch"]
        if epoch > self._epochs.get(training, 0):
            self._epochs[training] = epoch
            values = {name: value for name, value in measures.items() if name != "epoch"}
            self._send(lambda logger: logger.log_scalars(training, int(epoch), values))

    def log_epochs(self, training: str, history: Iterable[Mapping[str, float]]) -> None:
        """Send the epochs of a training that has ended, but those that were sent while it ran."""
        for measures in history:
            self.log_epoch(training, measures)

    def log_row(self, row: Mapping[str, Any]) -> None:
        """Send the row of a cell that has been stored."""
        self._send(lambda logger: logger.log_row(row))

    def close(self) -> None:
        """Close all."""
        self._send(lambda logger: logger.close())
        self.loggers.clear()

    def _send(self, call: Callable[[Logger], None]) -> None:
        for name, logger in list(self.loggers.items()):
            try:
                call(logger)
            except Exception as error:  # whatever a tool raises: a full disk, a server that is gone, a bug
                del self.loggers[name]
                self.warn(
                    f"warning: {name} takes nothing more ({format_error(error)}): the run goes on without it, and its "
                    "results are stored as always"
                )

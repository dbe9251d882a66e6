"""The log of a run: tracebacks of what failed, training progress, and worker log messages.

    results/<run>/log/failures-<machine>-<process>.txt    tracebacks
    results/<run>/log/progress-<machine>-<process>.txt    every epoch of every training, and what workers say

Python's logging, under the name ``splitbench``. Every process writes separate files, and none where it logs nothing.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOG = logging.getLogger("splitbench")
LOG.setLevel(logging.INFO)
LOG.addHandler(logging.NullHandler())  # outside of a run nothing is logged, not even on the screen

FOLDER = "log"


class _RunHandler(logging.Handler):
    """Opens a file for every record, since there are few: neither a full disk nor a removed folder stops a run."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.process = folder / FOLDER, f"{socket.gethostname()}-{os.getpid()}"
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        kind = "failures" if record.levelno >= logging.ERROR else "progress"
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            path = self.folder / f"{kind}-{self.process}.txt"
            with path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(self.format(record) + "\n")


@contextmanager
def log_to(folder: Path) -> Iterator[None]:
    """Write what this process logs into a run's folder for as long as the context is open."""
    handler = _RunHandler(folder)
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)

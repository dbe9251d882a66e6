"""The log of a run: tracebacks of what failed, training progress, and worker log messages.

    results/<run>/log/<machine>-<process>.txt

Python's own logging, under the name ``splitbench``. Every process writes a separate file, and none if it logs
nothing.
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
    """Opens its file for every record, since there are few: neither a full disk nor a removed folder stops a run."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / FOLDER / f"{socket.gethostname()}-{os.getpid()}.txt"
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
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

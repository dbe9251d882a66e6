"""What a run's folder keeps for whoever looks for a fault: tracebacks, and what workers do that no screen shows.

    results/<run>/log/<machine>-<process>.txt

Python's own logging, under the name ``splitbench``. Every process writes a file of its own, and none where it has
nothing to tell.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOG = logging.getLogger("splitbench")
LOG.setLevel(logging.INFO)
LOG.addHandler(logging.NullHandler())  # where no run keeps it, it is not for the screen

FOLDER = "log"


class _File(logging.Handler):
    """Opened for every record, since there are few: a disk that is full, or a folder that is gone, stops nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / FOLDER / f"{socket.gethostname()}-{os.getpid()}.txt"
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(self.format(record) + "\n")


def keep(folder: Path) -> None:
    """From now on, what this process logs goes into a run's folder, and to no other run's."""
    leave()
    LOG.addHandler(_File(folder))


def leave() -> None:
    """Keep nothing any more."""
    for handler in [handler for handler in LOG.handlers if isinstance(handler, _File)]:
        LOG.removeHandler(handler)


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Keep it for as long as what is within runs."""
    keep(folder)
    try:
        yield
    finally:
        leave()

"""Brings the reports of a run's workers to the process that draws, by small files in the run's folder, which all see.

It works for processes on this machine and on others alike, and takes nothing but what a run needs anyway. What cannot
be written or read is left out: progress is never the reason why a run fails.
"""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from splitbench.bench.utils.files import read_json
from splitbench.bench.utils.progress.run_progress import RunProgress
from splitbench.bench.utils.progress.stage_reports import Report

_EVERY = 1.0  # seconds


class Outbox:
    """Writes the last report of a worker's current piece, once a second and when the piece is done.

    Args:
        folder: Where :class:`Inbox` looks; without it nothing is written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{socket.gethostname()}-{os.getpid()}.json"
        self._next = 0.0

    def __call__(self, report: Report) -> None:
        """Take a report."""
        if report.key and (time.monotonic() >= self._next or not report.text):
            self._next = time.monotonic() + _EVERY
            temporary = self._file.with_suffix(".new")
            with suppress(OSError):
                temporary.write_text(json.dumps(asdict(report)), encoding="utf-8")
                temporary.replace(self._file)


class Inbox:
    """Reads what the workers of a run report.

    Args:
        folder: The files are in it.
        progress: It is given each new report.
    """

    def __init__(self, folder: Path, progress: RunProgress) -> None:
        self._folder, self._progress = folder, progress
        self._next = 0.0
        self._seen: dict[Path, Report] = {}

    def look(self) -> None:
        """Read all files, if the last time is a second ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        for file in sorted(self._folder.glob("*.json")):
            with suppress(TypeError):  # not of this version
                report = Report(**(read_json(file) or {}))
                if self._seen.get(file) != report:
                    self._seen[file] = report
                    self._progress.note(report)


@contextmanager
def inbox(folder: Path, progress: RunProgress) -> Iterator[Inbox]:
    """Receive reports in the block, in a folder that is there only as long."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield Inbox(folder, progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

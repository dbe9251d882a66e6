"""Draws the progress of a run: a line in place on a terminal or in a notebook, else a plain line now and then."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from tqdm import tqdm

from splitbench.bench.utils.progress.bars import are_hidden
from splitbench.bench.utils.progress.run_progress import RunProgress
from splitbench.bench.utils.text import format_rough_duration

_REDRAWN = 0.1
_LINE = 30.0
"""Seconds between two states of a line that is drawn in place, and between two plain lines."""
_NOTEBOOK_WIDTH = 100


@contextmanager
def displayed() -> Iterator[RunProgress]:
    """Show the progress of a run on standard error in the block, unless progress is hidden.

    What is printed meanwhile goes through :func:`beside`.
    """
    if are_hidden():
        yield RunProgress()
        return
    display: _Line | _Lines = _Line(sys.stderr) if _redraws(sys.stderr) else _Lines(sys.stderr)
    progress = RunProgress(display.changed)
    try:
        yield progress
    finally:
        display.close(progress)


def beside(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return ``say`` for messages while a line is drawn in place, which is moved out of their way."""

    def write(message: str) -> None:
        with tqdm.external_write_mode():
            say(message)

    return write


class _Line:
    """A line that is drawn over itself."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._next, self._started = clock, 0.0, clock()
        self._shown = ""
        self._bar: tqdm[Any] = tqdm(total=1.0, file=stream, bar_format="planning", leave=True, **_size(stream))

    def changed(self, progress: RunProgress) -> None:
        shown = re.sub(r"\d", "", progress.text)  # nothing may come for long behind what is said of a new stage
        if self._clock() >= self._next or shown != self._shown:
            self._draw(progress)
            self._next, self._shown = self._clock() + _REDRAWN, shown

    def close(self, progress: RunProgress) -> None:
        self._draw(progress, _ended(progress, self._clock() - self._started))
        self._bar.close()

    def _draw(self, progress: RunProgress, text: str = "") -> None:
        percent, state = (
            int(100 * progress.fraction),
            text or ": ".join(filter(None, (_state(progress), progress.text))),
        )
        self._bar.n = progress.fraction
        self._bar.bar_format = f"{percent:3d} %|{{bar:8}}| " + state.replace("{", "{{").replace("}", "}}")
        self._bar.refresh()


class _Lines:
    """A line every half minute, for files and for logs of services."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock, self._started = stream, clock, clock()
        self._next, self._planned = clock(), False

    def changed(self, progress: RunProgress) -> None:
        now = self._clock()
        if now >= self._next or progress.is_planned != self._planned:
            self._next, self._planned = now + _LINE, progress.is_planned
            percent = f"{int(100 * progress.fraction)} %, " if progress.is_planned else ""
            self._write(percent + ": ".join(filter(None, (_state(progress), progress.text))))

    def close(self, progress: RunProgress) -> None:
        ended = _ended(progress, self._clock() - self._started)
        self._write(f"{int(100 * progress.fraction)} %, {ended}")

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


def _state(progress: RunProgress) -> str:
    if not progress.is_planned:
        return "planning"
    left = progress.seconds_left
    time_left = "estimating the time left" if left is None else f"about {format_rough_duration(left)} left"
    return f"{time_left}, {progress.cells_done}/{progress.cells} cells"


def _ended(progress: RunProgress, seconds: float) -> str:
    word = "done" if progress.fraction == 1.0 else "stopped"
    return f"{progress.cells_done}/{progress.cells} cells, {word} after {format_rough_duration(seconds)}"


def _size(stream: TextIO) -> dict[str, Any]:
    """Return tqdm's settings; it draws nothing on a terminal of 0 rows, which those of containers and `script` have."""
    if not stream.isatty():
        return {"ncols": _NOTEBOOK_WIDTH}
    with suppress(OSError):  # it has no file descriptor
        if not all(os.get_terminal_size(stream.fileno())):
            columns, rows = shutil.get_terminal_size()
            return {"ncols": columns - 1, "nrows": rows}
    return {"dynamic_ncols": True}


def _redraws(stream: TextIO) -> bool:
    """Return whether a carriage return begins the stream's last line again: on terminals, and in notebooks."""
    return stream.isatty() or type(stream).__module__.startswith("ipykernel.")

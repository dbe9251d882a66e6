"""A bar for one loop, with an estimate of the time left: drawn in place on a terminal, a few lines in a log file."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

from splitbench.bench.utils.progress.stage_reports import Show

_VARIABLE = "SPLITBENCH_PROGRESS"
_EVERY = 30.0  # seconds between two lines
_ALONE = {"leave": None}  # one that ends within another is wiped, or it would be drawn over that one's line
_T = TypeVar("_T")


def bar(
    total: float, desc: str, unit: str = "it", *, initial: float = 0, worth: float = 0, **settings: Any
) -> "tqdm[Any]":
    """Return a tqdm bar to be used in a ``with`` statement; a few lines where standard error is not a terminal.

    It is a :class:`splitbench.bench.utils.progress.stage_reports.Show`; ``settings`` are tqdm's.
    """
    return tqdm(total=total, desc=desc, unit=unit, initial=initial, **(_ALONE | settings | _output()))


def silent(total: float, desc: str, unit: str = "it", *, initial: float = 0, worth: float = 0) -> "tqdm[Any]":
    """Return a bar that is not drawn."""
    return tqdm(total=total, disable=True)


def track(
    items: Iterable[_T], desc: str, unit: str, *, total: int | None = None, show: Show = bar, worth: float = 0
) -> Iterator[_T]:
    """Iterate over ``items``, of which there are ``total`` if that is not their length, and show how far it is."""
    count = len(items) if total is None and isinstance(items, Sized) else total or 0
    with show(count, desc, unit, worth=worth) as stage:
        for item in items:
            yield item
            stage.update()


@contextmanager
def hidden(yes: bool = True) -> Iterator[None]:
    """Draw no bars in the block, nor in processes that it starts: the environment variable SPLITBENCH_PROGRESS=off."""
    before = os.environ.get(_VARIABLE)
    try:
        if yes:
            os.environ[_VARIABLE] = "off"
        yield
    finally:
        if yes and before is None:
            os.environ.pop(_VARIABLE, None)
        elif before is not None:
            os.environ[_VARIABLE] = before


def are_hidden() -> bool:
    """Return whether no bars are drawn."""
    return os.environ.get(_VARIABLE) == "off"


def _output() -> dict[str, Any]:
    if are_hidden():
        return {"disable": True}
    if sys.stderr.isatty():
        return {}
    return {"file": _Lines(sys.stderr), "position": 0, "dynamic_ncols": False, "leave": True}


class _Lines:
    """A stream for tqdm that keeps of its redrawn states the first, one every :data:`_EVERY` seconds, and the last."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._state = ""
        self._next = 0.0

    def write(self, text: str) -> None:
        self._state = text.strip() or self._state
        closed = text in ("\n", "\r")
        if self._state and (closed or time.monotonic() >= self._next):
            self._stream.write(self._state + "\n")
            self._state, self._next = "", time.monotonic() + _EVERY

    def flush(self) -> None:
        self._stream.flush()

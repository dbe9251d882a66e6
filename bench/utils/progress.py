"""Progress of long work, with an estimate of what is left: a bar on a terminal, lines in a file or a CI's log."""

import sys
import time
from collections.abc import Iterable
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

_EVERY = 30.0  # seconds between two lines
_T = TypeVar("_T")


def of(total: float, desc: str | None = None, **settings: Any) -> "tqdm[Any]":
    """A bar by tqdm, for ``with``. Where standard error is no terminal, its states are lines, and few of them."""
    return tqdm(total=total, desc=desc, **(settings | _here()))


def along(items: Iterable[_T], desc: str, unit: str, **settings: Any) -> "tqdm[_T]":
    """The same for a loop over ``items``."""
    return tqdm(items, desc, unit=unit, **(settings | _here()))


def skip(bar: "tqdm[Any]", count: float) -> None:
    """What was done before this run: it tells nothing of how long the rest takes."""
    bar.initial += count
    bar.n += count
    bar.refresh()


def _here() -> dict[str, Any]:
    if sys.stderr.isatty():
        return {}
    return {"file": _Lines(sys.stderr), "position": 0, "dynamic_ncols": False, "leave": True}


class _Lines:
    """Takes what a bar draws over itself; of that it writes the first state, one now and then, and the last."""

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

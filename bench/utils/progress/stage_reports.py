"""What work says of itself while it runs. Whoever works knows only :class:`Show`, and nothing of how it looks."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol


class Stage(Protocol):
    """A loop that runs; a tqdm bar is one."""

    def update(self, n: float = 1, /) -> object:
        """Count ``n`` more as done."""
        ...

    def set_description(self, desc: str, /) -> object:
        """Say what is being done: more than a count of it does."""
        ...

    def set_postfix(self, ordered_dict: Mapping[str, object], /, refresh: bool = True) -> object:
        """Say what was measured so far."""
        ...


class Show(Protocol):
    """Shows a loop while it runs."""

    def __call__(
        self, total: float, desc: str, unit: str, *, initial: float = 0, worth: float = 0
    ) -> AbstractContextManager[Stage]:
        """Begin a loop.

        Args:
            total: How much there is to count.
            desc: What is being done.
            unit: What is counted.
            initial: How much was done before, by another process: it says nothing about the time that the rest takes.
            worth: How much the loop is of the piece of work around it; 0: it is shown, and counts as nothing.
        """
        ...


@dataclass(frozen=True)
class Report:
    """How far a piece of work is.

    Attributes:
        key: Which piece; empty for what belongs to none.
        text: What is being done; empty when it ends.
        done: How much of it is done, from 0 to 1.
        skipped: How much of it was done before, and cost nothing here.
        seconds: What the rest of that took.
    """

    key: str
    text: str
    done: float = 0.0
    skipped: float = 0.0
    seconds: float = 0.0


class Stages:
    """The work of one process: pieces within one another, and loops within pieces.

    Args:
        report: Called with each change.
        clock: Returns seconds.
    """

    def __init__(
        self, report: Callable[[Report], None] = lambda report: None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._report, self._clock = report, clock
        self._pieces = [_Piece("", "", 1.0)]
        self._loops: list[_Loop] = []
        self._counted_until = clock()

    @contextmanager
    def piece(self, key: str, title: str, size: float = 1) -> Iterator[None]:
        """Work on a piece in the block; a piece around it waits.

        Args:
            key: The piece's name in the run's plan.
            title: What it is called on the screen.
            size: How much there is to do; the loops in it say what they are worth of that.
        """
        loops, self._loops = self._loops, []
        self._pieces.append(_Piece(key, title, max(size, 1e-9)))
        self._tell()
        try:
            yield
        finally:
            piece = self._pieces.pop()
            self._report(Report(piece.key, "", piece.done, piece.skipped, piece.seconds))
            self._loops, self._counted_until = loops, self._clock()
            self._tell()

    @contextmanager
    def show(self, total: float, desc: str, unit: str, *, initial: float = 0, worth: float = 0) -> Iterator[Stage]:
        """See :class:`Show`. Only while a loop that is worth something runs is the time that passes the piece's."""
        self._tell()
        loop = _Loop(self, desc, total, unit, worth, count=initial)
        self._loops.append(loop)
        if worth and total:
            piece = self._pieces[-1]
            piece.skipped += initial / total * worth / piece.size
            piece.done += initial / total * worth / piece.size
        self._counted_until = self._clock()
        self._tell()
        try:
            yield loop
        finally:
            self._tell()
            self._loops.pop()

    def _advance(self, loop: "_Loop", amount: float) -> None:
        piece = self._pieces[-1]
        if loop.worth and loop.total:
            piece.done = min(1.0, piece.done + amount / loop.total * loop.worth / piece.size)
        self._tell()

    def _tell(self) -> None:
        now, piece = self._clock(), self._pieces[-1]
        if self._loops and self._loops[-1].worth:
            piece.seconds += now - self._counted_until
        self._counted_until = now
        shown = [piece.title, *(loop.text for loop in self._loops[-1:])]
        text = ", ".join(part for part in shown if part)
        self._report(Report(piece.key, text, piece.done, piece.skipped, piece.seconds))


@dataclass
class _Piece:
    key: str
    title: str
    size: float
    done: float = 0.0
    skipped: float = 0.0
    seconds: float = 0.0


@dataclass
class _Loop:
    stages: Stages
    desc: str
    total: float
    unit: str
    worth: float
    count: float = 0.0
    measures: str = ""

    @property
    def text(self) -> str:
        counted = f"{round(self.count):,}/{round(self.total):,} {self.unit}" if self.unit else ""
        return " ".join(part for part in (self.desc, counted) if part) + self.measures

    def update(self, n: float = 1, /) -> None:
        self.count += n
        self.stages._advance(self, n)

    def set_description(self, desc: str, /) -> None:
        self.desc, self.unit = desc, ""
        self.stages._tell()

    def set_postfix(self, ordered_dict: Mapping[str, object], /, refresh: bool = True) -> None:
        self.measures = "".join(f", {name} {value}" for name, value in ordered_dict.items())
        if refresh:
            self.stages._tell()

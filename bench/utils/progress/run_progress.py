"""How far a whole run is, and how long the rest of it takes: the sum over all pieces of work that its plan has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from splitbench.bench.utils.progress.stage_reports import Report, Stages

_PRIOR = 3.0
"""Seconds of estimated work that have to be measured until what was measured counts as much as what is expected."""


@dataclass
class Piece:
    """A piece of a run's work.

    Attributes:
        kind: Of pieces of one kind, what was measured of some predicts the others.
        estimated: The seconds that it takes according to the plan.
        done: How much of it is done, from 0 to 1.
        skipped: How much of it was stored before, or will never be done: it cost nothing.
        seconds: What the rest of that took.
    """

    kind: str
    estimated: float
    done: float = 0.0
    skipped: float = 0.0
    seconds: float = 0.0

    @classmethod
    def stored(cls, kind: str, estimated: float) -> "Piece":
        """Return one that was done before."""
        return cls(kind, estimated, done=1.0, skipped=1.0)

    @property
    def worked(self) -> float:
        """The estimated seconds of what was done here."""
        return self.estimated * (self.done - self.skipped)


class RunProgress:
    """The progress of one run: pieces of work are planned, and reports on them come in.

    The fraction that is done weighs pieces by their estimates, which stay as they are, so that it never falls. The
    time left is the sum of what is left of each piece, its estimate multiplied by the ratio of measured to estimated
    time: of the piece itself as far as it is known, else of its kind, else of all kinds or, where the estimates are to
    be believed, 1.

    Args:
        changed: Called after each change.
    """

    def __init__(self, changed: Callable[["RunProgress"], None] = lambda progress: None) -> None:
        self._changed = changed
        self._pieces: dict[str, Piece] = {}
        self._workers, self._believed = 1, True
        self._running: dict[str, str] = {}
        self._ended: set[str] = set()  # what a worker said of them last may arrive later
        self.stages = Stages(self.note)
        self.is_planned = False
        self.cells, self.cells_done = 0, 0

    def add(self, pieces: Mapping[str, Piece], *, cells: int = 0, stored: int = 0) -> None:
        """Add to what is to be done, before it begins.

        Args:
            pieces: Pieces of work by key; what is stored is among them, as done.
            cells: How many cells they make.
            stored: How many of these are stored.
        """
        self._pieces |= pieces
        self.cells += cells
        self.cells_done += stored

    def begin(self, *, workers: int, believed: bool) -> None:
        """Begin with the work: all of it is known.

        Args:
            workers: How many pieces are worked on at a time.
            believed: Whether the estimates are seconds of the processor that does the work; else only ratios count.
        """
        self._workers, self._believed, self.is_planned = max(1, workers), believed, True
        self._running.clear()
        self._changed(self)

    def note(self, report: Report) -> None:
        """Take note of a report: by the work in this process, or brought from another."""
        self._running.pop("", None)
        if report.text and report.key not in self._ended:
            self._running[report.key] = report.text
        else:
            self._running.pop(report.key, None)
        if (piece := self._pieces.get(report.key)) is not None and report.done >= piece.done:
            piece.done, piece.skipped, piece.seconds = min(1.0, report.done), report.skipped, report.seconds
        self._changed(self)

    def end(self, *keys: str, cells: int = 0) -> None:
        """Take note that these pieces have ended, whatever is left of them, and with them so many cells."""
        self._ended.update(keys)
        for key in keys:
            self._running.pop(key, None)
            if (piece := self._pieces.get(key)) is not None:
                piece.skipped += 1.0 - piece.done
                piece.done = 1.0
        self.cells_done += cells
        self._changed(self)

    @property
    def fraction(self) -> float:
        """How much of the run is done, from 0 to 1; 0 until it is planned."""
        if not self.is_planned:
            return 0.0
        whole = sum(piece.estimated for piece in self._pieces.values())
        done = sum(piece.estimated * piece.done for piece in self._pieces.values())
        if all(piece.done == 1.0 for piece in self._pieces.values()):
            return 1.0
        return min(done / whole, 0.999) if whole else 0.0

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes; None while nothing is known."""
        pieces = self._pieces.values()
        worked = sum(piece.worked for piece in pieces)
        if self.is_planned and all(piece.done == 1 for piece in pieces):
            return 0.0
        if not self.is_planned or not (self._believed or worked):
            return None
        expected = 1.0 if self._believed else sum(piece.seconds for piece in pieces) / worked
        ratios = {
            kind: _ratio([piece for piece in pieces if piece.kind == kind], expected)
            for kind in {piece.kind for piece in pieces}
        }
        left = [
            piece.estimated * (1 - piece.done) * _ratio([piece], ratios[piece.kind])
            for piece in pieces
            if piece.done < 1
        ]
        return max(sum(left) / self._workers, *left)

    @property
    def text(self) -> str:
        """What is being done, by one of the workers and how many others."""
        texts = [text for text in self._running.values() if text]
        others = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
        return texts[0] + others if texts else ""


def _ratio(pieces: list[Piece], expected: float) -> float:
    """Return the ratio of measured to estimated time, which begins as what is expected."""
    seconds, worked = sum(piece.seconds for piece in pieces), sum(piece.worked for piece in pieces)
    return (seconds + _PRIOR * expected) / (worked + _PRIOR)

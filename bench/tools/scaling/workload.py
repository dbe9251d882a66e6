"""The work of a sweep in seconds of one worker, as a run's folder recorded it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitbench.bench.results.store import Store
from splitbench.bench.run.partition import LEAST_BATCHES
from splitbench.bench.training.methods.trainings import Trainings
from splitbench.bench.utils.errors import UserError


@dataclass(frozen=True)
class PassTime:
    """The time of one pass.

    Attributes:
        seconds: What workers share.
        trainings: Keys of the trainings that must have ended before.
        fixed: Seconds that each worker of the pass takes for itself.
        most_parts: How many workers can share the pass.
    """

    seconds: float
    trainings: frozenset[str] = frozenset()
    fixed: float = 0.0
    most_parts: int = 10**9


@dataclass(frozen=True)
class Workload:
    """All tasks of a sweep.

    Attributes:
        trainings: Seconds of each training, by key.
        starts: The training whose weights each training starts with, or None.
        passes: The passes.
        opening: Seconds that a process takes to open all data and backbones.
        other: Seconds that a process takes for anything else: reading training images, and storing.
    """

    trainings: Mapping[str, float]
    starts: Mapping[str, str | None]
    passes: Sequence[PassTime]
    opening: float = 0.0
    other: float = 0.0

    @property
    def pass_seconds(self) -> float:
        """Seconds of all passes on one worker."""
        return sum(pass_.seconds + pass_.fixed for pass_ in self.passes)


def most_parts(images: float, batch: float) -> int:
    """Return the number of workers that can share a pass over so many images."""
    return max(1, int(-(-images // max(1, batch))) // LEAST_BATCHES)


def measured_cells(run: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the columns and settings of each good cell in a run's folder.

    Raises:
        UserError: There is none.
    """
    cells = [(cell["columns"], cell["settings"]) for cell in Store(run).cells() if cell["columns"]["status"] == "ok"]
    if not cells:
        raise UserError(
            f"{run} holds no cell that was measured: run the sweep first, on a part of its images if need be"
        )
    yield from cells


def read_workload(run: Path) -> Workload:
    """Read the workload that a run's folder recorded. Raises UserError if it holds no good cell."""
    reports = Trainings(run / "trainings", bundled=False)
    trainings: dict[str, float] = {}
    passes: dict[tuple[str, str], PassTime] = {}
    for columns, settings in measured_cells(run):
        name = str(columns.get("fingerprint")), str(settings.get("backbone"))
        needs = set(passes[name].trainings) if name in passes else set()
        key = str(settings.get("training"))
        if reports.has(key):  # a bundled one costs nothing
            needs.add(key)
            trainings[key] = number(columns, "train_seconds")
        fixed = number(columns, "fixed_seconds")
        parts = most_parts(number(columns, "images"), number(columns, "batch"))
        passes[name] = PassTime(number(columns, "seconds") - fixed, frozenset(needs), fixed, parts)
    starts = {key: reports.report(key).get("neighbour") for key in trainings}
    return _with_overheads(Workload(trainings, starts, list(passes.values())), Store(run).runs())


def _with_overheads(workload: Workload, runs: Sequence[Mapping[str, object]]) -> Workload:
    """Add what the first run that found nothing stored spent outside trainings and passes."""
    whole: Mapping[str, object] = next((run for run in runs if run.get("kept") == 0), {})
    opening, other = number(whole, "opening"), 0.0
    if whole.get("workers") == 1:
        tasks = sum(workload.trainings.values()) + workload.pass_seconds
        other = max(0.0, number(whole, "seconds") - opening - tasks)
    return Workload(workload.trainings, workload.starts, workload.passes, opening, other)


def number(columns: Mapping[str, object], name: str) -> float:
    """Return a column's number, or 0 if it has none."""
    value = columns.get(name)
    return float(value) if isinstance(value, int | float) else 0.0

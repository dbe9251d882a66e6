"""The four kinds of task that a run consists of: train, describe, measure, score.

A task travels to a worker as keys and numbers, and leaves what it makes in the run's folder. What one task provides is
what another requires; a task that fails provides it, too, as failed.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from splitbench.bench.evaluation import Advance, Prepared, describe, measure, time_limit
from splitbench.bench.results import provenance
from splitbench.bench.run.planning.plan import PassSpec, PlannedCell
from splitbench.bench.run.planning.work import PassWork
from splitbench.bench.run.score_and_store import score_and_store
from splitbench.bench.run.worker import OpenedPass, Worker
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.progress import Piece


class Trained(NamedTuple):
    """The weights of a training."""

    key: str


class Described(NamedTuple):
    """The descriptions of a pass's cells."""

    pass_number: int


class Measured(NamedTuple):
    """The shards of a range of a pass's batches, by the first one's number."""

    pass_number: int
    first: int


Resource = Trained | Described | Measured
Failures = Mapping[Resource, Failure]


@dataclass(frozen=True)
class TaskResult:
    """What the scheduler learns from a task that has ended.

    Attributes:
        failures: What the task should have provided and could not.
    """

    failures: Failures = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class RunTask(ABC):
    """A piece of work on one pass.

    Attributes:
        spec: The pass.
        pass_number: Its place in the run.
        priority: Of the tasks that are ready, the one with the smallest starts first.
    """

    spec: PassSpec
    pass_number: int
    priority: tuple[int, ...]

    @property
    def requires(self) -> frozenset[Resource]:
        """What must be there, if only as failed, before the task starts: by default all of the pass's trainings."""
        return frozenset(Trained(training.key) for training in self.spec.trainings)

    @property
    def provides(self) -> tuple[Resource, ...]:
        """What is there, if only as failed, when the task has ended."""
        return ()

    @abstractmethod
    def pieces(self, work: PassWork) -> dict[str, Piece]:
        """Return the pieces of work that it is, by key, with the time that they should take."""

    def run(self, worker: Worker, failures: Failures) -> TaskResult:
        """Do the task in this process.

        Args:
            worker: What this process keeps between tasks.
            failures: What it requires, and is there as failed only.
        """
        opened = worker.open(self.spec)
        opened.failed_trainings |= {
            resource.key: failure for resource, failure in failures.items() if isinstance(resource, Trained)
        }
        with time_limit.allowed(self.spec.run.time_limit):
            return self._run(opened, failures)

    @abstractmethod
    def _run(self, opened: OpenedPass, failures: Failures) -> TaskResult: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainTask(RunTask):
    """Train these keys, one after the other."""

    keys: tuple[str, ...]

    @property
    def requires(self) -> frozenset[Resource]:
        """The trainings that these begin with, if they are missing and not among them."""
        neighbours = {training.key: training.neighbour for training in self.spec.trainings}
        needed = {neighbours[key] for key in self.keys} - set(self.keys)
        return frozenset(Trained(key) for key in neighbours if key in needed)

    @property
    def provides(self) -> tuple[Resource, ...]:
        """Their weights."""
        return tuple(Trained(key) for key in self.keys)

    def pieces(self, work: PassWork) -> dict[str, Piece]:
        """One for each training that is not finished: bundled ones are no work."""
        has = self.spec.run.trainings.has
        return {key: Piece("training", work.trainings[key]) for key in self.keys if not has(key)}

    def _run(self, opened: OpenedPass, failures: Failures) -> TaskResult:
        trainings = {training.key: training for training in self.spec.trainings}
        opened.trainer.run([trainings[key] for key in self.keys])
        failed = opened.failed_trainings
        return TaskResult({Trained(key): failed[key] for key in self.keys if key in failed})


@dataclass(frozen=True, kw_only=True, eq=False)
class DescribeTask(RunTask):
    """Measure what the pass's cells cost, and store it."""

    @property
    def provides(self) -> tuple[Resource, ...]:
        """The descriptions."""
        return (Described(self.pass_number),)

    def pieces(self, work: PassWork) -> dict[str, Piece]:
        """Preparing the cells, and measuring what they cost."""
        cells, name = self.spec.cells, self.spec.name
        return {
            f"prepare {name}": Piece("preparing", work.preparing(cells)),
            f"describe {name}": Piece("describing", work.describing(cells)),
        }

    def _run(self, opened: OpenedPass, failures: Failures) -> TaskResult:
        prepared, stages, title = opened.prepared, opened.display.stages, f"measuring costs of {self.spec.title}"
        with stages.piece(f"describe {self.spec.name}", title, len(self.spec.cells)):
            descriptions = describe(prepared, show=stages.show)
        self.spec.partial.put_descriptions(descriptions, provenance.columns(self.spec.device))
        return TaskResult()


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasureTask(RunTask):
    """Measure the batches from number ``first`` up to ``last`` that no shard holds, and store them as shards."""

    first: int
    last: int
    images: int

    @property
    def provides(self) -> tuple[Resource, ...]:
        """The shards."""
        return (Measured(self.pass_number, self.first),)

    def pieces(self, work: PassWork) -> dict[str, Piece]:
        """Preparing the cells, and measuring them."""
        cells, name = self.spec.cells, self.spec.name
        return {
            f"prepare {name}": Piece("preparing", work.preparing(cells)),
            f"measure {name} {self.first}": Piece("measuring", work.measuring(cells, self.images)),
        }

    def _run(self, opened: OpenedPass, failures: Failures) -> TaskResult:
        prepared, stages, images = opened.prepared, opened.display.stages, self.images
        with (
            stages.piece(f"measure {self.spec.name} {self.first}", f"measuring {self.spec.title}", images),
            stages.show(images, "", "images", worth=images) as stage,
        ):
            self._measure(prepared, lambda pairs: stage.update(pairs / len(prepared.cells)))
        return TaskResult()

    def _measure(self, prepared: Prepared, advance: Advance) -> None:
        partial, target = self.spec.partial, self.spec.run.shard_seconds
        for first, last in list(partial.gaps(self.first, self.last)):
            size = 1
            while first < last:
                started = time.perf_counter()
                shard = measure(prepared, first, min(first + size, last), advance)
                partial.put(shard)
                seconds = time.perf_counter() - started
                first = shard.last
                size = max(1, min(4 * size, round(size * target / max(seconds, 1e-3))))


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTask(RunTask):
    """Score these cells and store them, when all of their pass is measured; if some of it failed, they fail."""

    keys: tuple[str, ...]
    measured: tuple[Resource, ...]

    @property
    def requires(self) -> frozenset[Resource]:
        """The pass's trainings, descriptions and shards."""
        return super().requires | frozenset(self.measured)

    def pieces(self, work: PassWork) -> dict[str, Piece]:
        """Scoring the cells."""
        return {self._piece: Piece("scoring", work.scoring(self._cells))}

    def _run(self, opened: OpenedPass, failures: Failures) -> TaskResult:
        failure = next((failures[resource] for resource in self.measured if resource in failures), None)
        stages, cells = opened.display.stages, self._cells
        with stages.piece(self._piece, f"scoring {self.spec.title}", len(cells)):
            score_and_store(cells, self.spec, opened.pass_, failure=failure, show=stages.show)
        return TaskResult()

    @property
    def _piece(self) -> str:
        return f"score {self.spec.name} {self.keys[0]}"

    @property
    def _cells(self) -> list[PlannedCell]:
        return [planned for planned in self.spec.cells if planned.key in self.keys]

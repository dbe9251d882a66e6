"""Runs a sweep: plan, skip what is done, give trainings and passes to an executor, store cell by cell, collect."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from splitbench.bench.evaluation.loader import chunks
from splitbench.bench.results.store import Store
from splitbench.bench.run import worker
from splitbench.bench.run.executors import Executor, Here
from splitbench.bench.run.partial_results import Unfinished, forget, tidy
from splitbench.bench.run.partition import LEAST_BATCHES, chains
from splitbench.bench.run.plan import Pass, Planned, passes
from splitbench.bench.run.scheduler import Errand, drive
from splitbench.bench.run.score_and_store import doubt, store_cells
from splitbench.bench.run.sources import Sources
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training import TrainingError
from splitbench.bench.training.methods import Training, Trainings
from splitbench.bench.training.methods.trainings import write_learning_curve
from splitbench.bench.utils import log, progress, provenance
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.text import format_count

Overwrite = Literal["never", "failed", "all"]
"""What to do with cells that are stored: keep all, run failed ones again, or run all again."""


@dataclass(frozen=True)
class Result:
    """What a run came to: counts of cells, and the failed ones by name and reason."""

    done: int
    kept: int
    failed: tuple[tuple[str, str], ...]


def run(
    sweep: Sweep,
    sources: Sources,
    store: Store,
    overwrite: Overwrite = "failed",
    part: bool = False,
    say: Callable[[str], None] = lambda _: None,
    retrain: bool = False,
    executor: Executor | None = None,
    patience: float = 0,
) -> Result:
    """Run all cells of a sweep that are not stored yet.

    Everything that the user could have got wrong is checked before the first image is evaluated. What is measured is
    stored every few seconds, and cells as they are scored, so that an interrupted run goes on where it stopped.
    ``part`` says that the sweep is a part of the one that the folder is for: rows of other backbones and methods stay
    in the table. ``retrain`` trains what methods learn here even where trained weights ship with the project.
    ``patience`` is how many seconds a step of a cell may take (preparing it, or one batch); 0 is for ever.

    Raises:
        UserError, DataError: bad input, told in one sentence; nothing that was stored is lost.
    """
    store.open()
    with store.held() as token, log.kept(store.folder):
        return _run(sweep, sources, store, overwrite, part, say, retrain, executor or Here(), patience, token)


def _run(
    sweep: Sweep,
    sources: Sources,
    store: Store,
    overwrite: Overwrite,
    part: bool,
    say: Callable[[str], None],
    retrain: bool,
    executor: Executor,
    patience: float,
    token: Path,
) -> Result:
    begun = time.perf_counter()
    planned = []
    here = sources if executor.here else replace(sources, device=torch.device("cpu"))  # the devices are the workers'
    for one in passes(sweep, here):
        planned.append(replace(one, places={}))  # they hold the backbone
        say(f"checked {one.title}: {format_count(len(one.dataset), 'image')}, {format_count(len(one.planned), 'cell')}")
    store.put_plan([_labels(p, one) for one in planned for p in one.planned], part)
    for one in planned:
        store.put_images(one.fingerprint, one.dataset.ids)
    trainings = Trainings(store.folder / "trainings", bundled=not retrain)
    missing = _missing(planned, store, trainings, overwrite, retrain)
    total = sum(len(one.dataset) * len(cells) for one, cells in zip(planned, missing, strict=True))
    wanted = {p.key for cells in missing for p in cells}
    kept = len({p.key for one in planned for p in one.planned} - wanted)
    if kept:
        say(f"{format_count(kept, 'cell')} {'is' if kept == 1 else 'are'} stored already")
    forget(store.folder, wanted if overwrite == "all" else wanted & _retrained(planned, trainings, retrain))
    done, opened = 0, time.perf_counter()
    try:
        with progress.bar(
            total=total, unit="image x cell", unit_scale=True, disable=total == 0, dynamic_ncols=True
        ) as bar:
            started: list[_Running] = []
            for one, cells in zip(planned, missing, strict=True):
                if cells:
                    taken = {each.job.unfinished.folder for each in started}
                    unfinished = Unfinished.of(store.folder, [p.key for p in cells], sweep.batch, taken)
                    job = _job(one, cells, sweep.batch, sources, store, trainings, patience, token, unfinished)
                    started.append(_Running(one, job))
            done = _drive(started, executor, store, bar)
    finally:
        worker.leave()
        executor.close()
        store.collect()
    for one, own in zip(planned, missing, strict=True):
        for p in one.planned:
            if p.key in wanted and p not in own:  # run under another label
                _write_curve(p, one, trainings, store, say)
    table_keys = store.planned()
    tidy(store.folder, lambda key: key not in table_keys or store.status(key) == "ok")
    store.put_run(
        {
            "workers": executor.workers,
            "executor": type(executor).__name__,
            "done": done,
            "kept": kept,
            "opening": opened - begun,
            "seconds": time.perf_counter() - begun,
            "date": provenance.now(),
        }
    )
    return Result(done, kept, tuple(_failures(planned, store)))


def _missing(
    planned: Sequence[Pass], store: Store, trainings: Trainings, overwrite: Overwrite, retrain: bool
) -> list[tuple[Planned, ...]]:
    """The cells of each pass that are to be run. A cell that several labels stand for is run in the first pass."""
    retrained = _retrained(planned, trainings, retrain)

    def wanted(p: Planned) -> bool:
        status = store.status(p.key)
        again = overwrite == "all" or (overwrite == "failed" and status == "failed")
        return again or status is None or p.key in retrained

    claimed: set[str] = set()
    found = []
    for one in planned:
        found.append(tuple(p for p in one.planned if p.key not in claimed and wanted(p)))
        claimed |= {p.key for p in one.planned}
    return found


def _retrained(planned: Sequence[Pass], trainings: Trainings, retrain: bool) -> set[str]:
    """The keys of cells that are trained here, although trained weights ship."""
    every = (p for one in planned for p in one.planned if p.training is not None and retrain)
    return {p.key for p in every if p.training is not None and not trainings.has(p.training.key)}


def _failures(planned: Sequence[Pass], store: Store) -> Iterator[tuple[str, str]]:
    for one in planned:
        for p in one.planned:
            stored = store.cell(p.key)
            if stored is not None and stored["columns"]["status"] == "failed":
                yield str(p.cell), str(stored["columns"]["reason"])


def _job(
    one: Pass,
    planned: tuple[Planned, ...],
    batch: int,
    sources: Sources,
    store: Store,
    trainings: Trainings,
    patience: float,
    token: Path,
    unfinished: Unfinished,
) -> worker.Job:
    return worker.Job(
        one.spec,
        one.model,
        sources,
        one.fingerprint,
        one.weights,
        planned,
        _lessons(one, planned, trainings),
        unfinished,
        store.folder,
        batch,
        not trainings.bundled,
        torch.get_num_threads(),
        patience,
        token,
    )


def _lessons(one: Pass, planned: tuple[Planned, ...], trainings: Trainings) -> tuple[Training, ...]:
    """Trainings of these cells and, where one is not there, the one that it begins with, and so on; in their order.

    A cell that is stored already may be the one whose training another begins with.
    """
    every = {p.training.key: p.training for p in one.planned if p.training is not None}
    wanted: set[str] = set()
    for p in planned:
        at = None if p.training is None else p.training.key
        while at is not None and at not in wanted:
            wanted.add(at)
            at = None if trainings.has(at) else every[at].neighbour
    return tuple(lesson for key, lesson in every.items() if key in wanted)


@dataclass
class _Running:
    """A pass whose tasks are given out; ``left`` counts those that have not ended.

    ``broken`` tells whether some of it could not be measured, ``baseline`` is the uncompressed backbone's accuracy.
    """

    one: Pass
    job: worker.Job
    left: int = 0
    broken: bool = False
    baseline: float | None = None

    @property
    def keys(self) -> dict[str, str | None]:
        """The trainings that its cells need, and what each begins with."""
        return {lesson.key: lesson.neighbour for lesson in self.job.lessons}

    def measuring(self, number: int, executor: Executor, advance: Callable[[int], None]) -> Iterator[Errand]:
        """Describe the cells, and measure the batches that no shard has, in parts where there are several workers.

        Where the work is done in this process, ``advance`` is told of every (image, cell) done.
        """
        after = frozenset(self.keys)
        unfinished, pairs = self.job.unfinished, len(self.job.planned)
        if unfinished.descriptions() is None:
            gives = (f"costs of pass {number}",)
            yield Errand(self.job, worker.do_describe, (), after, gives, (number, 1), owner=number)
        plan = chunks(self.one.dataset, self.one.backbone(), self.job.batch)
        parts = 1 if executor.here else max(1, min(executor.workers, len(plan) // LEAST_BATCHES))
        size = -(-len(plan) // parts)
        for begin, end in unfinished.gaps(0, len(plan)):
            for first in range(begin, end, size):
                last = min(first + size, end)
                images = sum(map(len, plan[first:last])) * pairs
                told = (advance,) if executor.here else ()
                args = (first, last, *told)
                gives = (f"batch {first} of pass {number}",)
                yield Errand(self.job, worker.do_measure, args, after, gives, (number, 2), images, number)

    def scoring(self, number: int, executor: Executor, measuring: Sequence[Errand]) -> Iterator[Errand]:
        """Score and store the cells, shared out among the workers, when all is measured."""
        keys = [planned.key for planned in self.job.planned]
        parts = tuple(part for errand in measuring for part in errand.gives)
        after = frozenset((*self.keys, *parts))
        shares = min(executor.workers, len(keys))
        for share in range(shares):
            args = (tuple(keys[share::shares]), parts)
            yield Errand(self.job, worker.do_score, args, after, (), (number, 3), owner=number)


def _drive(running: list[_Running], executor: Executor, store: Store, bar: "tqdm[Any]") -> int:
    """Run all errands, store each pass when its last one has ended; returns how many cells were run."""
    errands: list[Errand] = []
    table_keys = store.planned()
    claimed: set[str] = set()
    failed: dict[str, str] = {}
    done = 0

    def advance(pairs: int) -> None:
        bar.update(pairs)

    for number, each in enumerate(running):
        if executor.here:
            worker.adopt(each.job, each.one, bar.write)
        fresh = [(key, neighbour) for key, neighbour in each.keys.items() if key not in claimed]
        claimed |= {key for key, _ in fresh}
        groups = [[key for key, _ in fresh]] if executor.here and fresh else chains(fresh)
        training = [_training(each, number, keys, executor) for keys in groups]
        measuring = [*each.measuring(number, executor, advance)]
        progress.skip(bar, len(each.one.dataset) * len(each.job.planned) - sum(errand.work for errand in measuring))
        own = [*training, *measuring, *each.scoring(number, executor, measuring)]
        each.left = len(own)
        errands += own

    def scored(each: _Running, keys: Sequence[str], baseline: float | None) -> None:
        nonlocal done
        done += len(keys)
        each.baseline = each.baseline if baseline is None else baseline
        for planned in each.job.planned:
            if planned.key in keys:
                _write_curve(planned, each.one, each.job.trainings(), store, bar.write)

    def finish(each: _Running) -> None:
        if doubtful := doubt(each.one, each.baseline):
            bar.write(f"{each.one.title}: {doubtful}")
        if not each.broken:  # else what was measured serves the next run
            each.job.unfinished.end(lambda key: key not in table_keys or store.status(key) is not None)

    def ended(errand: Errand, result: Any, error: Exception | None) -> None:
        each = running[errand.owner]
        if isinstance(error, UserError):
            raise error
        reason = Failure.from_error(error, each.one.title).reason if error is not None else ""
        if errand.call is worker.do_score:
            keys, parts = errand.args
            if error is not None:  # its worker is gone, and so were those that tried again
                job = each.job
                lost = [one for one in job.planned if one.key in keys and store.status(one.key) != "ok"]
                store_cells(each.one, lost, job.unfinished, store, job.trainings(), job.sources.device, reason)
            scored(each, keys, result)
            each.broken = each.broken or any(part in failed for part in parts)
        elif error is not None:
            failed.update(dict.fromkeys(errand.gives, reason))
        elif errand.call is worker.do_train:
            failed.update(result)
        trained.update(len(errand.gives) if errand.call is worker.do_train else 0)
        bar.set_description(each.one.title)
        if not executor.here:  # here it was told of every batch
            bar.update(errand.work)
        each.left -= 1
        if each.left == 0:
            finish(each)

    lessons = 0 if executor.here else sum(len(errand.gives) for errand in errands if errand.call is worker.do_train)
    with progress.bar(lessons, "trainings", unit="training", disable=lessons == 0, dynamic_ncols=True) as trained:
        drive(errands, executor, failed, ended)
    return done


def _training(each: _Running, number: int, keys: list[str], executor: Executor) -> Errand:
    """One errand for trainings that go one after the other; with several workers they all go before other work."""
    neighbours = {each.keys[key] for key in keys} - set(keys)
    after = frozenset(str(key) for key in neighbours & each.keys.keys())  # others are there
    rank = (number, 0) if executor.here else (-1, number)
    return Errand(each.job, worker.do_train, (tuple(keys),), after, tuple(keys), rank, 0, number)


def _write_curve(planned: Planned, one: Pass, trainings: Trainings, store: Store, say: Callable[[str], None]) -> None:
    if planned.training is not None:
        seeds = len({each.cell.seed for each in one.planned})
        try:
            write_learning_curve(store.folder, planned.cell, trainings.report(planned.training.key), seeds)
        except TrainingError as error:  # the cell is stored, and its curve is in the training's report, too
            say(str(error))


def _labels(planned: Planned, one: Pass) -> dict[str, str]:
    return {
        "key": planned.key,
        "dataset": planned.cell.dataset_label,
        "backbone": planned.cell.backbone_label,
        "method": planned.cell.method,
    }

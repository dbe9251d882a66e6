"""How long a sweep would take with more workers, from what a run of it measured: a model of the scheduler on paper.

A run's folder tells how long every training and every pass took. The model gives them out as ``schedule`` does:
trainings that begin with one another form chains; chains go before passes, those listed first before others; a pass
begins when its cells' trainings have ended, in equal parts, at most one per worker and none of fewer than four batches.
Each worker opens data and backbone for itself, prepares a pass for itself, and reads training images for itself. The
start of a worker's process is left out, and all workers are taken to be as fast as the one that measured.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from splitbench.bench.results.store import Store
from splitbench.bench.run.partition import LEAST_BATCHES, chains
from splitbench.bench.training.methods.trainings import Trainings
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_count, format_duration

WORKERS = (1, 2, 4, 8, 16, 32, 64)
_HELPS = 0.1
"""Twice as many workers that save less than this share of the time do not help."""


@dataclass(frozen=True)
class PassTime:
    """A pass: ``seconds`` that workers share, in ``parts`` at most; ``fixed`` seconds of each; trainings it needs."""

    seconds: float
    needs: frozenset[str] = frozenset()
    fixed: float = 0.0
    parts: int = 10**9


@dataclass(frozen=True)
class Measured:
    """Seconds of trainings by key, what each begins with, the passes, and what opening all of them takes a process.

    ``beside`` is what a process spends on nothing of these: reading training images, and storing.
    """

    trainings: Mapping[str, float]
    neighbours: Mapping[str, str | None]
    passes: Sequence[PassTime]
    opening: float = 0.0
    beside: float = 0.0


def measured(run: Path) -> Measured:
    """What a run's folder tells. Raises UserError where it holds no good cell."""
    store, reports = Store(run), Trainings(run / "trainings", bundled=False)
    trainings: dict[str, float] = {}
    passes: dict[tuple[str, str], PassTime] = {}
    for content in store.cells():
        columns, settings = content["columns"], content["settings"]
        if columns["status"] != "ok":
            continue
        one = str(columns.get("fingerprint")), str(settings.get("backbone"))
        needs = set(passes[one].needs) if one in passes else set()
        key = str(settings.get("training"))
        if reports.has(key):  # others ship with the project
            needs.add(key)
            trainings[key] = number(columns, "train_seconds")
        fixed, images = number(columns, "fixed_seconds"), number(columns, "images")
        parts = max(1, int(-(-images // max(1, number(columns, "batch"))) // LEAST_BATCHES))
        passes[one] = PassTime(number(columns, "seconds") - fixed, frozenset(needs), fixed, parts)
    if not passes:
        raise UserError(
            f"{run} holds no cell that was measured: run the sweep first, on a part of its images if need be"
        )
    whole: Mapping[str, object] = next((one for one in store.runs() if one.get("kept") == 0), {})
    opening, beside = number(whole, "opening"), 0.0
    if whole.get("workers") == 1:
        tasks = sum(trainings.values()) + sum(one.seconds + one.fixed for one in passes.values())
        beside = max(0.0, number(whole, "seconds") - opening - tasks)
    neighbours = {key: reports.report(key).get("neighbour") for key in trainings}
    return Measured(trainings, neighbours, list(passes.values()), opening, beside)


def number(columns: Mapping[str, object], name: str) -> float:
    """A column's number; 0 where it has none."""
    value = columns.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def predicted(found: Measured, workers: int) -> float:
    """Seconds from the beginning to the last task's end.

    >>> one = Measured({"a": 4, "b": 2, "c": 3}, {"b": "a"}, [PassTime(8, frozenset("abc"))])
    >>> [predicted(one, n) for n in (1, 2, 4)]
    [17.0, 10.0, 8.0]
    """
    each = found.opening / max(1, len(found.passes)) if workers > 1 else 0.0
    ended: dict[str, float] = {}
    line = _lines(found)
    free = [found.opening + found.beside + (each if line else 0.0)] * workers
    for chain in line:
        at = heapq.heappop(free)
        for key in chain:
            at += found.trainings[key]
            ended[key] = at
        heapq.heappush(free, at)
    last = max(free)
    opened = bool(line)
    for one in sorted(found.passes, key=lambda one: _ready(one, ended)):
        parts = min(workers, one.parts)
        for _ in range(parts):
            begun = max(heapq.heappop(free), _ready(one, ended))
            at = begun + one.fixed + one.seconds / parts + (0.0 if opened else each)
            last = max(last, at)
            heapq.heappush(free, at)
        opened = False
    return float(last)


def _ready(one: PassTime, ended: Mapping[str, float]) -> float:
    return max((ended[key] for key in one.needs), default=0.0)


def longest(found: Measured) -> float:
    """Seconds of the longest chain of trainings: no number of workers is faster."""
    return max((sum(found.trainings[key] for key in chain) for chain in _lines(found)), default=0.0)


def _lines(found: Measured) -> list[list[str]]:
    return chains((key, found.neighbours.get(key)) for key in _in_order(found))


def _in_order(found: Measured) -> Iterator[str]:
    """Trainings, each behind the one that it begins with."""
    told: set[str] = set()
    for key in found.trainings:
        line = [key]
        while (before := found.neighbours.get(line[-1])) in found.trainings and before not in line:
            line.append(str(before))
        for one in reversed(line):
            if one not in told:
                told.add(one)
                yield one


def described(sweeps: Sequence[Measured], workers: Sequence[int] = WORKERS) -> Iterator[str]:
    """Lines to print on sweeps that run one after the other: time, speed-up and how busy each worker is."""
    trainings, passes = [sum(one.trainings.values()) for one in sweeps], [one for all_ in sweeps for one in all_.passes]
    total = sum(one.seconds + one.fixed for one in passes)
    count = sum(len(one.trainings) for one in sweeps)
    trained = f"{format_count(count, 'training')} ({format_duration(sum(trainings))})"
    yield f"{trained}, {format_count(len(passes), 'pass')} ({format_duration(total)})"
    yield f"{'workers':>8} {'time':>10} {'times faster':>13} {'busy':>6}"
    alone = time(sweeps, 1)
    for each in workers:
        seconds = time(sweeps, each)
        yield f"{each:8} {format_duration(seconds):>10} {alone / seconds:13.2f} {100 * alone / seconds / each:5.0f}%"
    chain = sum(map(longest, sweeps))
    if chain:
        yield f"no number of workers is faster than the longest chain of trainings: {format_duration(chain)}"
    yield f"from {format_count(enough(sweeps), 'worker')} on, twice as many save less than {_HELPS:.0%} of the time"


def time(sweeps: Iterable[Measured], workers: int) -> float:
    """Seconds of sweeps one after the other."""
    return sum(predicted(one, workers) for one in sweeps)


def enough(sweeps: Sequence[Measured]) -> int:
    """The power of two from which on twice as many workers hardly help."""
    count = 1
    while time(sweeps, 2 * count) < (1 - _HELPS) * time(sweeps, count):
        count *= 2
    return count


def taken(run: Path) -> Iterator[tuple[int, float]]:
    """Workers and seconds of the times that a sweep was run in this folder, those that kept nothing."""
    for one in Store(run).runs():
        workers, seconds = int(number(one, "workers")), number(one, "seconds")
        if one.get("kept") == 0 and workers > 0 and seconds > 0:
            yield workers, seconds


def checked(found: Measured, runs: Iterable[Path]) -> Iterator[str]:
    """Lines that compare what is predicted with what runs of the same sweep took."""
    for run in runs:
        for workers, seconds in taken(run):
            told = predicted(found, workers)
            yield (
                f"{run}: {format_count(workers, 'worker')} took {seconds:.1f} s, predicted {told:.1f} s "
                f"({100 * (told / seconds - 1):+.1f} %)"
            )

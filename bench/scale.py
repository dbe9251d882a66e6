"""How long a sweep would take with more workers, from what a run of it measured: a model of the scheduler on paper.

A run's folder tells how long every training and every pass took. The model gives them out as ``schedule`` does:
trainings that begin with one another form chains; chains go before passes, those listed first before others; a pass
begins when its cells' trainings have ended, in as many equal parts as there are workers. It leaves out what every
worker does for itself (opening data, splitting the backbone, fitting tables), so that it tells a lower bound, and takes
all workers to be as fast as the one that measured.
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitbench.bench.errors import UserError
from splitbench.bench.schedule import chains


@dataclass(frozen=True)
class Measured:
    """Seconds of trainings by key, what each begins with, and for every pass its seconds and the trainings it needs."""

    trainings: Mapping[str, float]
    neighbours: Mapping[str, str | None]
    passes: Sequence[tuple[float, frozenset[str]]]


def measured(run: Path) -> Measured:
    """What a run's folder tells. Raises UserError where it holds no good cell."""
    trainings: dict[str, float] = {}
    neighbours: dict[str, str | None] = {}
    seconds: dict[tuple[str, str], float] = {}
    needs: dict[tuple[str, str], set[str]] = {}
    for content in _contents(run / "cells"):
        columns, settings = content.get("columns", {}), content.get("settings", {})
        if columns.get("status") != "ok":
            continue
        one = str(columns["fingerprint"]), str(settings["backbone"])
        seconds[one] = max(seconds.get(one, 0.0), float(columns["seconds"]))
        needs.setdefault(one, set())
        if "training" in settings:
            key = str(settings["training"])
            needs[one].add(key)
            trainings[key] = float(columns.get("train_seconds") or 0)
    for path in sorted((run / "trainings").glob("*.json")):
        if path.stem in trainings:
            neighbours[path.stem] = json.loads(path.read_text(encoding="utf-8")).get("neighbour")
    if not seconds:
        raise UserError(
            f"{run} holds no cell that was measured: run the sweep first, on a part of its images if need be"
        )
    return Measured(trainings, neighbours, [(seconds[one], frozenset(needs[one])) for one in seconds])


def _contents(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        try:
            yield json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue


def predicted(found: Measured, workers: int) -> float:
    """Seconds from the first task's begin to the last one's end.

    >>> one = Measured({"a": 4, "b": 2, "c": 3}, {"b": "a"}, [(8, frozenset("abc"))])
    >>> [predicted(one, n) for n in (1, 2, 4)]
    [17.0, 10.0, 8.0]
    """
    order = list(_in_order(found))
    ended: dict[str, float] = {}
    free = [0.0] * workers
    for chain in chains((key, found.neighbours.get(key)) for key in order):
        at = heapq.heappop(free)
        for key in chain:
            at += found.trainings[key]
            ended[key] = at
        heapq.heappush(free, at)
    last = max(free)
    passes = sorted(found.passes, key=lambda one: max((ended[key] for key in one[1]), default=0.0))
    for seconds, needs in passes:
        ready = max((ended[key] for key in needs), default=0.0)
        for _ in range(workers):
            at = max(heapq.heappop(free), ready) + seconds / workers
            last = max(last, at)
            heapq.heappush(free, at)
    return float(last)


def _in_order(found: Measured) -> Iterator[str]:
    """Trainings, each behind the one that it begins with."""
    told: set[str] = set()
    for key in found.trainings:
        line = [key]
        while (before := found.neighbours.get(line[-1])) is not None and before in found.trainings:
            line.append(before)
        for one in reversed(line):
            if one not in told:
                told.add(one)
                yield one


def described(run: Path, workers: Sequence[int]) -> Iterator[str]:
    """Lines to print: time, speed-up and what each worker is worth. Raises UserError as :func:`measured` does."""
    found = measured(run)
    alone = predicted(found, 1)
    longest = max(
        (
            sum(found.trainings[key] for key in chain)
            for chain in chains((k, found.neighbours.get(k)) for k in _in_order(found))
        ),
        default=0.0,
    )
    total = sum(seconds for seconds, _ in found.passes)
    yield f"{len(found.trainings)} trainings ({alone - total:.0f} s), {len(found.passes)} passes ({total:.0f} s)"
    yield f"{'workers':>8} {'hours':>10} {'times faster':>13} {'busy':>6}"
    for count in workers:
        seconds = predicted(found, count)
        yield f"{count:8} {seconds / 3600:10.3f} {alone / seconds:13.2f} {100 * alone / seconds / count:5.0f}%"
    yield f"no number of workers is faster than the longest chain of trainings: {longest / 3600:.3f} hours"

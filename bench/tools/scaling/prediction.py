"""A model of the scheduler: how long workers take for a workload.

The model hands out tasks as the scheduler does. Trainings that start with one another's weights form chains. Chains go
before passes, those listed first before others. A pass begins when its trainings have ended, in equal parts, at most
one per worker and none of fewer than four batches. Each worker opens data and backbone, prepares a pass and reads
training images for itself. The start of a worker's process is left out, and all workers are taken to be as fast as the
one that was measured.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

from splitbench.bench.run.partition import chains
from splitbench.bench.tools.scaling.workload import PassTime, Workload

LEAST_GAIN = 0.1
"""Twice as many workers that save less than this share of the time do not help."""


def predict_seconds(workload: Workload, workers: int) -> float:
    """Predict the seconds from the beginning to the last task's end.

    >>> work = Workload({"a": 4, "b": 2, "c": 3}, {"b": "a"}, [PassTime(8, frozenset("abc"))])
    >>> [predict_seconds(work, workers) for workers in (1, 2, 4)]
    [17.0, 10.0, 8.0]
    """
    opening = workload.opening / max(1, len(workload.passes)) if workers > 1 else 0.0
    ended: dict[str, float] = {}
    training_chains = _chains(workload)
    free = [workload.opening + workload.other + (opening if training_chains else 0.0)] * workers
    for chain in training_chains:
        now = heapq.heappop(free)
        for key in chain:
            now += workload.trainings[key]
            ended[key] = now
        heapq.heappush(free, now)
    last = max(free)
    opened = bool(training_chains)
    for pass_ in sorted(workload.passes, key=lambda pass_: _ready(pass_, ended)):
        parts = min(workers, pass_.most_parts)
        for _ in range(parts):
            begun = max(heapq.heappop(free), _ready(pass_, ended))
            now = begun + pass_.fixed + pass_.seconds / parts + (0.0 if opened else opening)
            last = max(last, now)
            heapq.heappush(free, now)
        opened = False
    return float(last)


def longest_chain(workload: Workload) -> float:
    """Return the seconds of the longest chain of trainings: no number of workers is faster."""
    return max((sum(workload.trainings[key] for key in chain) for chain in _chains(workload)), default=0.0)


def total_seconds(workloads: Iterable[Workload], workers: int) -> float:
    """Predict the seconds of workloads one after the other."""
    return sum(predict_seconds(workload, workers) for workload in workloads)


def useful_workers(workloads: Sequence[Workload]) -> int:
    """Return the power of two from which on twice as many workers save less than :data:`LEAST_GAIN`."""
    count = 1
    while total_seconds(workloads, 2 * count) < (1 - LEAST_GAIN) * total_seconds(workloads, count):
        count *= 2
    return count


def _ready(pass_: PassTime, ended: Mapping[str, float]) -> float:
    return max((ended[key] for key in pass_.trainings), default=0.0)


def _chains(workload: Workload) -> list[list[str]]:
    return chains((key, workload.starts.get(key)) for key in _in_order(workload))


def _in_order(workload: Workload) -> Iterator[str]:
    """Yield the keys of trainings, each behind the one that it starts with; circles are cut."""
    given: set[str] = set()
    for key in workload.trainings:
        line = [key]
        while (before := workload.starts.get(line[-1])) in workload.trainings and before not in line:
            line.append(str(before))
        for key_ in reversed(line):
            if key_ not in given:
                given.add(key_)
                yield key_

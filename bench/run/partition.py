"""How a pass is partitioned into tasks."""

from collections.abc import Iterable, Iterator, Sequence

from splitbench.bench.evaluation.pipeline.loader import plan_pass
from splitbench.bench.run.planning.plan import Pass, PassSpec
from splitbench.bench.run.tasks import DescribeTask, MeasureTask, Resource, RunTask, ScoreTask, TrainTask

LEAST_BATCHES = 4
"""The fewest batches of a pass per worker: each worker has to split the backbone and to fit tables first."""


def partition(specs: Sequence[PassSpec], passes: Sequence[Pass], workers: int, in_process: bool) -> list[list[RunTask]]:
    """Return the tasks of each pass.

    Args:
        specs: The passes.
        passes: The same, opened.
        workers: How many tasks run at a time.
        in_process: Whether they run in this process, one after the other: then each pass is trained right before it is
            measured. Several workers train for all passes first.
    """
    trained: set[str] = set()
    tasks: list[list[RunTask]] = []
    for number, (spec, pass_) in enumerate(zip(specs, passes, strict=True)):
        training = list(_training_tasks(spec, number, trained, in_process))
        trained |= {key for task in training for key in task.keys}
        measuring = list(_measuring_tasks(spec, number, pass_, workers))
        measured = tuple(resource for task in measuring for resource in task.provides)
        tasks.append([*training, *measuring, *_scoring_tasks(spec, number, measured, workers)])
    return tasks


def _training_tasks(spec: PassSpec, number: int, trained: set[str], in_process: bool) -> Iterator[TrainTask]:
    missing = [(training.key, training.neighbour) for training in spec.trainings if training.key not in trained]
    if not missing:
        return
    for keys in [[key for key, _ in missing]] if in_process else chains(missing):
        priority = (number, 0) if in_process else (-1, number)
        yield TrainTask(spec=spec, pass_number=number, priority=priority, keys=tuple(keys))


def chains(pairs: Iterable[tuple[str, str | None]]) -> list[list[str]]:
    """Return trainings, as pairs of a key and the key that it begins with, in chains that can run independently.

    >>> chains([("a", None), ("b", "a"), ("c", None), ("d", "b")])
    [['a', 'b', 'd'], ['c']]
    """
    result: list[list[str]] = []
    for key, neighbour in pairs:
        chain = next((chain for chain in result if neighbour is not None and chain[-1] == neighbour), None)
        if chain is None:
            result.append([key])
        else:
            chain.append(key)
    return result


def _measuring_tasks(spec: PassSpec, number: int, pass_: Pass, workers: int) -> Iterator[DescribeTask | MeasureTask]:
    """Describe the cells, and measure the batches that no shard holds."""
    if spec.partial.descriptions() is None:
        yield DescribeTask(spec=spec, pass_number=number, priority=(number, 1))
    batches = plan_pass(pass_.dataset, pass_.backbone(), spec.run.batch)
    parts = max(1, min(workers, len(batches) // LEAST_BATCHES))
    size = -(-len(batches) // parts)
    for begin, end in spec.partial.gaps(0, len(batches)):
        for first in range(begin, end, size):
            last = min(first + size, end)
            yield MeasureTask(
                spec=spec,
                pass_number=number,
                priority=(number, 2),
                first=first,
                last=last,
                images=sum(map(len, batches[first:last])),
            )


def _scoring_tasks(spec: PassSpec, number: int, measured: tuple[Resource, ...], workers: int) -> Iterator[ScoreTask]:
    keys = [planned.key for planned in spec.cells]
    shares = min(workers, len(keys))
    for share in range(shares):
        yield ScoreTask(
            spec=spec,
            pass_number=number,
            priority=(number, 3),
            keys=tuple(keys[share::shares]),
            measured=measured,
        )

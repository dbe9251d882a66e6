"""Gives tasks to an executor as they become ready; what was lost with a worker is given out again, a few times."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from splitbench.bench.executors.base import Call, Executor, LostError
from splitbench.bench.work import Job

_TRIES = 3
_POLL = 0.5  # seconds: Ctrl-C is heard between waits


@dataclass(eq=False)
class Task:
    """``call(job, failed, *args)``, to be done when all of ``after`` is there; then ``gives`` is, if only as failed.

    Lower ``rank`` goes first. ``work`` is its size in (image, cell) pairs.
    """

    job: Job
    call: Call
    args: tuple[Any, ...] = ()
    after: frozenset[str] = frozenset()
    gives: tuple[str, ...] = ()
    rank: tuple[int, ...] = ()
    work: int = 0
    owner: int = 0
    tries: int = field(default=0)


Done = Callable[[Task, Any, Exception | None], None]


def drive(tasks: Sequence[Task], executor: Executor, failed: dict[str, str], done: Done) -> None:
    """Do all tasks. ``done(task, result, error)`` is called in this thread when one has ended.

    ``failed`` holds the reasons of trainings that failed; it goes to every task, and ``done`` adds to it.
    """
    ready: list[tuple[tuple[int, ...], int, Task]] = []
    waiting = list(tasks)
    there: set[str] = set()
    running: dict[Future[Any], Task] = {}
    number = 0

    def release() -> None:
        nonlocal number
        for task in [task for task in waiting if task.after <= there]:
            waiting.remove(task)
            heapq.heappush(ready, (task.rank, number, task))
            number += 1

    release()
    while ready or running:
        while ready and len(running) < executor.workers:
            _, _, task = heapq.heappop(ready)
            task.tries += 1
            running[executor.submit(task.call, task.job, dict(failed), *task.args)] = task
        ended, _ = wait(running, _POLL, FIRST_COMPLETED)
        for future in ended:
            task = running.pop(future)
            error = future.exception()
            if isinstance(error, LostError) and task.tries < _TRIES:
                waiting.append(task)
                continue
            if error is not None and not isinstance(error, Exception):
                raise error
            result = None if error is not None else future.result()
            done(task, result, error if isinstance(error, Exception) else None)
            there |= set(task.gives)
        release()
    if waiting:
        raise RuntimeError(f"{len(waiting)} tasks wait for what nobody makes")


def chains(pairs: Iterable[tuple[str, str | None]]) -> list[list[str]]:
    """Trainings (key, key of the one that it begins with) as chains: each can be done by itself, in its order.

    >>> chains([("a", None), ("b", "a"), ("c", None), ("d", "b")])
    [['a', 'b', 'd'], ['c']]
    """
    found: list[list[str]] = []
    for key, neighbour in pairs:
        chain = next((chain for chain in found if neighbour is not None and chain[-1] == neighbour), None)
        if chain is None:
            found.append([key])
        else:
            chain.append(key)
    return found

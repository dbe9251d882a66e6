"""Gives tasks to an executor as they become ready; what is lost with a worker is run again, a few times."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter

from splitbench.bench.run.executors.executor import Executor, LostError
from splitbench.bench.run.tasks import Resource, RunTask, TaskResult
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.failure import Failure

_TRIES = 3
_POLL = 0.5  # seconds: Ctrl-C is heard between waits


@dataclass(frozen=True)
class Ended:
    """A task that has ended, with its result, or why it has none."""

    task: RunTask
    result: TaskResult
    failure: Failure | None = None


def run_tasks(
    tasks: Sequence[RunTask], executor: Executor, waiting: Callable[[], None] = lambda: None
) -> Iterator[Ended]:
    """Run all tasks, each when what it requires is there, and yield them as they end.

    ``waiting`` is called at least twice a second while other processes work.

    Raises:
        UserError: A task raised it: it concerns the whole run.
    """
    entries = {task: (task.priority, number, task) for number, task in enumerate(tasks)}
    sorter = TopologicalSorter(_dependencies(tasks))
    sorter.prepare()
    ready: list[tuple[tuple[int, ...], int, RunTask]] = []  # a heap
    running: dict[Future[TaskResult], RunTask] = {}
    tries: Counter[RunTask] = Counter()
    failures: dict[Resource, Failure] = {}
    while sorter.is_active():
        for task in sorter.get_ready():
            heapq.heappush(ready, entries[task])
        while ready and len(running) < executor.workers:
            _, _, task = heapq.heappop(ready)
            tries[task] += 1
            missing = {resource: failures[resource] for resource in task.requires if resource in failures}
            running[executor.submit(task, missing)] = task
        done = wait(running, _POLL, FIRST_COMPLETED).done
        waiting()
        for future in done:
            task = running.pop(future)
            if isinstance(future.exception(), LostError) and tries[task] < _TRIES:
                heapq.heappush(ready, entries[task])
                continue
            ended = _end(task, future)
            failures |= ended.result.failures
            yield ended
            sorter.done(task)


def _dependencies(tasks: Sequence[RunTask]) -> dict[RunTask, set[RunTask]]:
    """Return each task with those that provide what it requires."""
    providers = {resource: task for task in tasks for resource in task.provides}
    if unmet := {resource for task in tasks for resource in task.requires} - providers.keys():
        raise RuntimeError(f"no task provides {sorted(map(str, unmet))}")
    return {task: {providers[resource] for resource in task.requires} for task in tasks}


def _end(task: RunTask, future: "Future[TaskResult]") -> Ended:
    error = future.exception()
    if error is None:
        return Ended(task, future.result())
    if isinstance(error, UserError) or not isinstance(error, Exception):
        raise error
    failure = Failure.from_error(error, task.spec.title)
    return Ended(task, TaskResult(dict.fromkeys(task.provides, failure)), failure)

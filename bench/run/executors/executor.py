"""What an executor is, and how a task runs in a process that an executor started."""

import os
from concurrent.futures import Future
from functools import cache
from typing import Protocol

from splitbench.bench.run.tasks import Failures, RunTask, TaskResult
from splitbench.bench.run.worker import Worker
from splitbench.bench.utils import devices
from splitbench.bench.utils.log import LOG


class LostError(Exception):
    """The process or machine that ran a task is gone; the task may run elsewhere."""


class Executor(Protocol):
    """Runs tasks.

    Attributes:
        workers: How many tasks run at a time.
        in_process: Whether they run in this process.
    """

    workers: int
    in_process: bool

    def start(self, worker: Worker) -> None:
        """Get ready for a run; ``worker`` is for the tasks that run in this process."""
        ...

    def submit(self, task: RunTask, failures: Failures) -> "Future[TaskResult]":
        """Start a task. The future raises what the task raised, or :class:`LostError`."""
        ...

    def close(self) -> None:
        """End all workers at once, whatever they do."""
        ...


def run_in_process(task: RunTask, failures: Failures) -> TaskResult:
    """Run a task in a process that an executor started; if its GPU has stopped, end it, and another one takes over."""
    try:
        return task.run(_process_worker(), failures)
    except Exception:
        if devices.has_stopped(task.spec.device):
            LOG.error("the GPU stopped working: this process ends", exc_info=True)
            os._exit(1)
        raise


@cache
def _process_worker() -> Worker:
    """Return the worker of this process, which it keeps for as long as it lives.

    Neither a process pool nor Ray hands tasks an object that stays in their process. Ray's actors would, but an actor
    holds its GPU while it waits, and one that is lost with its machine waits for room for ever.
    """
    return Worker()

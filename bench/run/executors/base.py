"""What an executor is."""

import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from splitbench.bench.run.worker import Job
from splitbench.bench.utils import provenance
from splitbench.bench.utils.log import LOG

Call = Callable[..., Any]
"""One of the functions of :mod:`splitbench.bench.run.worker`; its first argument is a :class:`Job`."""


def in_worker(call: Call, job: Job, *args: Any) -> Any:
    """The call, in a process of its own: one whose GPU computes nothing any more ends, and another does its work."""
    try:
        return call(job, *args)
    except Exception:
        if provenance.stopped(job.sources.device):
            LOG.error("the GPU stopped working: this process ends", exc_info=True)
            os._exit(1)
        raise


class LostError(Exception):
    """The process or machine that did some work is gone; the work may be done elsewhere."""


class Executor(Protocol):
    """Does work somewhere. ``workers`` is how much at a time; ``here`` tells whether it is done in this process."""

    workers: int
    here: bool

    def submit(self, call: Call, job: Job, *args: Any) -> "Future[Any]":
        """Begin ``call(job, *args)``. The future raises what the call raised, or :class:`LostError`."""
        ...

    def close(self) -> None:
        """End all workers at once, whatever they do."""
        ...

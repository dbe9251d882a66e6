"""Gives errands to an executor as they become ready; what was lost with a worker is given out again, a few times."""

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from splitbench.bench.run.executors.base import Call, Executor, LostError
from splitbench.bench.run.worker import Job

_TRIES = 3
_POLL = 0.5  # seconds: Ctrl-C is heard between waits


@dataclass(eq=False)
class Errand:
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
    tries: int = 0


Done = Callable[[Errand, Any, Exception | None], None]


def drive(errands: Sequence[Errand], executor: Executor, failed: dict[str, str], done: Done) -> None:
    """Do all errands. ``done(errand, result, error)`` is called in this thread when one has ended.

    ``failed`` holds the reasons of trainings that failed; it goes to every errand, and ``done`` adds to it.
    """
    ready: list[tuple[tuple[int, ...], int, Errand]] = []
    waiting = list(errands)
    there: set[str] = set()
    running: dict[Future[Any], Errand] = {}
    number = 0

    def release() -> None:
        nonlocal number
        for errand in [errand for errand in waiting if errand.after <= there]:
            waiting.remove(errand)
            heapq.heappush(ready, (errand.rank, number, errand))
            number += 1

    release()
    while ready or running:
        while ready and len(running) < executor.workers:
            _, _, errand = heapq.heappop(ready)
            errand.tries += 1
            running[executor.submit(errand.call, errand.job, dict(failed), *errand.args)] = errand
        ended, _ = wait(running, _POLL, FIRST_COMPLETED)
        for future in ended:
            errand = running.pop(future)
            error = future.exception()
            if isinstance(error, LostError) and errand.tries < _TRIES:
                waiting.append(errand)
                continue
            if error is not None and not isinstance(error, Exception):
                raise error
            result = None if error is not None else future.result()
            done(errand, result, error if isinstance(error, Exception) else None)
            there |= set(errand.gives)
        release()
    if waiting:
        raise RuntimeError(f"{len(waiting)} errands wait for what nobody makes")

"""On this machine: in this process, or in one process per device."""

import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from splitbench.bench.run.executors.base import Call, LostError, in_worker
from splitbench.bench.run.worker import Job


class Here:
    """In this process, one thing after the other."""

    workers = 1
    here = True

    def submit(self, call: Call, job: Job, *args: Any) -> "Future[Any]":
        """See the protocol; the future is done when it is returned."""
        future: Future[Any] = Future()
        try:
            future.set_result(call(job, *args))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing to end."""


class Processes:
    """One process for each of ``devices`` (``["cuda:0", "cuda:1"]``, or ``["cpu"] * 4``)."""

    here = False

    def __init__(self, devices: Sequence[str]) -> None:
        self.workers = len(devices)
        self._lanes = [_Lane(device) for device in devices]

    def submit(self, call: Call, job: Job, *args: Any) -> "Future[Any]":
        """See the protocol; at most as many at a time as there are workers."""
        lane = next(lane for lane in self._lanes if not lane.busy)
        lane.busy = True
        pool = lane.pool = lane.pool or _process()
        told: Future[Any] = Future()

        def finished(done: "Future[Any]") -> None:
            error = done.exception()
            if isinstance(error, BrokenProcessPool):
                lane.pool, error = None, LostError("its process died (killed, or out of memory)")
            lane.busy = False
            if error is None:
                told.set_result(done.result())
            else:
                told.set_exception(error)

        with _uninterrupted():
            future = pool.submit(in_worker, call, job.on(lane.device), *args)
        future.add_done_callback(finished)
        return told

    def close(self) -> None:
        """See the protocol."""
        for lane in self._lanes:
            if lane.pool is not None and lane.busy:
                for process in list((lane.pool._processes or {}).values()):
                    process.kill()
        for lane in self._lanes:
            if lane.pool is not None:
                lane.pool.shutdown(wait=True, cancel_futures=True)
                lane.pool = None


@dataclass
class _Lane:
    """A device and its process, if it has one already."""

    device: str
    pool: ProcessPoolExecutor | None = None
    busy: bool = False


def _process() -> ProcessPoolExecutor:
    """A pool of one: where its process dies, no other work dies with it."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits, so that no process is half started; those that are never hear it: it is for who started them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what is started now begins with it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if heard and callable(handler):
        handler(*heard[0])

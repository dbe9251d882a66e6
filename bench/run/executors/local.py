"""On this machine: in this process, or in one process per device."""

import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

from splitbench.bench.run.executors.executor import LostError, run_in_process
from splitbench.bench.run.tasks import Failures, RunTask, TaskResult
from splitbench.bench.run.worker import Worker


class Here:
    """In this process, one task after the other."""

    workers = 1
    in_process = True

    def __init__(self) -> None:
        self._worker = Worker()

    def start(self, worker: Worker) -> None:
        """See the protocol."""
        self._worker = worker

    def submit(self, task: RunTask, failures: Failures) -> "Future[TaskResult]":
        """See the protocol; the future is done when it is returned."""
        future: Future[TaskResult] = Future()
        try:
            future.set_result(task.run(self._worker, failures))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Close the pass that is open."""
        self._worker.close()


class Processes:
    """One process for each of ``devices`` (``["cuda:0", "cuda:1"]``, or ``["cpu"] * 4``)."""

    in_process = False

    def __init__(self, devices: Sequence[str]) -> None:
        self.workers = len(devices)
        self._lanes = [_Lane(device) for device in devices]

    def start(self, worker: Worker) -> None:
        """See the protocol; processes start with their first task."""

    def submit(self, task: RunTask, failures: Failures) -> "Future[TaskResult]":
        """See the protocol; at most as many tasks at a time as there are workers."""
        lane = next(lane for lane in self._lanes if not lane.busy)
        lane.busy = True
        if lane.pool is None or lane.broken:
            lane.pool, lane.broken = _process(), False
        result: Future[TaskResult] = Future()

        def finish(done: "Future[TaskResult]") -> None:
            error = done.exception()
            if isinstance(error, BrokenProcessPool):
                # Dropped by the next submit: here, in its own thread, the pool would wait for its own lock forever.
                lane.broken, error = True, LostError("its process died (killed, or out of memory)")
            lane.busy = False
            if error is None:
                result.set_result(done.result())
            else:
                result.set_exception(error)

        here = replace(task, spec=task.spec.on(lane.device))
        with uninterrupted():
            try:
                future = lane.pool.submit(run_in_process, here, failures)
            except BrokenProcessPool:  # the process was killed while it had nothing to do
                lane.pool = _process()
                future = lane.pool.submit(run_in_process, here, failures)
        future.add_done_callback(finish)
        return result

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
    broken: bool = False


def _process() -> ProcessPoolExecutor:
    """Return a pool of one process: if it dies, no other task is lost with it."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back, so no process is left partly started; the new one never receives it, but its parent does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: received.append((number, frame)))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by what is started now
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if received and callable(handler):
        handler(*received[0])

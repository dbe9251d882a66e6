"""Threads that encode and decode while the network runs. Codecs release the interpreter lock."""

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Stop(BaseException):
    """Passes through an ``except Exception`` in a codec."""


class Call(Generic[T]):
    """A call whose result is asked for later."""

    def __init__(self, call: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._call, self._arguments = call, arguments
        self._thread = 0
        self._lock = threading.Lock()
        self.future: Future[T] | None = None

    def result(self) -> T:
        """Wait for the call and return what it returned, or raise what it raised; giving up waiting stops the call."""
        if self.future is None:
            return self._call(*self._arguments)
        try:
            return self.future.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Interrupt the call as soon as it runs Python code."""
        with self._lock:
            if self._thread:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(_Stop))

    def run(self) -> T:
        """Make the call in the current thread."""
        with self._lock:
            self._thread = threading.get_ident()
        try:
            return self._call(*self._arguments)
        finally:
            with self._lock:
                self._thread = 0


class CoderThreads:
    """A pool of ``count`` threads; with none, calls are made where their result is asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, "coder") if count else None

    def submit(self, call: Callable[..., T], *arguments: Any) -> Call[T]:
        """Begin ``call(*arguments)``."""
        submitted = Call(call, arguments)
        if self._pool is not None:
            submitted.future = self._pool.submit(submitted.run)
        return submitted

    def close(self) -> None:
        """Drop the calls that have not begun, and wait for the others."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

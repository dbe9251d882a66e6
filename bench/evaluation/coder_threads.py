"""Threads that code while the network runs. Coders release the interpreter lock."""

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Stop(BaseException):
    """Passes through a codec's own `except Exception`."""


class Call(Generic[T]):
    """A call, and what came of it."""

    def __init__(self, call: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._call, self._arguments = call, arguments
        self._thread = 0
        self._lock = threading.Lock()
        self.future: Future[T] | None = None

    def result(self) -> T:
        """What the call returned; raises what it raised. Waits for it, and stops it where waiting is given up."""
        if self.future is None:
            return self._call(*self._arguments)
        try:
            return self.future.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Interrupt it, as soon as it is in Python code."""
        with self._lock:
            if self._thread:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(_Stop))

    def run(self) -> T:
        """The call, in a thread of its own."""
        with self._lock:
            self._thread = threading.get_ident()
        try:
            return self._call(*self._arguments)
        finally:
            with self._lock:
                self._thread = 0


class Coders:
    """Some threads, or none: calls are then made where their result is asked for."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "coder") if threads else None

    def submit(self, call: Callable[..., T], *arguments: Any) -> Call[T]:
        """Have something called."""
        begun = Call(call, arguments)
        if self._pool is not None:
            begun.future = self._pool.submit(begun.run)
        return begun

    def close(self) -> None:
        """Calls that wait are not made any more; those at work end first."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

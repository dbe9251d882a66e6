"""A limit on the time that one step of a cell may take, where Python code can be interrupted."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from splitbench.methods.base import MethodError

_seconds: ContextVar[float] = ContextVar("seconds", default=0.0)
"""The limit on steps within the current :func:`allowed`. Steps are many calls deep, in code that knows of no limits."""


class _TimeoutError(BaseException):
    """Passes through an ``except Exception`` in a method."""


@contextmanager
def allowed(seconds: float) -> Iterator[None]:
    """Limit each step within to ``seconds``; 0 sets no limit."""
    token = _seconds.set(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)


@contextmanager
def limited() -> Iterator[None]:
    """Run one step under the limit; a step within a step has a separate limit.

    A single call into compiled code is not interrupted, but ends first. Only a process's main thread can be
    interrupted; steps in other threads have no limit.

    Raises:
        MethodError: The step took longer than :func:`allowed`.
    """
    seconds = _seconds.get()
    if seconds <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _TimeoutError:
        raise MethodError(f"gave up after {seconds:g} s for one step: allow more by --time-limit") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, seconds if outer else 0)
        signal.signal(signal.SIGALRM, before)

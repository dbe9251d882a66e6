"""Gives up on one step of a cell that takes too long, where Python code can be interrupted."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from splitbench.methods.base import MethodError

_allowed = 0.0


def allow(seconds: float) -> None:
    """Let every step of a cell in this process take so long; 0 means for ever."""
    global _allowed
    _allowed = seconds


class _Impatience(BaseException):
    """Passes through a method's own `except Exception`."""


@contextmanager
def limited() -> Iterator[None]:
    """Raise MethodError where what is within takes longer than allowed; steps within steps have time of their own.

    A single call into compiled code ends first. Only a process's main thread can be interrupted: nothing is limited in
    others.
    """
    if _allowed <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Impatience

    before = signal.signal(signal.SIGALRM, stop)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, _allowed)
    try:
        yield
    except _Impatience:
        raise MethodError(f"gave up after {_allowed:g} s for one step: allow more by --patience") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, _allowed if outer else 0)
        signal.signal(signal.SIGALRM, before)

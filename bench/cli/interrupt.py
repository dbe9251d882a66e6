"""Acknowledges Ctrl-C at once, also while the main thread is in a long computation and cannot stop yet."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_END = b"\0"


@contextmanager
def acknowledged() -> Iterator[None]:
    """Print a line as soon as Ctrl-C is pressed in the block; Python itself stops it when the computation returns."""
    if threading.current_thread() is not threading.main_thread() or os.name == "nt":
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # Python's own handler of the C library writes a signal's number here before anything else happens.
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reading,), daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(writing, _END)
        listener.join()
        os.close(reading)
        os.close(writing)


def _listen(reading: int) -> None:
    while (number := os.read(reading, 1)) != _END:
        if number == bytes([signal.SIGINT]):
            sys.stderr.write("\nstopping: the computation that is running ends first\n")
            sys.stderr.flush()

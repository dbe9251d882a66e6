"""How many threads decode images: Pillow releases the interpreter lock while it decodes."""

import os

_MIN_THREADS, _MAX_THREADS = 2, 16


def core_count() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    """Return the number of decoding threads: one core is left to the network."""
    return min(max(core_count() - 1, _MIN_THREADS), _MAX_THREADS)

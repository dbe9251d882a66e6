"""Threads that decode pictures: Pillow releases the interpreter lock while it decodes."""

import os

_FEWEST, _MOST = 2, 16


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """How many: one core is left to what the pictures are for."""
    return min(max(cores() - 1, _FEWEST), _MOST)

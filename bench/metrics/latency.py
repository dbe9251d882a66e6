"""Latency: median times at batch 1."""

import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import torch


def median_ms(call: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], device: torch.device) -> float:
    """Return the median milliseconds of ``call`` over its arguments, each timed once, after one run as a warm-up.

    On a GPU the warm-up runs all of them: libraries choose their kernels when they first meet a shape.
    """
    arguments = list(arguments)
    for values in arguments if device.type == "cuda" else arguments[:1]:
        call(*values)
    times = []
    for values in arguments:
        _wait(device)
        start = time.perf_counter()
        call(*values)
        _wait(device)
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def _wait(device: torch.device) -> None:
    """Wait for the device: its kernels run on after the call that queued them has returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

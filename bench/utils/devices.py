"""The device and the CPU cores that a process computes on."""

import gc
import os
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_count


def select(name: str) -> torch.device:
    """Return the device called ``name``: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for CUDA where there is one.

    Raises:
        UserError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise UserError(f"unknown device {name!r}: --device takes cpu, cuda, cuda:N or auto") from None
    if chosen.type not in {"cpu", "cuda"}:
        raise UserError(f"device {name!r} is not supported: --device takes cpu, cuda, cuda:N or auto")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"--device {name}, but PyTorch sees no GPU here: use --device cpu, or install a driver for the GPU"
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        count = format_count(torch.cuda.device_count(), "GPU")
        raise UserError(f"--device {name}, but PyTorch sees {count} here, numbered from 0")
    if chosen.type == "cuda":  # rows say float32: TF32 would be something else; and the same run gives the same rows
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    return chosen


def display_name(device: torch.device) -> str:
    """Return ``cpu``, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def has_stopped(device: torch.device) -> bool:
    """Return whether a GPU has stopped working: after some errors CUDA refuses every call until the process ends."""
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)
        except RuntimeError:
            return True
    return False


def refuse_stopped(device: torch.device, reason: str) -> None:
    """Refuse to go on with a GPU that has stopped working.

    Args:
        device: The device that some work failed on.
        reason: How it failed, for the message.

    Raises:
        UserError: The GPU has stopped working.
    """
    if has_stopped(device):
        raise UserError(
            f"the GPU stopped working ({reason}): run the same command again, it goes on from there; if it stops there "
            "again, leave the method out by --method"
        )


def free_memory(device: torch.device) -> None:
    """Free the device memory that nothing uses any more; modules and traced graphs refer to themselves."""
    gc.collect()
    if device.type == "cuda":
        with suppress(RuntimeError):  # a GPU that has stopped working
            torch.cuda.empty_cache()


def to_device(batch: Any, device: torch.device, host_fields: int = 0) -> Any:
    """Return a batch with its tensors on ``device``, however nested in tuples, lists and dicts.

    Of a tuple, the last ``host_fields`` fields stay where they are.
    """
    if host_fields > 0:
        return *to_device(batch[:-host_fields], device), *batch[-host_fields:]
    if isinstance(batch, Tensor):
        # From memory that is not pinned, a copy waits until the GPU has done all that was queued before.
        pinned = batch.pin_memory() if device.type == "cuda" and batch.device.type == "cpu" else batch
        return pinned.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def core_count() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decoding_thread_count() -> int:
    """Return the number of threads that decode images (Pillow releases the interpreter lock): all cores but one."""
    return min(max(core_count() - 1, 2), 16)

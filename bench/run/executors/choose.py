"""From the command line's words to an executor."""

from dataclasses import dataclass
from typing import Literal

import torch

from splitbench.bench.run.executors.base import Executor
from splitbench.bench.run.executors.local import Here, Processes
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_count


@dataclass(frozen=True)
class Choice:
    """Which executor, and how many workers.

    By default that is one per GPU, one in all without, or as many as a cluster has room for. ``address`` is that of a
    Ray cluster (``auto``: the one on this machine), ``gpus`` what each of its tasks asks for.
    """

    name: Literal["local", "ray"] = "local"
    workers: int | None = None
    address: str | None = None
    gpus: float = 1.0


def opened(choice: Choice, device: str) -> Executor:
    """The executor for a device as the command line names it (``auto``, ``cpu``, ``cuda`` or ``cuda:1``).

    Raises:
        UserError: Ray is not installed or not there, or more workers than GPUs are asked for.
    """
    threads = torch.get_num_threads()
    if choice.name == "ray":
        from splitbench.bench.run.executors.ray import Ray

        return Ray(choice.address, device, choice.gpus, choice.workers, threads)
    if choice.address is not None:
        raise UserError("--address is a Ray cluster's: add --executor ray")
    count = torch.cuda.device_count() if device in ("auto", "cuda") and torch.cuda.is_available() else 0
    workers = choice.workers or max(1, count)
    if workers == 1:
        return Here()
    if count == 0 and device not in ("auto", "cpu"):
        raise UserError(f"--workers {workers} on one device ({device}): leave the number to DEVICE=cuda, one per GPU")
    if count > 0 and workers > count:
        raise UserError(f"--workers {workers}, but PyTorch sees {format_count(count, 'GPU')} here: one worker per GPU")
    return Processes([f"cuda:{number}" for number in range(workers)] if count else ["cpu"] * workers)

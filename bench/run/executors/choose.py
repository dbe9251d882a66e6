"""From command-line options to an executor."""

from dataclasses import dataclass
from typing import Literal

import torch

from splitbench.bench.run.executors.executor import Executor
from splitbench.bench.run.executors.local import Here, Processes
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_count


@dataclass(frozen=True)
class ExecutorOptions:
    """Which executor, and how many workers.

    Attributes:
        name: This machine or a Ray cluster.
        workers: By default one per GPU, one without GPUs, or as many as the cluster has room for.
        address: The Ray cluster's; ``auto`` is the one on this machine.
        gpus: GPUs that each task on the cluster takes.
    """

    name: Literal["local", "ray"] = "local"
    workers: int | None = None
    address: str | None = None
    gpus: float = 1.0


def open_executor(options: ExecutorOptions, device: str) -> Executor:
    """Return the executor for a device as the command line names it (``auto``, ``cpu``, ``cuda`` or ``cuda:1``).

    Raises:
        UserError: Ray is not installed or cannot be reached, or there are fewer GPUs than workers.
    """
    if options.name == "ray":
        from splitbench.bench.run.executors.ray import Ray

        return Ray(
            address=options.address,
            device=device,
            gpus=options.gpus,
            workers=options.workers,
            threads=torch.get_num_threads(),
        )
    if options.address is not None:
        raise UserError("--address is a Ray cluster's: add --executor ray")
    count = torch.cuda.device_count() if device in ("auto", "cuda") and torch.cuda.is_available() else 0
    workers = options.workers or max(1, count)
    if workers == 1:
        return Here()
    if count == 0 and device not in ("auto", "cpu"):
        raise UserError(f"--workers {workers} on one device ({device}): leave the number to --device cuda, one per GPU")
    if count > 0 and workers > count:
        raise UserError(f"--workers {workers}, but PyTorch sees {format_count(count, 'GPU')} here: one worker per GPU")
    return Processes([f"cuda:{number}" for number in range(workers)] if count else ["cpu"] * workers)

"""Several processes, on one machine or many, that train one model: plain data-parallel training under torchrun.

    torchrun --nproc-per-node 4 script.py         # script.py: with training.distributed.joined("cuda") as device: ...

Each process takes its share of every batch, and gradients are averaged so that N processes with batches of b images
do what one process does with batches of N x b, up to the rounding of sums. That is exact for models without batch
norms that learn: those see one process's images only, and the first process's statistics are kept (on CUDA
``nn.SyncBatchNorm.convert_sync_batchnorm`` makes them see all). Processes augment differently, and dropout differs.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from splitbench.bench.training.errors import TrainingError


@contextmanager
def joined(device: str = "cpu") -> Iterator[torch.device]:
    """Join the processes that torchrun started, and give this one's device; without torchrun, give ``device``.

    Raises:
        TrainingError: more processes on this machine than GPUs.
    """
    if "WORLD_SIZE" not in os.environ or "RANK" not in os.environ:
        yield torch.device(device)
        return
    chosen = torch.device(device)
    if chosen.type == "cuda":
        local, present = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= present:
            raise TrainingError(
                f"process {local} of this machine finds {present} GPUs; start as many as there are GPUs"
            )
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield chosen
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """This process's number; 0 for the one that saves and draws progress."""
    return dist.get_rank() if _together() else 0


def world() -> int:
    """The number of processes."""
    return dist.get_world_size() if _together() else 1


def wrapped(model: nn.Module) -> nn.Module:
    """The model to call in training: with several processes, their gradients are averaged and start from rank 0's."""
    return DistributedDataParallel(model) if world() > 1 else model


def total(values: Tensor) -> Tensor:
    """The sum over all processes, the same in each."""
    if world() > 1:
        values = values.to(_device())
        dist.all_reduce(values)
    return values


def gathered(values: Tensor) -> list[Tensor]:
    """Every process's tensor, all of the same shape, in order of rank, on the CPU."""
    if world() == 1:
        return [values.cpu()]
    here = values.to(_device())
    found = [torch.empty_like(here) for _ in range(world())]
    dist.all_gather(found, here)
    return [one.cpu() for one in found]


def spread(values: Iterable[Tensor]) -> None:
    """Overwrite tensors with those of rank 0."""
    if world() > 1:
        for value in values:
            dist.broadcast(value, 0)


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")

"""Several processes, on one machine or many, that train one model: data-parallel training under torchrun.

    torchrun --nproc-per-node 4 script.py       # script.py: with distributed.process_group("cuda") as device: ...

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

from splitbench.bench.training.report import TrainingError


@contextmanager
def process_group(device: str = "cpu") -> Iterator[torch.device]:
    """Join the processes that torchrun started, and yield this one's device; without torchrun, yield ``device``.

    Raises:
        TrainingError: more processes on this machine than GPUs.
    """
    if "WORLD_SIZE" not in os.environ or "RANK" not in os.environ:
        yield torch.device(device)
        return
    chosen = torch.device(device)
    if chosen.type == "cuda":
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= gpus:
            raise TrainingError(f"process {local} of this machine finds {gpus} GPUs; start as many as there are GPUs")
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield chosen
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Return this process's number; process 0 saves and draws progress."""
    return dist.get_rank() if _initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if _initialized() else 1


def data_parallel(model: nn.Module) -> nn.Module:
    """Return the model to call in training: several processes average its gradients and begin with rank 0's weights."""
    return DistributedDataParallel(model) if world_size() > 1 else model


def all_reduce(values: Tensor) -> Tensor:
    """Return the sum over all processes, the same in each."""
    if world_size() > 1:
        values = values.to(_device())
        dist.all_reduce(values)
    return values


def all_gather(values: Tensor) -> list[Tensor]:
    """Return every process's tensor, all of the same shape, in order of rank, on the CPU."""
    if world_size() == 1:
        return [values.cpu()]
    local = values.to(_device())
    gathered = [torch.empty_like(local) for _ in range(world_size())]
    dist.all_gather(gathered, local)
    return [each.cpu() for each in gathered]


def broadcast(values: Iterable[Tensor]) -> None:
    """Overwrite tensors with those of rank 0."""
    if world_size() > 1:
        for value in values:
            dist.broadcast(value, 0)


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")

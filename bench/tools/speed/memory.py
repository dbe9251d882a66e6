"""Peak memory of a sweep of few and of many rate points, each in a process of its own: the host's, or the GPU's."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from splitbench.bench.evaluation import measure
from splitbench.bench.tools.speed import sweep
from splitbench.bench.tools.speed.measured import Measured
from splitbench.bench.utils import devices

_FEW: dict[str, list[object]] = {"bits": [2, 4, 6, 8]}
_MANY: dict[str, list[object]] = {
    "bits": [1, 2, 3, 4, 5, 6, 7, 8],
    "literals": ["fixed", "rice"],
    "rounding": ["nearest", "deadzone"],
}
_MOST = 1.1


@dataclass(frozen=True)
class Size:
    """A backbone, and how many images it is shown, in batches."""

    backbone: str
    crop: int
    images: int
    batch: int


FULL = Size("torchvision/resnet50", 224, 16, 8)
QUICK = Size("torchvision/resnet18", 64, 4, 2)


def compared(size: Size, device: torch.device) -> Iterator[Measured]:
    """32 rate points against 4."""
    few, many = (_measured(size, points, device) for points in ("few", "many"))
    yield Measured("memory, 4 rate points", "MB", [few / 1e6])
    yield Measured("memory, 32 rate points", "MB", [many / 1e6])
    yield Measured("memory, 32 rate points against 4", "times", [many / few], _MOST, below=True)


def _measured(size: Size, points: str, device: torch.device) -> float:
    words = (size.backbone, size.crop, size.images, size.batch, points, torch.get_num_threads(), device)
    command = [sys.executable, "-m", "splitbench.bench.tools.speed.memory", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if done.returncode != 0:
        raise RuntimeError(f"measuring memory failed: {done.stderr.strip()[-500:]}")
    return float(done.stdout.split()[-1])


def _main(backbone: str, crop: str, images: str, batch: str, points: str, threads: str, device: str) -> None:
    torch.set_num_threads(int(threads))
    chosen = devices.select(device)
    size = sweep.Size(backbone, int(crop), (), int(images), int(batch))
    with tempfile.TemporaryDirectory() as folder:
        settings = _FEW if points == "few" else _MANY
        prepared = sweep.opened(size, Path(folder), chosen, **settings)
        shard = measure(prepared)
    if shard.failed:
        raise RuntimeError(str(shard.failed))
    sys.stdout.write(f"{torch.cuda.max_memory_allocated(chosen) if chosen.type == 'cuda' else _peak()}\n")


def _peak() -> int:
    """The most bytes of memory that this process has had.

    On Linux not as ``getrusage`` tells it: there, a process begins with the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _main(*sys.argv[1:])

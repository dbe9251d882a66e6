"""Peak memory, of the host or the GPU, of a sweep with few and with many rate points, each in a separate process."""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from splitbench.bench.evaluation import measure
from splitbench.bench.tools.speed import sweep
from splitbench.bench.tools.speed.measurement import Measurement
from splitbench.bench.utils import devices

_FEW: dict[str, list[object]] = {"bits": [2, 4, 6, 8]}
_MANY: dict[str, list[object]] = {
    "bits": [1, 2, 3, 4, 5, 6, 7, 8],
    "literals": ["fixed", "rice"],
    "rounding": ["nearest", "deadzone"],
}
_AIM = 1.1


@dataclass(frozen=True)
class MemorySize:
    """A backbone, and the number of images to run it on, in batches."""

    backbone: str
    crop: int
    images: int
    batch: int


FULL = MemorySize("torchvision/resnet50", 224, 16, 8)
QUICK = MemorySize("torchvision/resnet18", 64, 4, 2)


def measure_memory(size: MemorySize, device: torch.device) -> Iterator[Measurement]:
    """Compare peak memory of 32 rate points with that of 4."""
    few, many = (_peak_in_process(size, points, device) for points in ("few", "many"))
    yield Measurement("memory, 4 rate points", "MB", [few / 1e6])
    yield Measurement("memory, 32 rate points", "MB", [many / 1e6])
    yield Measurement("memory, 32 rate points against 4", "times", [many / few], _AIM, below=True)


def _peak_in_process(size: MemorySize, points: str, device: torch.device) -> float:
    arguments = {**asdict(size), "points": points, "threads": torch.get_num_threads(), "device": str(device)}
    command = [sys.executable, "-m", "splitbench.bench.tools.speed.memory", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if done.returncode != 0:
        raise RuntimeError(f"measuring memory failed: {done.stderr.strip()[-500:]}")
    return float(done.stdout.split()[-1])


def _main(*, points: str, threads: int, device: str, **size: Any) -> None:
    torch.set_num_threads(threads)
    chosen = devices.select(device)
    with tempfile.TemporaryDirectory() as folder:
        settings = _FEW if points == "few" else _MANY
        prepared = sweep.prepare_sweep(sweep.SweepSize(bits=(), **size), Path(folder), chosen, **settings)
        shard = measure(prepared)
    if shard.failed:
        raise RuntimeError(str(shard.failed))
    sys.stdout.write(f"{torch.cuda.max_memory_allocated(chosen) if chosen.type == 'cuda' else _peak()}\n")


def _peak() -> int:
    """Return this process's peak memory in bytes.

    On Linux, ``getrusage`` will not do: a process inherits the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))

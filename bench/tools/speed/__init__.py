"""How fast splitbench is on this machine: ratios of what was measured in the same run, as medians with their spread.

sweep          a sweep against the naive evaluator, and against the floor: decoding, the trunk and the tails alone
profile        what a sweep's time goes to: decoding, the trunk, codecs, tails, scoring
quantize-rle   the zero-run coder against zlib and zstd on the same symbols
codecs         every way of coding a cut without training, by time and bytes against zlib
range          range coding against CompressAI's own with the same tables
split          head and tail against the whole model, and the seconds that splitting takes
memory         the peak of a sweep of many rate points against that of a few
intervals      the bootstrap over images of a detection cell, as many as COCO's validation part has
drawing        the pictures of the synthetic datasets
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from splitbench.bench.tools.speed import codecs, coders, drawing, intervals, memory, profile, splits, sweep
from splitbench.bench.tools.speed.measured import Measured, UnavailableError
from splitbench.bench.utils import devices, provenance
from splitbench.bench.utils.files import write_file


@dataclass(frozen=True)
class Size:
    """How much is measured. ``rounds`` are repetitions of everything that is compared, one after the other."""

    rounds: int
    sweep: sweep.Size
    symbols: int
    channels: int
    memory: memory.Size
    splits: tuple[str, ...]
    images: int
    drawn: int


FULL = Size(
    5,
    sweep.Size("torchvision/resnet50", 224, (1, 2, 3, 4, 5, 6, 7, 8), 32, 16),
    4_000_000,
    128,
    memory.FULL,
    splits.FULL,
    5000,
    200,
)
QUICK = Size(2, sweep.Size("torchvision/resnet18", 64, (2, 4), 4, 2), 100_000, 8, memory.QUICK, splits.QUICK, 100, 20)

PARTS = ("sweep", "profile", "quantize-rle", "codecs", "range", "split", "memory", "intervals", "drawing")


def benchmark(size: Size, device: torch.device, out: Path, parts: tuple[str, ...] = PARTS) -> Iterator[str]:
    """Measure the parts, one line for each number, and write all into a JSON file in the end."""
    measure: dict[str, Callable[[], Iterator[Measured]]] = {
        "sweep": lambda: sweep.compared(size.sweep, size.rounds, device),
        "profile": lambda: profile.shares(size.sweep, size.rounds, device),
        "quantize-rle": lambda: coders.zero_runs_compared(size.symbols, size.rounds),
        "codecs": lambda: codecs.compared(size.symbols // 4, size.rounds),
        "range": lambda: coders.range_compared(size.channels, size.rounds),
        "split": lambda: splits.compared(size.splits, size.rounds, device),
        "memory": lambda: memory.compared(size.memory, device),
        "intervals": lambda: intervals.timed(size.images, size.rounds),
        "drawing": lambda: drawing.timed(size.drawn, size.rounds),
    }
    found: list[Measured] = []
    for part in parts:
        try:
            for one in measure[part]():
                found.append(one)
                yield str(one)
        except UnavailableError as error:
            yield f"skipped {part}: {error}"
    machine = {
        "processor": provenance.processor(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": devices.display_name(device),
        "load": os.getloadavg(),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "date": provenance.now(),
    }
    content = {"machine": machine, "measured": [asdict(one) | one.summary() for one in found]}
    write_file(out, json.dumps(content, indent=1))
    yield f"wrote {out}"

"""Benchmarks of splitbench on this machine: ratios of times measured in the same run, as medians with their spread.

sweep          a sweep against the naive evaluator, and against the floor: decoding, the trunk and the tails alone
profile        the share of each stage in a sweep's time: decoding, the trunk, codecs, tails, scoring
quantize-rle   the zero-run coder against zlib and zstd on the same symbols
codecs         every codec that needs no training, by time and bytes against zlib
range          range coding against CompressAI's with the same tables
split          head and tail against the whole model, and the time to split it
memory         peak memory of a sweep with many rate points against one with few
intervals      the bootstrap interval of a detection cell with as many images as COCO's validation set
loading        images per second for training, against torchvision's and timm's loaders
drawing        rendering the images of the synthetic datasets
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from splitbench.bench.results import provenance
from splitbench.bench.tools.speed import (
    codecs,
    drawing,
    intervals,
    loading,
    memory,
    splits,
    stages,
    sweep,
    symbol_coders,
)
from splitbench.bench.tools.speed.measurement import Measurement, UnavailableError
from splitbench.bench.utils import devices
from splitbench.bench.utils.files import write_file


@dataclass(frozen=True)
class BenchmarkSize:
    """Size of each part of the benchmark; ``rounds`` counts the repetitions of everything that is compared."""

    rounds: int
    sweep: sweep.SweepSize
    symbols: int
    channels: int
    memory: memory.MemorySize
    splits: tuple[str, ...]
    images: int
    drawn: int
    loaded: int


FULL = BenchmarkSize(
    rounds=5,
    sweep=sweep.SweepSize("torchvision/resnet50", crop=224, bits=(1, 2, 3, 4, 5, 6, 7, 8), images=32, batch=16),
    symbols=4_000_000,
    channels=128,
    memory=memory.FULL,
    splits=splits.FULL,
    images=5000,
    drawn=200,
    loaded=512,
)
QUICK = BenchmarkSize(
    rounds=2,
    sweep=sweep.SweepSize("torchvision/resnet18", crop=64, bits=(2, 4), images=4, batch=2),
    symbols=100_000,
    channels=8,
    memory=memory.QUICK,
    splits=splits.QUICK,
    images=100,
    drawn=20,
    loaded=20,
)

PARTS = ("sweep", "profile", "quantize-rle", "codecs", "range", "split", "memory", "intervals", "loading", "drawing")


def run_benchmark(
    size: BenchmarkSize, device: torch.device, out: Path, parts: tuple[str, ...] = PARTS
) -> Iterator[str]:
    """Run the parts of the benchmark, and write all measurements into a JSON file at the end.

    Args:
        size: How much each part measures.
        device: Where networks run.
        out: The JSON file.
        parts: Which of ``PARTS`` to run.

    Yields:
        One line for each measurement, as soon as it is made.
    """
    measure: dict[str, Callable[[], Iterator[Measurement]]] = {
        "sweep": lambda: sweep.measure_sweep(size.sweep, size.rounds, device),
        "profile": lambda: stages.measure_stages(size.sweep, size.rounds, device),
        "quantize-rle": lambda: symbol_coders.measure_zero_runs(size.symbols, size.rounds),
        "codecs": lambda: codecs.measure_codecs(size.symbols // 4, size.rounds),
        "range": lambda: symbol_coders.measure_range_coder(size.channels, size.rounds),
        "split": lambda: splits.measure_splits(size.splits, size.rounds, device),
        "memory": lambda: memory.measure_memory(size.memory, device),
        "intervals": lambda: intervals.measure_intervals(size.images, size.rounds),
        "loading": lambda: loading.measure_loading(size.loaded, size.rounds),
        "drawing": lambda: drawing.measure_drawing(size.drawn, size.rounds),
    }
    measurements: list[Measurement] = []
    for part in parts:
        try:
            for measurement in measure[part]():
                measurements.append(measurement)
                yield str(measurement)
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
    content = {"machine": machine, "measured": [asdict(item) | item.summary() for item in measurements]}
    write_file(out, json.dumps(content, indent=1))
    yield f"wrote {out}"

"""The share of each stage in a sweep's time; stage and whole sweep are measured in the same round."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from splitbench.bench.evaluation import Prepared, measure, tasks
from splitbench.bench.evaluation.pipeline.transmission import transmit
from splitbench.bench.tools.speed.measurement import Measurement
from splitbench.bench.tools.speed.sweep import SweepSize, prepare_sweep
from splitbench.bench.utils.devices import to_device

STAGES = ("decoding images", "heads and trunk", "codecs, both ways", "tails", "scoring")


def measure_stages(size: SweepSize, rounds: int, device: torch.device) -> Iterator[Measurement]:
    """Measure stages in percent of the sweep's time: CPU time of all threads, or wall-clock time beside a GPU.

    The sum is near 100 but not exactly 100: a stage by itself shares caches with no other, and only the whole sweep
    shows where threads wait for one another. Beside a GPU, stages overlap in the sweep, and the sum exceeds 100.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_sweep(size, Path(folder), device)
        _time_stages(prepared)  # warms up
        measure(prepared)
        rows = []
        for _ in range(rounds):
            whole, _ = _time(device, lambda: measure(prepared))
            rows.append([100 * seconds / whole for seconds in _time_stages(prepared)])
    title = f"{size.backbone.partition('/')[2]}, {len(prepared.cells)} cells"
    for name, values in zip((*STAGES, "all of these"), zip(*rows, strict=True), strict=True):
        yield Measurement(f"{title}: {name}", "% of time", [*values])


@torch.no_grad()
def _time_stages(prepared: Prepared) -> list[float]:
    """Return the seconds of every stage, and their sum."""
    inputs, device = prepared.inputs, prepared.inputs.device
    task = tasks.get(inputs.dataset.task)
    totals = [0.0] * len(STAGES)
    totals[0], batches = _time(device, lambda: list(inputs.batches()))
    for batch in batches:
        pixels = inputs.to_device(batch.pixels)
        targets = [task.target(inputs.dataset, int(i)) for i in batch.indices]

        def network(pixels: Any = pixels) -> list[Any]:
            ran = prepared.shared_heads.run(pixels)
            ran.answers()
            return [ran.values(candidate.deployment.head) for candidate in prepared.candidates]

        seconds, cuts = _time(device, network)
        totals[1] += seconds
        for candidate, values in zip(prepared.candidates, cuts, strict=True):

            def coded(candidate: Any = candidate, values: Any = values) -> Any:
                return transmit(candidate.split, candidate.deployment.codec, values)[1]

            seconds, decoded = _time(device, coded)
            totals[2] += seconds

            def tail(candidate: Any = candidate, decoded: Any = decoded) -> Any:
                return candidate.deployment.tail(*to_device(decoded, device))

            seconds, outputs = _time(device, tail)
            totals[3] += seconds

            def scored(outputs: Any = outputs, targets: Any = targets) -> Any:
                return task.record(outputs, targets)

            totals[4] += _time(device, scored)[0]
    return [*totals, sum(totals)]


def _time(device: torch.device, call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call took, and its result."""
    clock = time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        clock = time.perf_counter
    started = clock()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started, result

"""What a sweep's time goes to: each stage by itself, as a share of the whole sweep's, both measured in one round."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from splitbench.bench.evaluation import Prepared, measure, tasks
from splitbench.bench.evaluation.transmission import to_device, transmit
from splitbench.bench.tools.speed.measured import Measured
from splitbench.bench.tools.speed.sweep import Size, opened

STAGES = ("decoding pictures", "heads and trunk", "codecs, both ways", "tails", "scoring")


def shares(size: Size, rounds: int, device: torch.device) -> Iterator[Measured]:
    """In percent of the sweep's time: CPU seconds of all threads, or a GPU's wall-clock seconds.

    A stage by itself shares the caches with no other, and where threads wait for one another only the whole sweep shows
    it: the sum is near 100, and not 100. Beside a GPU, stages overlap in the sweep, and the sum is above it.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = opened(size, Path(folder), device)
        _staged(prepared)  # warms up
        measure(prepared)
        rows = []
        for _ in range(rounds):
            whole, _ = _timed(device, lambda: measure(prepared))
            rows.append([100 * seconds / whole for seconds in _staged(prepared)])
    title = f"{size.backbone.partition('/')[2]}, {len(prepared.cells)} cells"
    for name, values in zip((*STAGES, "all of these"), zip(*rows, strict=True), strict=True):
        yield Measured(f"{title}: {name}", "% of time", [*values])


@torch.no_grad()
def _staged(prepared: Prepared) -> list[float]:
    """Seconds of every stage, and their sum."""
    inputs, device = prepared.inputs, prepared.inputs.device
    task = tasks.get(inputs.dataset.task)
    totals = [0.0] * len(STAGES)
    totals[0], batches = _timed(device, lambda: list(inputs.batches()))
    for batch in batches:
        pixels = inputs.to_device(batch.pixels)
        targets = [task.target(inputs.dataset, int(i)) for i in batch.indices]

        def network(pixels: Any = pixels) -> list[Any]:
            ran = prepared.shared_heads.run(pixels)
            ran.answers()
            return [ran.values(candidate.deployment.head) for candidate in prepared.candidates]

        seconds, cuts = _timed(device, network)
        totals[1] += seconds
        for candidate, values in zip(prepared.candidates, cuts, strict=True):

            def coded(candidate: Any = candidate, values: Any = values) -> Any:
                return transmit(candidate.split, candidate.deployment.codec, values)[1]

            seconds, decoded = _timed(device, coded)
            totals[2] += seconds

            def tail(candidate: Any = candidate, decoded: Any = decoded) -> Any:
                return candidate.deployment.tail(*to_device(decoded, device))

            seconds, outputs = _timed(device, tail)
            totals[3] += seconds

            def scored(outputs: Any = outputs, targets: Any = targets) -> Any:
                return task.record(outputs, targets)

            totals[4] += _timed(device, scored)[0]
    return [*totals, sum(totals)]


def _timed(device: torch.device, call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call took, and what it returned."""
    clock = time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        clock = time.perf_counter
    started = clock()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started, result

"""The way of a batch: heads, codecs, tails, records. While the network runs, threads encode and decode earlier cuts.

Codecs release the interpreter lock, so that they cost no time where the machine has a core to spare. Memory is bounded
whatever the number of cells: the cuts of the batches in flight, and a few decoded ones.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from splitbench.bench.evaluation.failures import isolated
from splitbench.bench.evaluation.pipeline.coder_threads import Call, CoderThreads
from splitbench.bench.evaluation.pipeline.transmission import Encodings, transmit
from splitbench.bench.evaluation.prepare import Candidate, Prepared
from splitbench.bench.evaluation.tasks import EvaluationTask
from splitbench.bench.metrics import rate
from splitbench.bench.metrics.records import Records
from splitbench.bench.utils.devices import core_count, to_device
from splitbench.bench.utils.precision import network_precision, to_float32
from splitbench.methods.base import Bitstream, MethodError

_MAX_THREADS = 4
"""Coder threads beside a GPU. On the CPU, where the network wants the cores itself, one is enough."""


@dataclass(frozen=True)
class LabelledBatch:
    """Images that are run at once.

    Attributes:
        number: Of the planned batch that they belong to.
        indices: Their indices in the dataset, (B,).
        pixels: On the host, as in :class:`splitbench.bench.evaluation.pipeline.loader.Batch`.
        targets: What is annotated, per image.
    """

    number: int
    indices: npt.NDArray[np.int64]
    pixels: Any
    targets: tuple[Any, ...]

    def pieces(self, size: int) -> Iterator["LabelledBatch"]:
        """Divide the images into batches of at most ``size``."""
        for i in range(0, len(self.indices), size):
            piece = slice(i, i + size)
            yield LabelledBatch(self.number, self.indices[piece], self.pixels[piece], self.targets[piece])


@dataclass
class BatchResult:
    """The records of a batch.

    Attributes:
        batch: The images.
        reference: The uncompressed backbone's records.
        records: Those of every cell that is alive, by key.
        pending: How many cells are not finished yet, and one more until all of them have begun.
    """

    batch: LabelledBatch
    reference: Records
    records: dict[str, Records] = field(default_factory=dict)
    pending: int = 1


@dataclass(frozen=True)
class _Transmitted:
    """A cut's bitstreams, the tail's arguments that were decoded from them, and how many elements each cut had."""

    streams: list[Bitstream]
    arguments: tuple[Any, ...]
    elements: list[int]


@torch.no_grad()
def run(
    prepared: Prepared, batches: Iterator[LabelledBatch], task: EvaluationTask, *, raise_out_of_memory: bool
) -> Iterator[BatchResult]:
    """Run batches through all cells, in order. A cell's failure is recorded in ``prepared``.

    Raises:
        torch.OutOfMemoryError: Memory ran out and ``raise_out_of_memory`` is set; else that is the failure of a cell.
    """
    threads = CoderThreads(coder_thread_count(prepared))
    pipeline = _Pipeline(prepared, task, threads, raise_out_of_memory)
    device, precision = prepared.inputs.device, prepared.inputs.precision
    try:
        for batch in batches:
            with network_precision(device, precision):
                results = [*pipeline.begin(batch)]
            yield from results
        with network_precision(device, precision):
            results = [*pipeline.finish()]
        yield from results
    finally:
        threads.close()


def coder_thread_count(prepared: Prepared) -> int:
    """Return how many threads code while the network runs; 0 where the network's thread codes itself."""
    cores = core_count()
    if prepared.inputs.naive or cores == 1:
        return 0
    return min(_MAX_THREADS, cores - 1) if prepared.inputs.device.type == "cuda" else 1


class _Pipeline:
    """Two queues, both in order: batches whose cells are not all finished, and cuts that are being transmitted."""

    def __init__(
        self, prepared: Prepared, task: EvaluationTask, threads: CoderThreads, raise_out_of_memory: bool
    ) -> None:
        self.prepared, self.task, self.threads = prepared, task, threads
        self.raise_out_of_memory = raise_out_of_memory
        self.device = prepared.inputs.device
        self.results: deque[BatchResult] = deque()
        self.transmissions: deque[tuple[BatchResult, Candidate, Call[_Transmitted]]] = deque()

    def begin(self, batch: LabelledBatch) -> Iterator[BatchResult]:
        """Run the heads on a batch, and pass their cuts to the threads; yield earlier results that got finished."""
        outputs = self.prepared.shared_heads.run(self.prepared.inputs.to_device(batch.pixels))
        result = BatchResult(batch, {"image": batch.indices} | self._reference(outputs.answers(), batch))
        self.results.append(result)
        for head, candidates in _by_head(self.prepared.alive(batch.number)).items():
            values: tuple[Any, ...] = ()
            encodings = Encodings()
            with self._isolated(batch, candidates):
                values = outputs.values(head)
            for candidate in candidates if values else ():
                call = self.threads.submit(_transmit, candidate, values, encodings, self.device)
                self.transmissions.append((result, candidate, call))
                result.pending += 1
                yield from self.finish(2 * self.threads.count)
        result.pending -= 1
        yield from self.finish(2 * self.threads.count)

    def finish(self, all_but: int = 0) -> Iterator[BatchResult]:
        """Run the tails of all transmitted cuts but the last few, and yield the results that got finished."""
        while len(self.transmissions) > all_but:
            result, candidate, call = self.transmissions.popleft()
            with self._isolated(result.batch, [candidate]):
                transmitted = call.result()
                if self.prepared.is_alive(candidate.key, result.batch.number):
                    result.records[candidate.key] = self._records(candidate, transmitted, result.batch)
            result.pending -= 1
            yield from self._finished()
        yield from self._finished()

    def _finished(self) -> Iterator[BatchResult]:
        while self.results and self.results[0].pending == 0:
            yield self.results.popleft()

    def _reference(self, answers: Any, batch: LabelledBatch) -> Records:
        try:
            return self.task.record(self._in_float32(answers), batch.targets)
        except MethodError as error:
            raise MethodError(f"the uncompressed backbone: {error}") from error

    def _records(self, candidate: Candidate, transmitted: _Transmitted, batch: LabelledBatch) -> Records:
        """Run the tail on what was decoded; record its answers and the sizes of the bitstreams."""
        answers = candidate.deployment.tail(*transmitted.arguments)
        images_per_cut = len(batch.indices) // len(transmitted.elements)
        return {
            "image": batch.indices,
            "pixels": np.array([x.shape[-1] * x.shape[-2] for x in batch.pixels], np.int64),
            "elements": np.array(transmitted.elements * images_per_cut, np.int64),
            **rate.record(transmitted.streams),
            **self.task.record(self._in_float32(answers), batch.targets),
        }

    def _in_float32(self, answers: Any) -> Any:
        return answers if self.prepared.inputs.precision == "float32" else to_float32(answers)

    def _isolated(self, batch: LabelledBatch, candidates: Sequence[Candidate]) -> AbstractContextManager[None]:
        return isolated(
            self.prepared.failed,
            {candidate.key: self.prepared.cells[candidate.key] for candidate in candidates},
            self.device,
            batch=batch.number,
            raise_out_of_memory=self.raise_out_of_memory,
        )


def _by_head(candidates: Sequence[Candidate]) -> dict[nn.Module, list[Candidate]]:
    """Group candidates that share a head, and with it the head's output."""
    groups: dict[nn.Module, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.deployment.head, []).append(candidate)
    return groups


@torch.no_grad()
def _transmit(
    candidate: Candidate, values: tuple[Any, ...], encodings: Encodings, device: torch.device
) -> _Transmitted:
    """Encode and decode what a head returned, for a tail on ``device``; runs in any thread."""
    groups, _ = candidate.split.tensor_groups(values)
    streams, arguments = transmit(candidate.split, candidate.deployment.codec, values, encodings)
    return _Transmitted(streams, to_device(arguments, device), [sum(x[0].numel() for x in group) for group in groups])

"""Measures a range of a pass's batches: the records of every image, for every cell."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from splitbench.bench.evaluation import tasks
from splitbench.bench.evaluation.failures import is_out_of_memory
from splitbench.bench.evaluation.pipeline.pipeline import BatchResult, LabelledBatch, run
from splitbench.bench.evaluation.prepare import Prepared
from splitbench.bench.evaluation.shards import Shard, ShardError
from splitbench.bench.metrics.records import Records, concatenated

Advance = Callable[[int], object]


def measure(prepared: Prepared, first: int = 0, last: int | None = None, advance: Advance = lambda _: None) -> Shard:
    """Run the batches numbered ``first`` to ``last``, exclusive, through the uncompressed backbone and all cells.

    A cell that fails stops, here and in later calls, and the others go on. Where an unreadable image fails the pass,
    later batches are only decoded, so that all such images are counted. Where memory runs out, batches are divided in
    two from there on, four times at most.

    Args:
        prepared: The cells.
        first: Number of the first batch.
        last: Number of the batch after the last one; None for all.
        advance: Called with the number of (image, cell) pairs that were done.
    """
    total = len(prepared.inputs.plan)
    last = total if last is None else min(last, total)
    if prepared.inputs.naive and len(prepared.candidates) > 1:
        return _measure_one_by_one(prepared, first, last, advance)
    return _Measurement(prepared, first, last, advance).shard(total)


def _measure_one_by_one(prepared: Prepared, first: int, last: int, advance: Advance) -> Shard:
    """Measure naively: everything again for every cell. Raises ShardError where the backbone's answers differ.

    Cells whose batches were divided further than others' are compared among themselves: the backbone's answers may
    differ in their last bits with the size of a batch.
    """
    shards = [measure(single, first, last, advance) for single in prepared.one_by_one()]
    longest = max(shards, key=lambda shard: (len(shard.reference.get("image", ())), len(shard.unreadable)))
    for shard in shards:
        peers = [other for other in shards if other.cells and other.batch == shard.batch] if shard.cells else []
        if not all(np.array_equal(x, peers[0].reference[name]) for name, x in shard.reference.items() if peers):
            raise ShardError("the uncompressed backbone answered differently when it was run again")
    return replace(
        longest,
        keys=frozenset(prepared.cells),
        batch=min(shard.batch for shard in shards),
        seconds=sum(shard.seconds for shard in shards),
        cells={key: records for shard in shards for key, records in shard.cells.items()},
        failed=dict(prepared.failed),
    )


class _Measurement:
    """One range: reads its batches, runs them through the pipeline, and collects the records."""

    def __init__(self, prepared: Prepared, first: int, last: int, advance: Advance) -> None:
        self.prepared, self.first, self.last, self.advance = prepared, first, last, advance
        self.task = tasks.get(prepared.inputs.dataset.task)
        self.reference: list[Records] = []
        self.records: dict[str, list[Records]] = {candidate.key: [] for candidate in prepared.candidates}
        self.refused: int | None = None
        self.unreadable: list[str] = []
        self.in_flight: deque[LabelledBatch] = deque()  # given to the pipeline, and not finished
        self.all_read = False

    def shard(self, total: int) -> Shard:
        started = time.perf_counter()
        source = self._source()
        while not self._run(source):
            self.prepared.shrink_batch()
        if not self.all_read:
            raise ShardError(f"images of the batches {self.first} to {self.last} are missing: run again")
        failed = dict(self.prepared.failed)
        return Shard(
            first=self.first,
            last=self.last,
            total=total,
            keys=frozenset(self.prepared.cells),
            batch=self.prepared.batch,
            seconds=time.perf_counter() - started,
            reference=concatenated(self.reference),
            cells={key: concatenated(records) for key, records in self.records.items() if key not in failed},
            failed=failed,
            unreadable=tuple(self.unreadable),
            refused=self.refused,
        )

    def _run(self, source: Iterator[LabelledBatch]) -> bool:
        """Run the source to its end; return False where memory ran out before.

        Raises:
            torch.OutOfMemoryError: The uncompressed backbone does not fit, with the smallest batch.
        """
        can_shrink = self.prepared.batch > self.prepared.inputs.smallest_batch
        try:
            for result in run(self.prepared, self._feed(source), self.task, raise_out_of_memory=can_shrink):
                self._collect(result)
        except RuntimeError as error:
            if not (can_shrink and is_out_of_memory(error)):
                raise
            return False  # outside of this clause the error, and with it the batch in its frames, is forgotten
        return True

    def _source(self) -> Iterator[LabelledBatch]:
        """Read the batches that are to be measured. An error in here ends it for good."""
        prepared, inputs = self.prepared, self.prepared.inputs
        for number, batch in enumerate(prepared.batches(self.first, self.last), self.first):
            self.unreadable += batch.unreadable
            if inputs.rejects(batch):
                self.refused = number if self.refused is None else self.refused
                prepared.refused = number if prepared.refused is None else min(number, prepared.refused)
            if prepared.refused is not None and prepared.refused <= number:
                self.advance(len(batch.indices) * len(prepared.cells))
                continue
            if prepared.failed and not prepared.alive(number):
                break
            if batch.pixels is not None:
                targets = tuple(self.task.target(inputs.dataset, int(i)) for i in batch.indices)
                yield LabelledBatch(number, batch.indices, batch.pixels, targets)
        self.all_read = True

    def _feed(self, source: Iterator[LabelledBatch]) -> Iterator[LabelledBatch]:
        """Yield what was in flight when memory ran out, then the rest of the source, in pieces that fit into memory."""
        interrupted = list(self.in_flight)
        self.in_flight.clear()
        waiting = deque(piece for batch in interrupted for piece in batch.pieces(self.prepared.batch))
        while True:
            if not waiting:
                batch = next(source, None)
                if batch is None:
                    return
                waiting.extend(batch.pieces(self.prepared.batch))
            self.in_flight.extend(waiting)
            while waiting:
                yield waiting.popleft()

    def _collect(self, result: BatchResult) -> None:
        self.in_flight.popleft()
        self.reference.append(result.reference)
        for key, records in result.records.items():
            self.records[key].append(records)
        self.advance(len(result.batch.indices) * len(self.prepared.cells))

"""Measures any range of a pass's batches: per cell, what is kept of every image."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from splitbench.bench.evaluation import tasks
from splitbench.bench.evaluation.failures import lacks_memory
from splitbench.bench.evaluation.pipeline import Done, Shown, run
from splitbench.bench.evaluation.prepare import Prepared
from splitbench.bench.evaluation.shards import Shard, ShardError
from splitbench.bench.metrics.records import Records, concatenated
from splitbench.bench.utils import devices

Advance = Callable[[int], None]


def measure(prepared: Prepared, first: int = 0, last: int | None = None, advance: Advance = lambda _: None) -> Shard:
    """Run the batches from number ``first`` up to ``last`` through the uncompressed backbone and all cells.

    ``advance`` is told of every (image, cell) done. A cell that fails stops, here and in later calls, and the others
    go on. Where an image cannot be read and that fails the pass, the other batches are only looked through, so that
    all such images are counted. Where memory runs out, batches are halved from there on, four times at most.
    """
    total = len(prepared.material.plan)
    last = total if last is None else min(last, total)
    if prepared.material.naive and len(prepared.candidates) > 1:
        return _one_by_one(prepared, first, last, advance)
    return _Measuring(prepared, first, last, advance).shard(total)


def _one_by_one(prepared: Prepared, first: int, last: int, advance: Advance) -> Shard:
    """The naive way: all is done again for every cell. Raises ShardError where the backbone's answers differ.

    A cell whose batches were halved has the backbone's answers to these, whose last bits may be others: they are not
    compared.
    """
    shards = [measure(alone, first, last, advance) for alone in prepared.apart()]
    longest = max(shards, key=lambda shard: (len(shard.reference.get("image", ())), len(shard.unreadable)))
    for shard in shards:
        like = [one for one in shards if one.cells and one.batch == shard.batch] if shard.cells else []
        if not all(np.array_equal(x, like[0].reference[name]) for name, x in shard.reference.items() if like):
            raise ShardError("the uncompressed backbone answered differently when it was run again")
    return replace(
        longest,
        names=frozenset(prepared.cells),
        batch=min(shard.batch for shard in shards),
        seconds=sum(shard.seconds for shard in shards),
        cells={name: records for shard in shards for name, records in shard.cells.items()},
        failed=dict(prepared.failed),
    )


class _Measuring:
    """One range: reads its batches, lets the pipeline run them, and keeps what comes out."""

    def __init__(self, prepared: Prepared, first: int, last: int, advance: Advance) -> None:
        self.prepared, self.first, self.last, self.advance = prepared, first, last, advance
        self.task = tasks.get(prepared.material.dataset.task)
        self.reference: list[Records] = []
        self.parts: dict[str, list[Records]] = {candidate.name: [] for candidate in prepared.candidates}
        self.refused: int | None = None
        self.faults: list[str] = []
        self.unfinished: deque[Shown] = deque()  # shown to the pipeline, but not done
        self.all_read = False

    def shard(self, total: int) -> Shard:
        started = time.perf_counter()
        source = self._source()
        while not self._ran(source):
            self._halve()
        if not self.all_read:
            raise ShardError(f"images of the batches {self.first} to {self.last} are missing: run again")
        return Shard(
            first=self.first,
            last=self.last,
            total=total,
            names=frozenset(self.prepared.cells),
            batch=self.prepared.batch,
            seconds=time.perf_counter() - started,
            reference=concatenated(self.reference),
            cells={name: concatenated(some) for name, some in self.parts.items() if name not in self.prepared.failed},
            failed=dict(self.prepared.failed),
            unreadable=tuple(self.faults),
            refused=self.refused,
        )

    def _ran(self, source: Iterator[Shown]) -> bool:
        """Whether all of the source could be run: the rest is left where memory ran out.

        Raises:
            torch.OutOfMemoryError: the uncompressed backbone itself does not fit.
        """
        smaller = self.prepared.batch > self.prepared.material.smallest
        try:
            for done in run(self.prepared, self._fed(source), self.task, raise_out_of_memory=smaller):
                self._keep(done)
        except RuntimeError as error:
            if not (smaller and lacks_memory(error)):
                raise
            return False  # outside of this clause the error, and with it the batch in its frames, is forgotten
        return True

    def _source(self) -> Iterator[Shown]:
        """The batches that are to be measured. What raises in here ends it for good."""
        prepared, material = self.prepared, self.prepared.material
        for number, batch in enumerate(prepared.batches(self.first, self.last), self.first):
            self.faults += batch.unreadable
            if material.refuses(batch):
                self.refused = number if self.refused is None else self.refused
                prepared.refused = number if prepared.refused is None else min(number, prepared.refused)
            if prepared.refused is not None and prepared.refused <= number:
                self.advance(len(batch.indices) * len(prepared.cells))
                continue
            if prepared.failed and not prepared.alive(number):
                break
            if batch.pixels is not None:
                truths = tuple(self.task.truth(material.dataset, int(i)) for i in batch.indices)
                yield Shown(number, batch.indices, batch.pixels, truths)
        self.all_read = True

    def _fed(self, source: Iterator[Shown]) -> Iterator[Shown]:
        """First what is to be done again, then the rest, at most as many images at once as fit into memory."""
        again = list(self.unfinished)
        self.unfinished.clear()
        waiting = deque(part for shown in again for part in shown.parts(self.prepared.batch))
        while True:
            if not waiting:
                shown = next(source, None)
                if shown is None:
                    return
                waiting.extend(shown.parts(self.prepared.batch))
            self.unfinished.extend(waiting)
            while waiting:
                yield waiting.popleft()

    def _keep(self, done: Done) -> None:
        self.unfinished.popleft()
        self.reference.append(done.reference)
        for name, records in done.records.items():
            self.parts[name].append(records)
        self.advance(len(done.shown.indices) * len(self.prepared.cells))

    def _halve(self) -> None:
        self.prepared.batch = max(self.prepared.batch // 2, self.prepared.material.smallest)
        devices.free_memory(self.prepared.material.device)

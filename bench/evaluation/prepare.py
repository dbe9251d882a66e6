"""Splits the backbone at every point of a pass, and lets every method deploy its rate points."""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, TypeVar

import torch
from torch import nn

from splitbench.bench.evaluation import returned
from splitbench.bench.evaluation.failures import is_out_of_memory, isolated
from splitbench.bench.evaluation.inputs import CACHE_BYTES, EvaluationInputs
from splitbench.bench.evaluation.pipeline.loader import Batch
from splitbench.bench.evaluation.pipeline.shared_heads import SharedHeads
from splitbench.bench.metrics import held
from splitbench.bench.split import SplitModel
from splitbench.bench.sweep.cells import Cell
from splitbench.bench.utils import devices, progress
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.plugins import METHODS
from splitbench.bench.utils.precision import network_precision
from splitbench.bench.utils.progress import Show
from splitbench.methods.base import Context, Cut, Deployment, MethodError

T = TypeVar("T")


@dataclass(frozen=True)
class Candidate:
    """A cell that can be measured."""

    key: str
    split: SplitModel
    deployment: Deployment


@dataclass
class Prepared:
    """The cells of a pass, ready to be measured.

    Attributes:
        inputs: What the pass works on.
        cells: All cells, by key.
        candidates: Those that could be prepared.
        failed: Failures of cells, by key.
        example: The first batch with an image that can be read; None where there is none, or where the pass fails
            before it.
        example_number: The number of that batch.
        batch: How many images are run at once: fewer than ``inputs.batch`` once memory ran out.
        refused: The number of the first batch seen so far that fails the pass, since an image of it cannot be read.
        seconds: What preparing took.
    """

    inputs: EvaluationInputs
    cells: Mapping[str, Cell]
    candidates: list[Candidate] = field(default_factory=list)
    failed: dict[str, Failure] = field(default_factory=dict)
    example: Batch | None = None
    example_number: int = 0
    batch: int = 0
    refused: int | None = None
    seconds: float = 0.0

    @cached_property
    def shared_heads(self) -> SharedHeads:
        """The heads and the backbone; with ``naive`` they share nothing."""
        whole = self.inputs.backbone.whole().to(self.inputs.device)
        heads = list(dict.fromkeys(candidate.deployment.head for candidate in self.candidates))
        if self.inputs.naive or self.example is None:
            return SharedHeads(whole, heads)
        splits = {candidate.split.head: candidate.split for candidate in self.candidates}
        example = self.inputs.to_device(self.example.pixels[: self.batch])
        return SharedHeads(whole, heads, [split for head, split in splits.items() if head in heads], example)

    def alive(self, batch: int = 0) -> list[Candidate]:
        """Return the candidates that have not failed at this batch or before it."""
        return [candidate for candidate in self.candidates if self.is_alive(candidate.key, batch)]

    def is_alive(self, key: str, batch: int) -> bool:
        """Return whether a cell has not failed at this batch or before it."""
        return key not in self.failed or self.failed[key].batch > batch

    def one_by_one(self) -> Iterator["Prepared"]:
        """Yield every cell by itself. Failures are recorded here, too."""
        for key, cell in self.cells.items():
            candidates = [candidate for candidate in self.candidates if candidate.key == key]
            yield replace(self, cells={key: cell}, candidates=candidates, example=None)

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Load the batches numbered ``first`` to ``last``, exclusive; the example is not decoded again."""
        if self.example is not None and first == self.example_number < last:
            yield self.example
            first += 1
        yield from self.inputs.batches(first, last)

    def shrink_batch(self) -> None:
        """Halve the batch size from here on, and free the device's memory."""
        self.batch = max(self.batch // 2, self.inputs.smallest_batch)
        devices.free_memory(self.inputs.device)


@torch.no_grad()
def prepare(cells: Mapping[str, Cell], inputs: EvaluationInputs, show: Show = progress.silent) -> Prepared:
    """Make the cells of one dataset and backbone ready to be measured; they keep their keys in all that follows.

    A cell that cannot be prepared fails, and the others go on; ``show`` shows the loop over them.
    """
    started = time.perf_counter()
    prepared = Prepared(inputs, cells, batch=inputs.batch)
    for number in range(len(inputs.plan)):
        (batch,) = inputs.batches(number, number + 1)
        if inputs.rejects(batch):
            prepared.refused = number
            break
        if batch.pixels is not None:
            prepared.example, prepared.example_number = batch, number
            with network_precision(inputs.device, inputs.precision):
                _deploy(prepared, inputs.to_device(batch.pixels[:1]), show)
            break
    prepared.seconds = time.perf_counter() - started
    return prepared


def _deploy(prepared: Prepared, example: object, show: Show) -> None:
    inputs = prepared.inputs
    splits: dict[str, SplitModel] = {}
    calibrations: dict[str, _CalibrationCuts] = {}
    once = _Once()
    cells = prepared.cells
    for key, cell in progress.track(cells.items(), "", "cells", show=show, worth=len(cells)):
        with isolated(prepared.failed, {key: cell}, inputs.device):
            if cell.split not in splits:
                splits[cell.split] = inputs.backbone.split(cell.split, example)
            split = splits[cell.split]
            if cell.split not in calibrations:  # cuts of one split at a time
                calibrations, once = {cell.split: _CalibrationCuts(split, inputs)}, _Once()
            calibration = calibrations[cell.split]
            context = Context(
                head=split.head,
                tail=split.tail,
                specs=split.specs,
                calibration=calibration,
                seed=cell.seed,
                learned=partial(inputs.learned, key, split),
                calibration_by=calibration.by,
                once=partial(once, (cell.method, cell.seed)),
                image=split.image,
            )
            deployment = calibration.fitting(partial(deployed, cell, context))
            prepared.candidates.append(Candidate(key, split, deployment))


def deployed(cell: Cell, context: Context) -> Deployment:
    """Let a cell's method deploy. Raises what the method raises, and MethodError for a codec that holds too much."""
    method = METHODS.get(cell.method)
    deployment = returned.deployment(method, method.deploy(cell.settings, context))
    held.check(deployment)
    return deployment


class _Once:
    """What rate points share at one split point is made for the first of them."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def __call__(self, owner: Hashable, key: Hashable, make: Callable[[], T]) -> T:
        if (owner, key) not in self._made:
            self._made[owner, key] = make()
        made: T = self._made[owner, key]
        return made


class _CalibrationCuts:
    """A split point's cuts of the calibration images; cached where they are few, as many rate points ask for them."""

    def __init__(self, split: SplitModel, inputs: EvaluationInputs) -> None:
        self.split, self.inputs, self.batch = split, inputs, inputs.batch
        self.cache: list[Cut] = []

    def __call__(self) -> Iterator[Cut]:
        if self.cache:
            yield from self.cache
            return
        cache: list[Cut] = []
        room = CACHE_BYTES
        for cut in self.by(self.split.head):
            room -= sum(x.nbytes for x in cut)
            if room >= 0:
                cache.append(cut)
            else:
                cache.clear()
            yield cut
        self.cache = cache if room >= 0 else []

    def fitting(self, deploy: Callable[[], Deployment]) -> Deployment:
        """Call ``deploy`` with batches that fit into memory: where memory runs out, with batches halved."""
        while True:
            try:
                return deploy()
            except RuntimeError as error:
                if self.batch <= self.inputs.smallest_batch or not is_out_of_memory(error):
                    raise
            # Out here the error is forgotten, and with it what its frames hold.
            self.batch = max(self.batch // 2, self.inputs.smallest_batch)
            self.cache = []
            devices.free_memory(self.inputs.device)

    def by(self, head: nn.Module) -> Iterator[Cut]:
        """Yield the cuts that this head computes from them."""
        for batch in self.inputs.calibration_batches():
            if self.inputs.rejects(batch):
                raise MethodError(f"calibration image {batch.unreadable[0]}")
            pixels = [] if batch.pixels is None else batch.pixels
            for i in range(0, len(pixels), self.batch):
                values = head(self.inputs.to_device(pixels[i : i + self.batch]))
                yield from self.split.cuts(values)[0]

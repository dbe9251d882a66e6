"""Splits the backbone at every point of a pass, and lets every method prepare its rate points."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import torch

from splitbench.bench.backbones.split_model import Place, place_of
from splitbench.bench.evaluation.failures import isolated, lacks_memory
from splitbench.bench.evaluation.inputs import KEPT_BYTES, Material
from splitbench.bench.evaluation.loader import Batch
from splitbench.bench.evaluation.shared_heads import Network
from splitbench.bench.sweep.cells import Cell
from splitbench.bench.utils import devices
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.plugins import METHODS
from splitbench.bench.utils.precision import running
from splitbench.methods.base import Context, Cut, Deployment, MethodError


@dataclass(frozen=True)
class Candidate:
    """A cell that can be measured."""

    name: str
    place: Place
    deployment: Deployment


@dataclass
class Prepared:
    """The cells of a pass by name, and those of them that can be measured.

    A cell that failed is in ``failed``. ``refused`` is the number of the first batch seen so far with an image that
    cannot be read, where that fails the pass.
    ``example`` is the first batch with an image that can be read, and ``number`` its number; None where there is none,
    or only behind one that fails the pass. ``batch`` is how many images are run at once, fewer than the material says
    once memory ran out. ``seconds`` is what preparing took.
    """

    material: Material
    cells: Mapping[str, Cell]
    candidates: list[Candidate] = field(default_factory=list)
    failed: dict[str, Failure] = field(default_factory=dict)
    example: Batch | None = None
    number: int = 0
    batch: int = 0
    refused: int | None = None
    seconds: float = 0.0

    @cached_property
    def network(self) -> Network:
        """The heads and the backbone; with ``naive`` nothing of one is used for the other."""
        whole = self.material.backbone.whole().to(self.material.device)
        heads = {id(c.deployment.head): c.deployment.head for c in self.candidates}
        places = {id(c.place.head): c.place for c in self.candidates if id(c.place.head) in heads}
        if self.material.naive or self.example is None:
            return Network(whole, list(heads.values()))
        example = self.material.placed(self.example.pixels[: self.batch])
        return Network(whole, list(heads.values()), list(places.values()), example)

    def alive(self, batch: int = 0) -> list[Candidate]:
        """The candidates that have not failed before this batch, or in it."""
        return [candidate for candidate in self.candidates if self.lives(candidate.name, batch)]

    def lives(self, name: str, batch: int) -> bool:
        """Whether a cell has not failed before this batch, or in it."""
        return name not in self.failed or self.failed[name].batch > batch

    def fail(self, reasons: Mapping[str, str], batch: int = -1) -> None:
        """Note that cells failed at a batch, or before the first one; a cell's earliest failure is what is told."""
        self.failed.update(
            {name: Failure(reason, batch) for name, reason in reasons.items() if self.lives(name, batch)}
        )

    def apart(self) -> Iterator["Prepared"]:
        """Every cell by itself. Failures are those of this pass, too."""
        for name, cell in self.cells.items():
            candidates = [candidate for candidate in self.candidates if candidate.name == name]
            yield replace(self, cells={name: cell}, candidates=candidates, example=None)

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """As the material's; what was decoded for the example is not decoded again."""
        if self.example is not None and first == self.number < last:
            yield self.example
            first += 1
        yield from self.material.batches(first, last)


@torch.no_grad()
def prepare(cells: Mapping[str, Cell], material: Material) -> Prepared:
    """Make the cells of one dataset and backbone ready to be measured; a name stands for a cell in all that follows.

    A cell that cannot be prepared fails, and the others go on.
    """
    started = time.perf_counter()
    prepared = Prepared(material, cells, batch=material.batch)
    for number in range(len(material.plan)):
        (batch,) = material.batches(number, number + 1)
        if material.refuses(batch):
            prepared.refused = number
            break
        if batch.pixels is not None:
            prepared.example, prepared.number = batch, number
            with running(material.device, material.precision):
                _deploy(prepared, material.placed(batch.pixels[:1]))
            break
    prepared.seconds = time.perf_counter() - started
    return prepared


def _deploy(prepared: Prepared, example: object) -> None:
    material = prepared.material
    places: dict[str, Place] = {}
    calibrations: dict[str, _CalibrationCuts] = {}
    failed: dict[str, str] = {}
    for name, cell in prepared.cells.items():
        with isolated(failed, {name: cell}, material.device):
            if cell.split not in places:
                places[cell.split] = place_of(material.backbone, cell.split, example)
            place = places[cell.split]
            learned = partial(material.learned, name, place)
            if cell.split not in calibrations:  # those of one split at a time
                calibrations = {cell.split: _CalibrationCuts(place, material)}
            calibration = calibrations[cell.split]
            context = Context(place.head, place.tail, place.specs, calibration, cell.seed, learned)
            deployment = calibration.halved_for(partial(METHODS.get(cell.method).deploy, cell.settings, context))
            prepared.candidates.append(Candidate(name, place, deployment))
    prepared.fail(failed)


class _CalibrationCuts:
    """A split point's cuts of the calibration images; kept where they are few, since many rate points ask for them."""

    def __init__(self, place: Place, material: Material) -> None:
        self.place, self.material, self.batch = place, material, material.batch
        self.kept: list[Cut] = []

    def __call__(self) -> Iterator[Cut]:
        if self.kept:
            yield from self.kept
            return
        kept: list[Cut] = []
        room = KEPT_BYTES
        for cut in self._run():
            room -= sum(x.nbytes for x in cut)
            if room >= 0:
                kept.append(cut)
            else:
                kept.clear()
            yield cut
        self.kept = kept if room >= 0 else []

    def halved_for(self, deploy: Callable[[], Deployment]) -> Deployment:
        """The deployment; where memory runs out, it is made anew from batches of half the size, four times at most."""
        while True:
            try:
                return deploy()
            except RuntimeError as error:
                if self.batch <= self.material.smallest or not lacks_memory(error):
                    raise
            self.batch = max(self.batch // 2, self.material.smallest)  # the error is forgotten, and what it holds
            self.kept = []
            devices.free_memory(self.material.device)

    def _run(self) -> Iterator[Cut]:
        for batch in self.material.calibration_batches():
            if batch.unreadable and not self.material.skip_unreadable:
                raise MethodError(f"calibration image {batch.unreadable[0]}")
            pixels = [] if batch.pixels is None else batch.pixels
            for i in range(0, len(pixels), self.batch):
                yield from self.place.cuts(self.place.head(self.material.placed(pixels[i : i + self.batch])))[0]

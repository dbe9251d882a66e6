"""The one-pass evaluator: each image is decoded once, each head runs once per batch, each codec and tail once per cell.

It knows nothing of any particular method or task: a deployment is a head, a codec and a tail, and a task says what is
kept of their outputs. What is scored is always what the tail makes of the decoded bytes, and the bytes are those that
were counted.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from splitbench import methods
from splitbench.bench import tasks
from splitbench.bench.backbones import Backbone
from splitbench.bench.errors import UserError
from splitbench.bench.loader import Batch, batches
from splitbench.bench.metrics import ledger, rate
from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.metrics.records import Records, joined
from splitbench.bench.place import Place, place_of
from splitbench.bench.sweep import Cell
from splitbench.bench.tasks import Scored, Task
from splitbench.datasets.base import DataError, Dataset
from splitbench.methods.base import Context, Cut, Deployment, Learned, MethodError

_TIMED_IMAGES = 8
_NAMED = 3
_KEPT_BYTES = 200_000_000  # of calibration images


@dataclass
class Outcome:
    """What became of a cell: its columns and per-image records, or the reason why it failed."""

    cell: Cell
    columns: dict[str, Any] = field(default_factory=dict)
    records: Records = field(default_factory=dict)
    stored: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class _Shown:
    """A batch that is being measured: indices in the dataset, pixels on the device, and the truths."""

    indices: npt.NDArray[np.int64]
    pixels: Any
    truths: tuple[Any, ...]


@dataclass
class _Candidate:
    """A cell that is being measured. ``parts`` collects one records dict per batch."""

    outcome: Outcome
    place: Place
    deployment: Deployment
    parts: list[Records] = field(default_factory=list)


@dataclass(frozen=True)
class Material:
    """What one pass works on. ``calibration()`` opens the calibration images; it raises where there are none.

    ``learned(cell, place)`` gives what was trained for a cell; it raises MethodError where that failed.
    """

    backbone: Backbone
    dataset: Dataset
    calibration: Callable[[], Dataset]
    learned: Callable[[Cell, Place], Learned]
    skip_unreadable: bool
    batch: int
    device: torch.device
    _decoded: list[Batch] = field(default_factory=list)

    def calibration_batches(self) -> Iterable[Batch]:
        """The calibration images as pixels; decoded once where they are few enough to keep."""
        return self._decoded or self._decode()

    def _decode(self) -> Iterator[Batch]:
        kept: list[Batch] = []
        room = _KEPT_BYTES
        for batch in batches(self.calibration(), self.backbone, self.batch):
            room -= 0 if batch.pixels is None else sum(x.nbytes for x in batch.pixels)
            kept = [*kept, batch] if room >= 0 else []
            yield batch
        if room >= 0:
            self._decoded[:] = kept


def evaluate(cells: Sequence[Cell], material: Material, advance: Callable[[int], None]) -> list[Outcome]:
    """Measure all cells of one dataset and backbone in one pass. ``advance`` is told of every (image, cell) done.

    A cell that fails keeps its reason and stops; the others go on.
    """
    started = time.perf_counter()
    task = tasks.get(material.dataset.task)
    outcomes = [Outcome(cell) for cell in cells]
    reference: list[Records] = []
    truths: dict[int, Any] = {}
    faults: list[str] = []
    with torch.no_grad():
        stream = batches(material.dataset, material.backbone, material.batch)
        leading: list[Batch] = []
        for batch in stream:
            leading.append(batch)
            if batch.pixels is not None or _refused(batch, material):
                break
        first = leading[-1].pixels if leading else None
        if first is None:
            return _unreadable(cells, leading, stream, advance)
        candidates = _alive(_prepare(outcomes, material, first[:1]))
        _describe(candidates, material, first)
        whole = material.backbone.whole().to(material.device)
        for batch in itertools.chain(leading, stream):
            if _refused(batch, material):
                return _unreadable(cells, [batch], stream, advance)
            candidates = _alive(candidates)
            if not candidates:
                break
            faults += batch.unreadable
            if batch.pixels is None:
                continue
            known = {int(i): task.truth(material.dataset, int(i)) for i in batch.indices}
            truths |= known
            shown = _Shown(batch.indices, _on(batch.pixels, material.device), tuple(known.values()))
            reference.append({"image": batch.indices} | task.record(whole(shown.pixels), shown.truths))
            _measure(candidates, shown, task)
            advance(len(batch.indices) * len(cells))
    seconds = time.perf_counter() - started
    if candidates := _alive(candidates):
        ordered = [truths[index] for index in sorted(truths)]
        baseline = task.score(joined(reference, task.ragged), ordered)
        for candidate in candidates:
            with _isolated(candidate.outcome):
                _summarize(candidate, baseline, ordered, material, seconds, len(faults))
    return outcomes


def _alive(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    return [candidate for candidate in candidates if not candidate.outcome.reason]


@contextmanager
def _isolated(*outcomes: Outcome) -> Iterator[None]:
    """What goes wrong within is these cells' failure and no others'."""
    try:
        yield
    except Exception as error:
        for outcome in outcomes:
            outcome.reason = reason_of(error)


def _on(pixels: Any, device: torch.device) -> Any:
    """A tensor or a list of tensors on a device."""
    return pixels.to(device) if isinstance(pixels, Tensor) else [x.to(device) for x in pixels]


def _prepare(outcomes: Sequence[Outcome], material: Material, example: Any) -> Iterator[_Candidate]:
    """Split the backbone at every point, and let every method prepare its rate point."""
    places: dict[str, Place] = {}
    for outcome in outcomes:
        cell = outcome.cell
        with _isolated(outcome):
            if cell.split not in places:
                places[cell.split] = place_of(material.backbone, cell.split, _on(example, material.device))
            place = places[cell.split]
            learned = partial(material.learned, cell, place)
            calibration = _calibration_cuts(place, material)
            context = Context(place.head, place.tail, place.specs, calibration, cell.seed, learned)
            yield _Candidate(outcome, place, methods.get(cell.method).deploy(cell.settings, context))


def _calibration_cuts(place: Place, material: Material) -> Callable[[], Iterable[Cut]]:
    def cuts() -> Iterator[Cut]:
        for batch in material.calibration_batches():
            if batch.unreadable and not material.skip_unreadable:
                raise MethodError(f"calibration image {batch.unreadable[0]}")
            if batch.pixels is not None:
                yield from place.cuts(place.head(_on(batch.pixels, material.device)))[0]

    return cuts


def _measure(candidates: list[_Candidate], shown: _Shown, task: Task) -> None:
    """One batch through every candidate; candidates that share a head share its output."""
    by_head: dict[int, list[_Candidate]] = {}
    for candidate in candidates:
        by_head.setdefault(id(candidate.deployment.head), []).append(candidate)
    for group in by_head.values():
        with _isolated(*(candidate.outcome for candidate in group)):
            values = group[0].deployment.head(shown.pixels)
            for candidate in group:
                with _isolated(candidate.outcome):
                    candidate.parts.append(_records(candidate, values, shown, task))


def _records(candidate: _Candidate, values: tuple[Any, ...], shown: _Shown, task: Task) -> Records:
    """What is kept of a batch: sizes of the bitstreams, and of what was decoded from them."""
    place, images = candidate.place, len(shown.indices)
    cuts, _ = place.cuts(values)
    elements = [sum(x[0].numel() for x in cut) for cut in cuts]
    streams, decoded = place.transfer(candidate.deployment.codec, values)
    outputs = candidate.deployment.tail(*_received(decoded, shown.pixels[0].device))
    return {
        "image": shown.indices,
        "pixels": np.array([x.shape[-1] * x.shape[-2] for x in shown.pixels], np.int64),
        "elements": np.array(elements * (images // len(elements)), np.int64),
        **rate.record(streams),
        **task.record(outputs, shown.truths),
    }


def _received(values: tuple[Any, ...], device: torch.device) -> tuple[Any, ...]:
    """What was decoded, where the tail runs."""
    return tuple(x.to(device) if isinstance(x, Tensor) else x for x in values)


def _describe(candidates: list[_Candidate], material: Material, pixels: Any) -> None:
    """Costs and times at batch 1, and what is stored on each side. Heads and tails that are shared are run once."""
    images = [_on(pixels[i : i + 1], material.device) for i in range(min(len(pixels), _TIMED_IMAGES))]
    digests = ledger.Digests(material.backbone.model)
    known: dict[int, tuple[int, float]] = {}  # by the module's id: MACs and milliseconds
    values: dict[int, list[tuple[Any, ...]]] = {}  # by the head's id: its outputs

    def measured(module: nn.Module, inputs: list[tuple[Any, ...]]) -> tuple[int, float]:
        if id(module) not in known:
            known[id(module)] = count_macs(module, *inputs[0]), median_ms(module, inputs, material.device)
        return known[id(module)]

    def describe(candidate: _Candidate) -> None:
        head, codec, tail = candidate.deployment.head, candidate.deployment.codec, candidate.deployment.tail
        place = candidate.place
        if id(head) not in values:
            values[id(head)] = [head(x) for x in images]
        cuts = [(place.cut(value)[0],) for value in values[id(head)]]
        sent = [([stream.data for stream in codec.encode(cut)], place.specs_of(cut)) for (cut,) in cuts]
        decoded = [_received(place.transfer(codec, value)[1], material.device) for value in values[id(head)]]
        macs_head, head_ms = measured(head, [(x,) for x in images])
        macs_tail, tail_ms = measured(tail, decoded)
        candidate.outcome.columns |= {
            "macs_head": macs_head,
            "macs_encoder": count_macs(codec.encode, *cuts[0]),
            "macs_decoder": count_macs(codec.decode, *sent[0]),
            "macs_tail": macs_tail,
            "head_ms": head_ms,
            "encode_ms": median_ms(codec.encode, cuts, material.device),
            "decode_ms": median_ms(codec.decode, sent, material.device),
            "tail_ms": tail_ms,
            "switch_ms": ledger.switch_ms(candidate.deployment, digests, material.device),
        }
        candidate.outcome.stored = ledger.stored(candidate.deployment, digests)

    for candidate in candidates:
        with _isolated(candidate.outcome):
            describe(candidate)


def _summarize(
    candidate: _Candidate,
    baseline: Scored,
    truths: Sequence[Any],
    material: Material,
    seconds: float,
    unreadable: int,
) -> None:
    outcome, place, task = candidate.outcome, candidate.place, tasks.get(material.dataset.task)
    scored = task.score(joined(candidate.parts, task.ragged), truths)
    records = scored.records
    outcome.records = records | {f"baseline_{name}": baseline.records[name] for name in task.paired}
    outcome.columns |= {
        "images": len(records["bytes"]),
        "images_unreadable": unreadable,
        "cut": " + ".join("x".join(map(str, spec.shape)) for spec in place.specs),
        "split_by": place.how,
        "batch": material.batch,
        "seconds": seconds,
    }
    outcome.columns |= rate.summary(records, float(records["pixels"].mean()), float(records["elements"].mean()))
    outcome.columns |= task.summary(scored, baseline)


def _refused(batch: Batch, material: Material) -> bool:
    return bool(batch.unreadable) and not material.skip_unreadable


def _unreadable(
    cells: Sequence[Cell], seen: list[Batch], rest: Iterable[Batch], advance: Callable[[int], None]
) -> list[Outcome]:
    """All cells failed: some images cannot be read. The rest is looked through so that all are counted."""
    faults: list[str] = []
    for batch in (*seen, *rest):
        faults += batch.unreadable
        advance(len(batch.indices) * len(cells))
    named = "; ".join(faults[:_NAMED]) + ("; ..." if len(faults) > _NAMED else "")
    reason = f"{len(faults)} images cannot be read: {named} (`unreadable: skip` leaves them out)"
    return [Outcome(cell, reason=reason) for cell in cells]


def reason_of(error: Exception) -> str:
    """An error as one line for the results; errors that nobody expected keep their type's name."""
    text = " ".join(str(error).split())
    expected = (MethodError, DataError, UserError)
    return text if isinstance(error, expected) else f"{type(error).__name__}: {text}"

"""The one-pass evaluator: each image is decoded once, each head runs once per batch, each codec and tail once per cell.

It knows nothing of any particular method: a deployment is a head, a codec and a tail. What is scored is always what the
tail makes of the decoded bytes, and the bytes are those that were counted.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from splitbench import methods
from splitbench.bench.backbones import Backbone
from splitbench.bench.loader import Batch, batches
from splitbench.bench.metrics import accuracy, ledger, rate
from splitbench.bench.metrics.accuracy import Records
from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.sweep import Cell
from splitbench.datasets.base import Dataset, ImageError
from splitbench.methods.base import Bitstream, Codec, Context, Cut, Deployment, MethodError, Specs, TensorSpec

_TIMED_IMAGES = 8
_NAMED = 3
_KEPT_IMAGES = 1000  # 150 MB at 224 x 224


@dataclass
class Outcome:
    """What became of a cell: its columns and per-image records, or the reason why it failed."""

    cell: Cell
    columns: dict[str, Any] = field(default_factory=dict)
    records: Records = field(default_factory=dict)
    stored: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Place:
    """A backbone split at one point: the halves, the cut's specs, and how it was split."""

    head: nn.Module
    tail: nn.Module
    specs: Specs
    how: str

    def cut(self, values: tuple[Any, ...]) -> tuple[Cut, tuple[Any, ...]]:
        """What a head returns, as the cut and the integers, which depend on the input's size only and cost nothing."""
        tensors = len(self.specs)
        return values[:tensors], values[tensors:]


@dataclass
class _Candidate:
    """A cell that is being measured. ``parts`` collects one records dict per batch."""

    outcome: Outcome
    place: Place
    deployment: Deployment
    parts: list[Records] = field(default_factory=list)


@dataclass(frozen=True)
class Material:
    """What one pass works on. ``calibration()`` opens the calibration images; it raises where there are none."""

    backbone: Backbone
    dataset: Dataset
    calibration: Callable[[], Dataset]
    skip_unreadable: bool
    batch: int
    device: torch.device
    _decoded: list[Batch] = field(default_factory=list)

    def calibration_batches(self) -> Iterable[Batch]:
        """The calibration images as pixels; decoded once where they are few enough to keep."""
        dataset = self.calibration()
        if len(dataset) > _KEPT_IMAGES:
            return batches(dataset, self.backbone.preprocessing, self.batch)
        if not self._decoded:
            self._decoded.extend(batches(dataset, self.backbone.preprocessing, self.batch))
        return self._decoded


def evaluate(cells: Sequence[Cell], material: Material, advance: Callable[[int], None]) -> list[Outcome]:
    """Measure all cells of one dataset and backbone in one pass. ``advance`` is told of every (image, cell) done.

    A cell that fails keeps its reason and stops; the others go on.
    """
    started = time.perf_counter()
    outcomes = [Outcome(cell) for cell in cells]
    reference: list[Records] = []
    faults: list[str] = []
    with torch.no_grad():
        stream = batches(material.dataset, material.backbone.preprocessing, material.batch)
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
            pixels = batch.pixels.to(material.device)
            labels = np.array([material.dataset.target(int(i)) for i in batch.indices])
            reference.append(accuracy.record(whole(pixels), labels))
            _measure(candidates, pixels, labels)
            advance(len(batch.indices) * len(cells))
    seconds = time.perf_counter() - started
    for candidate in _alive(candidates):
        _summarize(candidate, _joined(reference), material, first, seconds, len(faults))
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


def _prepare(outcomes: Sequence[Outcome], material: Material, example: Tensor) -> Iterator[_Candidate]:
    """Split the backbone at every point, and let every method prepare its rate point."""
    places: dict[str, Place] = {}
    for outcome in outcomes:
        cell = outcome.cell
        with _isolated(outcome):
            if cell.split not in places:
                places[cell.split] = place_of(material.backbone, cell.split, example.to(material.device))
            place = places[cell.split]
            context = Context(place.head, place.tail, place.specs, _calibration_cuts(place, material), cell.seed)
            yield _Candidate(outcome, place, methods.get(cell.method).deploy(cell.settings, context))


def place_of(backbone: Backbone, at: str, example: Tensor) -> Place:
    """The backbone split at ``at``, tried on one example of pixels (1, 3, H, W). Raises UserError for a bad name."""
    head, tail = backbone.split(at, example)
    values = head(example)
    tensors: int = head.cut_tensors  # type: ignore[assignment]
    roles: tuple[str, ...] = head.roles  # type: ignore[assignment]
    specs = tuple(
        TensorSpec(tuple(x.shape[1:]), x.dtype, role) for x, role in zip(values[:tensors], roles, strict=True)
    )
    return Place(head, tail, specs, str(head.how))


def _calibration_cuts(place: Place, material: Material) -> Callable[[], Iterable[Cut]]:
    def cuts() -> Iterator[Cut]:
        for batch in material.calibration_batches():
            if batch.unreadable and not material.skip_unreadable:
                raise MethodError(f"calibration image {batch.unreadable[0]}")
            if batch.pixels is not None:
                yield place.cut(place.head(batch.pixels.to(material.device)))[0]

    return cuts


def _measure(candidates: list[_Candidate], pixels: Tensor, labels: "np.ndarray[Any, Any]") -> None:
    """One batch through every candidate; candidates that share a head share its output."""
    by_head: dict[int, list[_Candidate]] = {}
    for candidate in candidates:
        by_head.setdefault(id(candidate.deployment.head), []).append(candidate)
    for group in by_head.values():
        with _isolated(*(candidate.outcome for candidate in group)):
            values = group[0].deployment.head(pixels)
            for candidate in group:
                with _isolated(candidate.outcome):
                    cut, numbers = candidate.place.cut(values)
                    streams, decoded = transfer(candidate.deployment.codec, cut, candidate.place.specs)
                    scores = candidate.deployment.tail(*(x.to(pixels.device) for x in decoded), *numbers)
                    candidate.parts.append(rate.record(streams) | accuracy.record(scores, labels))


def transfer(codec: Codec, cut: Cut, specs: Specs) -> tuple[list[Bitstream], Cut]:
    """Encode a cut, and decode it from nothing but the bytes."""
    streams = codec.encode(cut)
    return streams, codec.decode([stream.data for stream in streams], specs)


def _describe(candidates: list[_Candidate], material: Material, pixels: Tensor) -> None:
    """Costs and times at batch 1, and what is stored on each side. Heads and tails that are shared are run once."""
    images = [x[None].to(material.device) for x in pixels[:_TIMED_IMAGES]]
    digests = ledger.Digests(material.backbone.model)
    known: dict[int, tuple[int, float]] = {}  # by the module's id: MACs and milliseconds
    values: dict[int, list[tuple[Any, ...]]] = {}  # by the head's id: its outputs

    def measured(module: nn.Module, inputs: list[tuple[Any, ...]]) -> tuple[int, float]:
        if id(module) not in known:
            known[id(module)] = count_macs(module, *inputs[0]), median_ms(module, inputs, material.device)
        return known[id(module)]

    def describe(candidate: _Candidate) -> None:
        head, codec, tail = candidate.deployment.head, candidate.deployment.codec, candidate.deployment.tail
        specs = candidate.place.specs
        if id(head) not in values:
            values[id(head)] = [head(x) for x in images]
        parts = [candidate.place.cut(value) for value in values[id(head)]]
        cuts = [(cut,) for cut, _ in parts]
        sent = [([stream.data for stream in codec.encode(cut)], specs) for cut, _ in parts]
        decoded = [
            (*(x.to(material.device) for x in codec.decode(*data)), *numbers)
            for data, (_, numbers) in zip(sent, parts, strict=True)
        ]
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
        }
        candidate.outcome.stored = ledger.stored(candidate.deployment, digests)

    for candidate in candidates:
        with _isolated(candidate.outcome):
            describe(candidate)


def _summarize(
    candidate: _Candidate, baseline: Records, material: Material, pixels: Tensor, seconds: float, unreadable: int
) -> None:
    outcome, place = candidate.outcome, candidate.place
    records = _joined(candidate.parts)
    outcome.records = records | {f"baseline_{name}": values for name, values in baseline.items()}
    outcome.columns |= {
        "images": len(records["bytes"]),
        "images_unreadable": unreadable,
        "cut": " + ".join("x".join(map(str, spec.shape)) for spec in place.specs),
        "split_by": place.how,
        "batch": material.batch,
        "seconds": seconds,
    }
    elements = sum(spec.elements for spec in place.specs)
    outcome.columns |= rate.summary(records, pixels.shape[-1] * pixels.shape[-2], elements)
    outcome.columns |= accuracy.summary(records, baseline)


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


def _joined(parts: list[Records]) -> Records:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def reason_of(error: Exception) -> str:
    """An error as one line for the results; errors that nobody expected keep their type's name."""
    text = " ".join(str(error).split())
    return text if isinstance(error, (MethodError, ImageError)) else f"{type(error).__name__}: {text}"

"""Batches through heads, codecs and tails: while the network runs, threads code what it gave before.

Coders release the interpreter lock, so coding costs no time where the machine has a core to spare. What is in memory is
bounded whatever the number of cells: the cuts of the batches at hand, and a few decoded ones.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from splitbench.bench.backbones.split_model import received
from splitbench.bench.evaluation.coder_threads import Call, Coders
from splitbench.bench.evaluation.failures import isolated
from splitbench.bench.evaluation.prepare import Candidate, Prepared
from splitbench.bench.evaluation.tasks import Task
from splitbench.bench.metrics import rate
from splitbench.bench.metrics.records import Records
from splitbench.bench.utils.decode_threads import cores
from splitbench.bench.utils.precision import running, widened
from splitbench.methods.base import Bitstream, MethodError

_CODERS = 4
"""Threads at most that code: beside a GPU; on the CPU the network wants the cores itself, and one is enough."""


@dataclass(frozen=True)
class Shown:
    """Images that are run at once: the batch's number, indices in the dataset, pixels on the host, and the truths."""

    number: int
    indices: npt.NDArray[np.int64]
    pixels: Any
    truths: tuple[Any, ...]

    def parts(self, size: int) -> Iterator["Shown"]:
        """The same images, at most ``size`` at once."""
        for i in range(0, len(self.indices), size):
            part = slice(i, i + size)
            yield Shown(self.number, self.indices[part], self.pixels[part], self.truths[part])


@dataclass
class Done:
    """What came of some images: the uncompressed backbone's records, and by name those of every cell alive."""

    shown: Shown
    reference: Records
    records: dict[str, Records] = field(default_factory=dict)
    left: int = 0  # not finished yet, one more while there may come others


@dataclass(frozen=True)
class _Coded:
    streams: list[Bitstream]
    received: tuple[Any, ...]
    elements: list[int]


@torch.no_grad()
def run(prepared: Prepared, stream: Iterator[Shown], task: Task, raise_out_of_memory: bool) -> Iterator[Done]:
    """Everything that comes, in its order. A cell's failure is noted in ``prepared``.

    Raises:
        torch.OutOfMemoryError: memory ran out, if that is to be raised; otherwise it is the failure of a cell.
    """
    coders = Coders(_threads(prepared))
    flight = _Flight(prepared, task, raise_out_of_memory, coders)
    try:
        for shown in stream:
            with running(prepared.material.device, prepared.material.precision):
                ended = [*flight.start(shown)]
            yield from ended
        with running(prepared.material.device, prepared.material.precision):
            ended = [*flight.land(0)]
        yield from ended
    finally:
        coders.close()


def _threads(prepared: Prepared) -> int:
    here = cores()
    if prepared.material.naive or here == 1:
        return 0
    return min(_CODERS, here - 1) if prepared.material.device.type == "cuda" else 1


class _Flight:
    """Batches that were begun and cuts that are being coded, both in order."""

    def __init__(self, prepared: Prepared, task: Task, spare_memory: bool, coders: Coders) -> None:
        self.prepared, self.task, self.spare_memory, self.coders = prepared, task, spare_memory, coders
        self.device = prepared.material.device
        self.begun: deque[Done] = deque()
        self.coding: deque[tuple[Done, Candidate, Call[_Coded]]] = deque()

    def start(self, shown: Shown) -> Iterator[Done]:
        """Run the heads, and hand what they give to the coders; finish what lies further back than they can work."""
        network = self.prepared.network.run(self.prepared.material.placed(shown.pixels))
        done = Done(shown, {"image": shown.indices} | self._reference(network.answers(), shown), left=1)
        self.begun.append(done)
        for group in _by_head(self.prepared.alive(shown.number)):
            values: tuple[Any, ...] = ()
            with self._failing(shown, group):
                values = network.values(group[0].deployment.head)
            for candidate in group if values else ():
                self.coding.append((done, candidate, self.coders.submit(_coded, candidate, values, self.device)))
                done.left += 1
                yield from self.land(2 * self.coders.threads)
        done.left -= 1
        yield from self.land(2 * self.coders.threads)

    def land(self, ahead: int) -> Iterator[Done]:
        """Finish all of them but the last ``ahead``."""
        while len(self.coding) > ahead:
            done, candidate, coded = self.coding.popleft()
            with self._failing(done.shown, [candidate]):
                result = coded.result()
                if self.prepared.lives(candidate.name, done.shown.number):
                    done.records[candidate.name] = self._record(candidate, result, done.shown)
            done.left -= 1
            yield from self._ended()
        yield from self._ended()

    def _ended(self) -> Iterator[Done]:
        while self.begun and self.begun[0].left == 0:
            yield self.begun.popleft()

    def _reference(self, answers: Any, shown: Shown) -> Records:
        try:
            return self.task.record(self._told(answers), shown.truths)
        except MethodError as error:
            raise MethodError(f"the uncompressed backbone: {error}") from error

    def _record(self, candidate: Candidate, coded: _Coded, shown: Shown) -> Records:
        """What is kept of a batch: sizes of the bitstreams, and of what was decoded from them."""
        outputs = candidate.deployment.tail(*coded.received)
        images = len(shown.indices)
        return {
            "image": shown.indices,
            "pixels": np.array([x.shape[-1] * x.shape[-2] for x in shown.pixels], np.int64),
            "elements": np.array(coded.elements * (images // len(coded.elements)), np.int64),
            **rate.record(coded.streams),
            **self.task.record(self._told(outputs), shown.truths),
        }

    def _told(self, outputs: Any) -> Any:
        return outputs if self.prepared.material.precision == "float32" else widened(outputs)

    @contextmanager
    def _failing(self, shown: Shown, candidates: Sequence[Candidate]) -> Iterator[None]:
        failed: dict[str, str] = {}
        cells = {candidate.name: self.prepared.cells[candidate.name] for candidate in candidates}
        with isolated(failed, cells, self.device, self.spare_memory):
            yield
        self.prepared.fail(failed, shown.number)


def _by_head(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Candidates that share a head share its output."""
    groups: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(id(candidate.deployment.head), []).append(candidate)
    return list(groups.values())


@torch.no_grad()
def _coded(candidate: Candidate, values: tuple[Any, ...], device: torch.device) -> _Coded:
    """What the device sends, and what the server makes of it, for a tail on ``device``: in any thread."""
    parts, _ = candidate.place.parts(values)
    streams, decoded = candidate.place.transfer(candidate.deployment.codec, values)
    return _Coded(streams, received(decoded, device), [sum(x[0].numel() for x in part) for part in parts])

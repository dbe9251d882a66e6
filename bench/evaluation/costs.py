"""What a cell costs: computation and times at batch 1, and what is stored on each side."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from splitbench.bench.backbones.split_model import received
from splitbench.bench.evaluation import codec_checks
from splitbench.bench.evaluation.failures import isolated
from splitbench.bench.evaluation.prepare import Candidate, Prepared
from splitbench.bench.metrics import ledger
from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.utils.precision import coding, running
from splitbench.methods.base import Specs

_TIMED_IMAGES = 8


@dataclass(frozen=True)
class Description:
    """Columns of a cell that do not depend on its answers, and what the ledger says is stored; both are JSON.

    ``reason`` tells why it failed, if it did. ``seconds`` is what preparing and describing took, for all cells.
    """

    columns: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0


@torch.no_grad()
def describe(prepared: Prepared) -> dict[str, Description]:
    """Costs of every cell, by name, measured on the first images. Heads and tails that are shared are run once.

    A cell that fails here fails in ``prepared``, too.
    """
    started = time.perf_counter()
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    failed = {name: failure.reason for name, failure in prepared.failed.items()}
    if prepared.example is not None:
        measured = _Measured(prepared)
        with running(prepared.material.device, prepared.material.precision):
            for candidate in prepared.alive():
                with isolated(failed, {candidate.name: prepared.cells[candidate.name]}, prepared.material.device):
                    found[candidate.name] = measured.columns(candidate), measured.stored(candidate)
    prepared.fail(failed)
    seconds = prepared.seconds + time.perf_counter() - started
    return {name: Description(*found.get(name, ({}, {})), failed.get(name, ""), seconds) for name in prepared.cells}


class _Measured:
    """Measures candidates one after the other, and knows what it has measured already."""

    def __init__(self, prepared: Prepared) -> None:
        self.material = prepared.material
        pixels = prepared.example.pixels if prepared.example is not None else ()
        count = min(len(pixels), _TIMED_IMAGES)
        self.images = [self.material.placed(pixels[i : i + 1]) for i in range(count)]
        self.digests = ledger.Digests(self.material.backbone.model)
        self._known: dict[int, tuple[int, float]] = {}  # by the module's id: MACs and milliseconds
        self._values: dict[int, list[tuple[Any, ...]]] = {}  # by the head's id: its outputs

    def columns(self, candidate: Candidate) -> dict[str, Any]:
        place, device = candidate.place, self.material.device
        head, codec, tail = candidate.deployment.head, candidate.deployment.codec, candidate.deployment.tail
        if id(head) not in self._values:
            self._values[id(head)] = [head(x) for x in self.images]
        values = self._values[id(head)]
        with coding():
            codec_checks.check(codec, [place.cut(value)[0] for value in values], place.specs_of)
        decoded = [received(place.transfer(codec, value)[1], device) for value in values]
        macs_head, head_ms = self._half(head, [(x,) for x in self.images])
        macs_tail, tail_ms = self._half(tail, decoded)
        with coding():
            cuts = [(place.cut(value)[0],) for value in values]
            sent = [([stream.data for stream in codec.encode(cut)], place.specs_of(cut)) for (cut,) in cuts]

            def decode(streams: list[bytes], specs: Specs) -> tuple[Any, ...]:
                return received(codec.decode(streams, specs), device)  # decoded is what lies where the tail runs

            coder = {
                "macs_encoder": count_macs(codec.encode, *cuts[0]),
                "macs_decoder": count_macs(codec.decode, *sent[0]),
                "encode_ms": median_ms(codec.encode, cuts, device),
                "decode_ms": median_ms(decode, sent, device),
            }
        return {
            "precision": self.material.precision,
            "cut": " + ".join("x".join(map(str, spec.shape)) for spec in place.specs),
            "split_by": place.how,
            "macs_head": macs_head,
            "macs_tail": macs_tail,
            "head_ms": head_ms,
            "tail_ms": tail_ms,
            **coder,
            "switch_ms": ledger.switch_ms(candidate.deployment, self.digests, device),
        }

    def stored(self, candidate: Candidate) -> dict[str, Any]:
        return ledger.stored(candidate.deployment, self.digests)

    def _half(self, module: nn.Module, inputs: list[tuple[Any, ...]]) -> tuple[int, float]:
        if id(module) not in self._known:
            macs = count_macs(module, *inputs[0])
            self._known[id(module)] = macs, median_ms(module, inputs, self.material.device)
        return self._known[id(module)]

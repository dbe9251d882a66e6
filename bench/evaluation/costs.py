"""What a cell costs: computation and times at batch 1, and what is stored on each side."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from splitbench.bench.evaluation.checks import codec_checks
from splitbench.bench.evaluation.failures import isolated
from splitbench.bench.evaluation.pipeline.transmission import transmit
from splitbench.bench.evaluation.prepare import Prepared
from splitbench.bench.metrics import held, ledger
from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.split import SplitModel
from splitbench.bench.utils import progress
from splitbench.bench.utils.devices import to_device
from splitbench.bench.utils.precision import codec_precision, network_precision
from splitbench.bench.utils.progress import Show
from splitbench.methods.base import Deployment, Specs

_TIMED_IMAGES = 8


@dataclass(frozen=True)
class Description:
    """A row's columns besides rate and accuracy; all of them can be stored as JSON.

    Attributes:
        columns: Columns that do not depend on the images: computation, times, precision, shape of the cut.
        stored: What the ledger says is stored, see :func:`splitbench.bench.metrics.ledger.stored`.
        reason: Why the cell failed; empty where it did not.
        seconds: What preparing and describing all cells of the pass took.
    """

    columns: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0


@torch.no_grad()
def describe(prepared: Prepared, *, show: Show = progress.silent) -> dict[str, Description]:
    """Measure the costs of every cell on the first images. Heads and tails that cells share are measured once.

    A cell that fails here fails in ``prepared``, too.

    Args:
        prepared: The pass.
        show: Shows the loop over the cells.
    """
    started = time.perf_counter()
    costs: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    if prepared.example is not None:
        inputs, pixels = prepared.inputs, prepared.example.pixels
        images = [inputs.to_device(pixels[i : i + 1]) for i in range(min(len(pixels), _TIMED_IMAGES))]
        meter = CostMeter(inputs.backbone.model, images, inputs.device)
        constant = {"precision": inputs.precision, "input": inputs.backbone.input}
        with network_precision(inputs.device, inputs.precision):
            alive = list(prepared.alive())
            for candidate in progress.track(alive, "", "cells", show=show, worth=len(alive)):
                cells = {candidate.key: prepared.cells[candidate.key]}
                with isolated(prepared.failed, cells, inputs.device):
                    columns = constant | meter.columns(candidate.split, candidate.deployment)
                    costs[candidate.key] = columns, meter.stored(candidate.deployment)
    seconds = prepared.seconds + time.perf_counter() - started
    reasons = {key: failure.reason for key, failure in prepared.failed.items()}
    return {key: Description(*costs.get(key, ({}, {})), reasons.get(key, ""), seconds) for key in prepared.cells}


class CostMeter:
    """Measures deployments one after the other; remembers the heads and tails that it has measured.

    Args:
        model: The backbone.
        images: Batches of one image, on the device.
        device: Where heads and tails run.
    """

    def __init__(self, model: nn.Module, images: Sequence[Any], device: torch.device) -> None:
        self.images, self.device = images, device
        self.digests = ledger.TensorDigests(model)
        self._measured: dict[nn.Module, tuple[int, float]] = {}  # MACs and milliseconds
        self._head_outputs: dict[nn.Module, list[tuple[Any, ...]]] = {}

    def columns(self, split: SplitModel, deployment: Deployment) -> dict[str, Any]:
        """Check a codec, and return computation and times by column. Raises MethodError where a check fails."""
        head, codec, tail, device = deployment.head, deployment.codec, deployment.tail, self.device
        if head not in self._head_outputs:
            self._head_outputs[head] = [head(x) for x in self.images]
        outputs = self._head_outputs[head]
        with codec_precision():
            codec_checks.check(codec, [split.cut(values)[0] for values in outputs], split.specs_of)
        held.check(deployment, only=nn.Parameter)
        decoded = [to_device(transmit(split, codec, values)[1], device) for values in outputs]
        macs_head, head_ms = self._measure(head, [(x,) for x in self.images])
        macs_tail, tail_ms = self._measure(tail, decoded)
        with codec_precision():
            cuts = [(split.cut(values)[0],) for values in outputs]
            sent = [([stream.data for stream in codec.encode(cut)], split.specs_of(cut)) for (cut,) in cuts]

            def decode(streams: list[bytes], specs: Specs) -> object:
                return to_device(codec.decode(streams, specs), device)  # decoding ends where the tail runs

            coding = {
                "macs_encoder": count_macs(codec.encode, *cuts[0]),
                "macs_decoder": count_macs(codec.decode, *sent[0]),
                "encode_ms": median_ms(codec.encode, cuts, device),
                "decode_ms": median_ms(decode, sent, device),
            }
        return {
            "cut": " + ".join("x".join(map(str, spec.shape)) for spec in split.specs_of(cuts[0][0])),
            "split_by": split.how,
            "macs_head": macs_head,
            "macs_tail": macs_tail,
            "head_ms": head_ms,
            "tail_ms": tail_ms,
            **coding,
            "switch_ms": ledger.switch_ms(deployment, self.digests, device),
        }

    def stored(self, deployment: Deployment) -> dict[str, Any]:
        """Return what both sides store, see :func:`splitbench.bench.metrics.ledger.stored`."""
        return ledger.stored(deployment, self.digests)

    def _measure(self, module: nn.Module, arguments: list[tuple[Any, ...]]) -> tuple[int, float]:
        if module not in self._measured:
            macs = count_macs(module, *arguments[0])
            self._measured[module] = macs, median_ms(module, arguments, self.device)
        return self._measured[module]

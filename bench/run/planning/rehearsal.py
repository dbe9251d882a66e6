"""What ``validate`` tries of every cell: its method is deployed on the cuts of a few images, and codes one of them.

Nothing is trained: a method that learns is given the unit that its training would begin with.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.evaluation.checks import codec_checks
from splitbench.bench.evaluation.failures import isolated
from splitbench.bench.evaluation.pipeline.loader import load, plan_batches
from splitbench.bench.evaluation.pipeline.transmission import transmit
from splitbench.bench.evaluation.prepare import deployed
from splitbench.bench.metrics import held
from splitbench.bench.run.planning.plan import Pass, PlannedCell
from splitbench.bench.run.planning.sources import first_readable
from splitbench.bench.split import SplitModel
from splitbench.bench.split.new_head import new_sides
from splitbench.bench.sweep.cells import Cell
from splitbench.bench.training import Recipe
from splitbench.bench.training.methods.planning import learning_of
from splitbench.bench.utils import progress
from splitbench.bench.utils.devices import to_device
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.plugins import METHODS
from splitbench.bench.utils.precision import codec_precision, network_precision
from splitbench.methods.base import Context, Cut, Deployment, Learned, MethodError, nothing_learned

_IMAGES = 2
"""Calibration images that are tried first: fitting takes next to no time."""

_MORE_IMAGES = 32
"""Those that are tried where a method fails with so few, which it may need."""

_BAR_AFTER = 3.0


def rehearse(pass_: Pass, backbone: Backbone, device: torch.device) -> Mapping[str, list[Cell]]:
    """Return why cells would fail before their first image is evaluated: the reasons, each with its cells.

    Args:
        pass_: A pass, split at all points.
        backbone: Its backbone.
        device: Where heads and tails run.
    """
    rehearsal = _Rehearsal(pass_, backbone, device)
    failures: dict[str, Failure] = {}
    show = partial(progress.bar, delay=_BAR_AFTER, leave=False)
    for planned in progress.track(pass_.cells, f"preparing {pass_.title}", "cells", show=show):
        with isolated(failures, {planned.key: planned.cell}, device):
            rehearsal.attempt(planned)
    cells = {planned.key: planned.cell for planned in pass_.cells}
    reasons: dict[str, list[Cell]] = {}
    for key, failure in failures.items():
        reasons.setdefault(failure.reason, []).append(cells[key])
    return reasons


@dataclass
class _Rehearsal:
    pass_: Pass
    backbone: Backbone
    device: torch.device
    coded: set[tuple[str, str, str]] = field(default_factory=set)
    sent: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    calibration: dict[tuple[str, int], list[Cut]] = field(default_factory=dict)

    @torch.no_grad()
    def attempt(self, planned: PlannedCell) -> None:
        """Deploy a cell; code an image by the first of its method's settings. Raises what the method raises."""
        cell, split = planned.cell, self.pass_.splits[planned.cell.split]
        with network_precision(self.device, planned.ingredients["precision"]):
            deployment = self._deployment(cell, split)
            kind = cell.split, cell.method, cell.variant
            if kind not in self.coded:
                self.coded.add(kind)
                self._code(deployment, split)

    def _deployment(self, cell: Cell, split: SplitModel) -> Deployment:
        context = Context(
            head=split.head,
            tail=split.tail,
            specs=split.specs,
            calibration=partial(self._cuts, split, _IMAGES),
            seed=cell.seed,
            learned=partial(self._untrained, cell, split),
            calibration_by=partial(self._compute_cuts, split, _IMAGES),
            image=split.image,
        )
        try:
            return deployed(cell, context)
        except Exception:
            if "calibration" not in METHODS.get(cell.method).needs(cell.settings):
                raise
        more = replace(
            context,
            calibration=partial(self._cuts, split, _MORE_IMAGES),
            calibration_by=partial(self._compute_cuts, split, _MORE_IMAGES),
        )
        return deployed(cell, more)

    def _code(self, deployment: Deployment, split: SplitModel) -> None:
        values = self._sent(split) if deployment.head is split.head else deployment.head(self._example())
        with codec_precision():
            codec_checks.check(deployment.codec, [split.cut(values)[0]], split.specs_of)
        held.check(deployment, only=torch.nn.Parameter)
        decoded = to_device(transmit(split, deployment.codec, values)[1], self.device)
        if deployment.tail is not split.tail:  # the backbone's takes whatever has the cut's shapes, which was checked
            deployment.tail(*decoded)

    def _example(self) -> Any:
        pixels = self.backbone.pixels(first_readable(self.pass_.dataset))
        return to_device(self.backbone.together([pixels]), self.device)

    def _sent(self, split: SplitModel) -> tuple[Any, ...]:
        """Return what the head returns for the first image."""
        if split.at not in self.sent:
            self.sent[split.at] = split.head(self._example())
        return self.sent[split.at]

    def _cuts(self, split: SplitModel, images: int) -> Iterable[Cut]:
        if (split.at, images) not in self.calibration:
            self.calibration = {(split.at, images): list(self._compute_cuts(split, images, split.head))}
        return self.calibration[split.at, images]

    def _compute_cuts(self, split: SplitModel, images: int, head: torch.nn.Module) -> Iterator[Cut]:
        dataset = self.pass_.calibration()
        for batch in load(dataset, self.backbone, plan_batches(dataset, self.backbone, images, most=images)):
            if batch.unreadable and not self.pass_.skip_unreadable:
                raise MethodError(f"calibration image {batch.unreadable[0]}")
            if batch.pixels is not None:
                yield from split.cuts(head(to_device(batch.pixels, self.device)))[0]

    def _untrained(self, cell: Cell, split: SplitModel) -> Learned:
        """Return the unit that the cell's training would begin with, its tables made of an image."""
        if "train" not in METHODS.get(cell.method).needs(cell.settings):
            return nothing_learned()
        learning = learning_of(cell, split)
        Recipe(**learning.recipe)
        (cut,) = split.cuts(self._sent(split))[0]
        twice = tuple(torch.cat([x, x]) for x in cut)  # no norm learns from one value a channel
        head, tail = split.sides
        if learning.new_head is not None:
            learning.new_head.to(self.device).eval().requires_grad_(False).begin(twice)
            head, tail = new_sides(split, learning.new_head, tail)
            (cut,) = split.cuts(head(self._example()))[0]
            twice = tuple(torch.cat([x, x]) for x in cut)
        unit = learning.unit.to(self.device).train()
        with torch.random.fork_rng(devices=[]):
            unit.begin(twice)
            unit(*twice)
            unit.finish([twice])
        return Learned(head, unit.eval().requires_grad_(False), tail)

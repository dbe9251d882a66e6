"""What ``validate`` says: the cells of a sweep, and an estimate of the work from one image per pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.run.planning.faults import Faults
from splitbench.bench.run.planning.plan import Pass, plan_passes
from splitbench.bench.run.planning.rehearsal import rehearse
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.run.planning.work import Seconds, training_seconds
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training.methods import bundled
from splitbench.bench.utils.text import format_count, format_duration

_TRIES = 3


@dataclass(frozen=True)
class PassEstimate:
    """The cells of a pass, and the work that they are.

    Attributes:
        title: Dataset and backbone.
        backbone: The backbone's name.
        images: How many images are evaluated on.
        cells: The cells' names, by key.
        warnings: What may mislead, a sentence each.
        macs: Multiply-adds in heads and tails for all images.
        seconds: The time of these on this machine.
        trainings: Seconds of every training that is needed and not bundled, by key.
        bundled: How many trainings are bundled.
    """

    title: str
    backbone: str
    images: int
    cells: Mapping[str, str]
    warnings: tuple[str, ...]
    macs: float
    seconds: float
    trainings: Mapping[str, float] = field(default_factory=dict)
    bundled: int = 0


@dataclass(frozen=True)
class Estimate:
    """The passes of a sweep, and the work that they are."""

    passes: tuple[PassEstimate, ...]

    def lines(self) -> Iterator[str]:
        """Yield all cells pass by pass, then the totals."""
        for one in self.passes:
            yield f"{one.title}: {format_count(one.images, 'image')}, {format_count(len(one.cells), 'cell')}"
            yield from (f"  warning: {warning}" for warning in one.warnings)
            yield from (f"  {key}  {cell}" for key, cell in one.cells.items())
        yield from self.totals()

    def totals(self) -> Iterator[str]:
        """Yield the number of cells, and the estimates of measuring and training."""
        cells = sum(len(one.cells) for one in self.passes)
        pairs = sum(len(one.cells) * one.images for one in self.passes)
        macs, seconds = sum(one.macs for one in self.passes), sum(one.seconds for one in self.passes)
        yield (
            f"{format_count(cells, 'cell')}, {pairs} (image, cell) pairs, about {macs / 1e12:.3g} TMAC in heads and "
            f"tails: {format_duration(seconds)} by the time that one image takes (median of {_TRIES}) on this machine, "
            "as busy as it is now; coding comes on top"
        )
        trainings = {key: time for one in self.passes for key, time in one.trainings.items()}
        if trainings:
            verb = "is" if len(trainings) == 1 else "are"
            yield (
                f"{format_count(len(trainings), 'rate point')} {verb} trained first: roughly "
                f"{format_duration(sum(trainings.values()))} by epochs, images and the time of a forward pass"
            )
            if note := bundled.missing_note(one.backbone for one in self.passes if one.trainings):
                yield note
        if ready := sum(one.bundled for one in self.passes):
            yield f"{format_count(ready, 'rate point')} {'is' if ready == 1 else 'are'} bundled"


def estimate(sweep: Sweep, sources: Sources) -> Estimate:
    """Plan all passes, deploy all methods on a few images, and estimate the work.

    Raises:
        UserError, DataError: The input is wrong; the message has a line for each fault.
    """
    faults = Faults()
    estimated = tuple(_estimated(pass_, sources, faults) for pass_ in plan_passes(sweep, sources, faults.collected))
    faults.raise_any()
    return Estimate(estimated)


def _estimated(pass_: Pass, sources: Sources, faults: Faults) -> PassEstimate:
    backbone = pass_.backbone()
    for reason, cells in rehearse(pass_, backbone, sources.device).items():
        faults.of_cells(cells, reason)
    macs, whole, parts = _work(pass_, backbone, sources)
    tails = sum(parts[planned.cell.split][1] for planned in pass_.cells if planned.cell.split in parts)
    heads = sum(head for head, _ in parts.values())
    ready = bundled.keys()
    missing = {key: training for key, training in pass_.trainings.items() if key not in ready}
    return PassEstimate(
        title=pass_.title,
        backbone=backbone.name,
        images=len(pass_.dataset),
        cells={planned.key: str(planned.cell) for planned in pass_.cells},
        warnings=pass_.warnings,
        macs=macs * len(pass_.dataset),
        seconds=(whole + heads + tails) * len(pass_.dataset),
        trainings={key: training_seconds(pass_, training, parts) for key, training in missing.items()},
        bundled=len(pass_.trainings) - len(missing),
    )


def _work(pass_: Pass, backbone: Backbone, sources: Sources) -> tuple[float, float, Seconds]:
    """Return what one image takes: MACs in all heads and tails, seconds of the whole backbone and of each part."""
    pixels, macs = pass_.example, 0.0
    parts: dict[str, tuple[float, float]] = {}

    def measured(module: torch.nn.Module, inputs: tuple[Any, ...], times: int) -> float:
        nonlocal macs
        macs += times * count_macs(module, *inputs)
        return median_ms(module, [inputs] * _TRIES, sources.device) / 1000

    with torch.no_grad():
        whole = measured(backbone.whole().to(sources.device), (pixels,), 1)
        for at, split in pass_.splits.items():
            tails = sum(planned.cell.split == at for planned in pass_.cells)
            head = measured(split.head, (pixels,), 1)
            parts[at] = head, measured(split.tail, tuple(split.head(pixels)), tails)
    return macs, whole, parts

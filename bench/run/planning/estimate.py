"""A dry run: the cells of a sweep, and an estimate of the work from one image per pass."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.run.planning.faults import Faults
from splitbench.bench.run.planning.plan import Pass, passes
from splitbench.bench.run.planning.rehearsal import rehearse
from splitbench.bench.run.planning.sources import Sources, first_readable
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training.methods import bundled
from splitbench.bench.utils.text import format_count, format_duration

_TRIES = 3


@dataclass(frozen=True)
class _Examined:
    """What is printed of a pass, and its work."""

    lines: tuple[str, ...]
    cells: int
    pairs: int
    macs: float
    seconds: float
    trainings: frozenset[str]


def format_estimate(sweep: Sweep, sources: Sources) -> Iterator[str]:
    """Yield lines: all cells pass by pass, then totals.

    All passes are planned, and all methods deployed on a few images, before the first line.

    Raises:
        UserError, DataError: The input is wrong; the message has a line for each fault.
    """
    faults = Faults()
    examined = [_examined(pass_, sources, faults) for pass_ in passes(sweep, sources, faults.collected)]
    faults.raise_any()
    for estimate in examined:
        yield from estimate.lines
    cells, images = sum(estimate.cells for estimate in examined), sum(estimate.pairs for estimate in examined)
    macs, seconds = sum(estimate.macs for estimate in examined), sum(estimate.seconds for estimate in examined)
    yield (
        f"{format_count(cells, 'cell')}, {images} (image, cell) pairs, about {macs / 1e12:.3g} TMAC in heads and "
        f"tails: {format_duration(seconds)} by the time that one image takes (median of {_TRIES}) on this machine, as "
        "busy as it is now; coding comes on top"
    )
    trainings = frozenset[str]().union(*(estimate.trainings for estimate in examined))
    if trainings:
        verb = "is" if len(trainings) == 1 else "are"
        points = f"{format_count(len(trainings), 'rate point')} {verb} trained first"
        yield f"{points}; {len(trainings & bundled.keys())} of them are bundled trained"
        if note := bundled.missing_note(backbone.name for backbone in sweep.backbones):
            yield note


def _examined(pass_: Pass, sources: Sources, faults: Faults) -> _Examined:
    backbone = pass_.backbone()
    for reason, cells in rehearse(pass_, backbone, sources.device).items():
        faults.of_cells(cells, reason)
    counts = format_count(len(pass_.dataset), "image"), format_count(len(pass_.planned), "cell")
    macs, seconds = _work(pass_, backbone, sources)
    return _Examined(
        lines=(
            f"{pass_.title}: {', '.join(counts)}",
            *(f"  warning: {warning}" for warning in pass_.warnings),
            *(f"  {planned.key}  {planned.cell}" for planned in pass_.planned),
        ),
        cells=len(pass_.planned),
        pairs=len(pass_.dataset) * len(pass_.planned),
        macs=macs,
        seconds=seconds,
        trainings=frozenset(pass_.trainings),
    )


def _work(pass_: Pass, backbone: Backbone, sources: Sources) -> tuple[float, float]:
    """Return MACs and seconds of a pass: heads once per image, the tail of each cell, and the uncompressed backbone."""
    pixels = backbone.together([backbone.pixels(first_readable(pass_.dataset)).to(sources.device)])
    whole = backbone.whole().to(sources.device)
    macs = seconds = 0.0
    with torch.no_grad():
        modules = [(whole, (pixels,), 1)]
        for at, place in pass_.places.items():
            tails = sum(planned.cell.split == at for planned in pass_.planned)
            modules += [(place.head, (pixels,), 1), (place.tail, tuple(place.head(pixels)), tails)]
        for module, inputs, times in modules:
            macs += times * count_macs(module, *inputs)
            seconds += times * median_ms(module, [inputs] * _TRIES, sources.device) / 1000
    return macs * len(pass_.dataset), seconds * len(pass_.dataset)

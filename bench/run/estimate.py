"""A dry run: the cells of a sweep, and an estimate of the work from one image per pass."""

from collections.abc import Iterator

import torch

from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.run.plan import Pass, passes
from splitbench.bench.run.sources import Sources, first_readable
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training.methods import bundled
from splitbench.bench.utils.text import format_count, format_duration

_TRIES = 3


def format_estimate(sweep: Sweep, sources: Sources) -> Iterator[str]:
    """Yield lines: all cells pass by pass, then totals. Raises what :func:`splitbench.bench.run.plan.passes` raises."""
    cells = images = 0
    macs = seconds = 0.0
    trainings: set[str] = set()
    for pass_ in passes(sweep, sources):
        yield f"{pass_.title}: {format_count(len(pass_.dataset), 'image')}, {format_count(len(pass_.planned), 'cell')}"
        for planned in pass_.planned:
            yield f"  {planned.key}  {planned.cell}"
            trainings |= {planned.training.key} if planned.training else set()
        pass_macs, pass_seconds = _work(pass_, sources)
        cells += len(pass_.planned)
        images += len(pass_.dataset) * len(pass_.planned)
        macs += pass_macs
        seconds += pass_seconds
    yield (
        f"{format_count(cells, 'cell')}, {images} (image, cell) pairs, about {macs / 1e12:.3g} TMAC in heads and "
        f"tails, at least {format_duration(seconds)} on this machine; coding comes on top"
    )
    if trainings:
        verb = "is" if len(trainings) == 1 else "are"
        points = f"{format_count(len(trainings), 'rate point')} {verb} trained first"
        yield f"{points}; {len(trainings & bundled.keys())} of them ship trained"


def _work(pass_: Pass, sources: Sources) -> tuple[float, float]:
    """Return MACs and seconds of a pass: heads once per image, the tail of each cell, and the uncompressed backbone."""
    backbone = pass_.backbone()
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

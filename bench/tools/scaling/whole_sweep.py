"""What a whole sweep would take, from a run of a small one: rates are measured, images and multiply-adds counted.

Measured, with the small run's backbone, are the seconds that a pass takes per multiply-add (MAC), coding and decoding
of pictures included, and those that a training takes per image seen and MAC of the whole network: one rate for each
method that learns, one more where it begins with the weights of the rate point before. Counted are the MACs of the
whole sweep's backbones at its splits, its cells, and its trainings with their epochs. That time grows with both alone
is assumed; opening the data is left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from splitbench.bench.analysis.figures import scaling
from splitbench.bench.backbones import registry
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.results.store import Store
from splitbench.bench.run.partition import LEAST_BATCHES
from splitbench.bench.split import SplitModel
from splitbench.bench.split.points import split_points
from splitbench.bench.sweep.auto_splits import resolved
from splitbench.bench.sweep.cells import Cell, expand
from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.sweep.reading import read
from splitbench.bench.sweep.schema import BackboneSpec, Sweep
from splitbench.bench.tools.scaling.workers import Measured, PassTime, enough, number, time
from splitbench.bench.training.methods.planning import learning_of
from splitbench.bench.training.methods.trainings import Trainings
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import write_text
from splitbench.bench.utils.plugins import METHODS
from splitbench.bench.utils.text import format_count
from splitbench.methods.base import Learning

Halves = tuple[float, float]
"""MACs of a head and a tail."""


@dataclass(frozen=True)
class Rates:
    """Seconds per MAC: of a pass, and of trainings per image seen by (method, whether it begins anew).

    ``fixed`` are the seconds that do not grow with the images, per MAC of one image.
    """

    passing: float
    fixed: float
    training: Mapping[tuple[str, bool], float] = field(default_factory=dict)


def rates(run: Path) -> Rates:
    """What a run tells, all its passes together. Raises UserError where it holds no good cell."""
    reports = Trainings(run / "trainings", bundled=False)
    halves: dict[Any, list[Halves]] = defaultdict(list)
    passes: dict[Any, tuple[float, float, float]] = {}
    spent: dict[tuple[str, bool], list[tuple[float, float]]] = defaultdict(list)
    for content in Store(run).cells():
        columns, settings = content["columns"], content["settings"]
        if columns["status"] != "ok":
            continue
        one = columns.get("fingerprint"), settings.get("backbone")
        head, tail = number(columns, "macs_head"), number(columns, "macs_tail")
        halves[one].append((head, tail))
        fixed = number(columns, "fixed_seconds")
        passes[one] = number(columns, "images"), number(columns, "seconds") - fixed, fixed
        key = str(settings.get("training"))
        if reports.has(key):  # others ship with the project
            anew = reports.report(key).get("neighbour") is None
            seen = number(columns, "train_images") * (head + tail)
            spent[str(columns["method"]), anew].append((number(columns, "train_seconds"), seen))
    if not passes:
        raise UserError(
            f"{run} holds no cell that was measured: run a small sweep first, with every method that learns"
        )
    work = {one: _macs(found) for one, found in halves.items()}
    counted = sum(images * work[one] for one, (images, _, _) in passes.items())
    prepared = sum(work.values())
    return Rates(
        sum(seconds for _, seconds, _ in passes.values()) / max(1.0, counted),
        sum(fixed for _, _, fixed in passes.values()) / max(1.0, prepared),
        {of: sum(s for s, _ in found) / max(1.0, sum(n for _, n in found)) for of, found in spent.items()},
    )


def _macs(halves: Iterable[Halves]) -> float:
    """MACs of a pass per image: the uncompressed network, the deepest head, and every cell's tail."""
    found = list(halves)
    whole = max(head + tail for head, tail in found)
    return whole + max(head for head, _ in found) + sum(tail for _, tail in found)


def foreseen(sweep: Sweep, known: Rates, images: int, train_images: int, speed: float = 1.0) -> Measured:
    """The tasks of a whole sweep on so many images, for workers ``speed`` times as fast as the one that measured.

    Raises:
        UserError: a backbone or split that is not there, or a method that learns of which the run has no training.
    """
    sweep = resolved(sweep)
    cells = list(expand(sweep))
    trainings: dict[str, float] = {}
    neighbours: dict[str, str | None] = {}
    passes: list[PassTime] = []
    for spec in sweep.backbones:
        backbone = registry.build(spec.name, spec.args, "none", spec.preprocessing)
        at = macs_by_split(spec, backbone)
        places: dict[str, SplitModel] = {}
        for dataset in sweep.datasets:
            chosen = [cell for cell in cells if cell.dataset is dataset and cell.backbone is spec]
            previous: dict[tuple[Any, ...], str] = {}
            needs = set()
            for cell in chosen:
                if "train" in METHODS.get(cell.method).needs(cell.settings):
                    key = str(cell)
                    if cell.split not in places:
                        places[cell.split] = _place(backbone, cell.split)
                    learning = learning_of(cell, places[cell.split])
                    neighbours[key] = _neighbour(cell, learning, previous)
                    epochs = _epochs(learning, neighbours[key] is None)
                    rate = _rate(known, cell, neighbours[key] is None)
                    trainings[key] = epochs * train_images * sum(at[cell.split]) * rate / speed
                    needs.add(key)
            work = _macs(at[cell.split] for cell in chosen)
            parts = max(1, -(-images // sweep.batch) // LEAST_BATCHES)
            fixed = work * known.fixed / speed
            passes.append(PassTime(images * work * known.passing / speed, frozenset(needs), fixed, parts))
    return Measured(trainings, neighbours, passes)


def macs_by_split(spec: BackboneSpec, backbone: Backbone) -> dict[str, Halves]:
    """Return the MACs before and behind every split point."""
    points = split_points(backbone.model, backbone.example())
    found = {point.name: (float(point.macs_head), float(point.macs_tail)) for point in points}
    whole = max(map(sum, found.values()))
    for at in spec.splits if isinstance(spec.splits, list) else []:
        if at not in found:  # any module can be a split point; only those that all passes through are listed
            head = float(_of_head(backbone, at))
            found[at] = head, whole - head
    return found | {"input": (0.0, whole), "output": (whole, 0.0)}


@torch.no_grad()
def _of_head(backbone: Backbone, at: str) -> int:
    return count_macs(_place(backbone, at).head, _picture(backbone))


@torch.no_grad()
def _place(backbone: Backbone, at: str) -> SplitModel:
    return backbone.split(at, _picture(backbone))


def _picture(backbone: Backbone) -> Any:
    """A batch of one picture of the usual size."""
    return backbone.together([backbone.pixels(Image.new("RGB", (640, 480)))])


def _neighbour(cell: Cell, learning: Learning, previous: dict[tuple[Any, ...], str]) -> str | None:
    """The training that this one begins with; ``previous`` holds the last of each curve."""
    settings = cell.settings.model_dump()
    settings.pop(cell.knob)
    curve = cell.split, cell.method, cell.seed, str(settings)
    before = previous.get(curve) if learning.start == "neighbour" else None
    previous[curve] = str(cell)
    return before


def _epochs(learning: Learning, anew: bool) -> int:
    if not anew:
        return learning.neighbour_epochs
    warm_up = {} if learning.from_scratch else learning.warm_up or {}
    return int(learning.recipe["epochs"]) + int(warm_up.get("epochs", 0))


def _rate(known: Rates, cell: Cell, anew: bool) -> float:
    rate = known.training.get((cell.method, anew))
    if rate is None:
        how = "anew" if anew else "with the weights of a rate point before (start: neighbour)"
        raise UserError(
            f"the run that was measured has no training of {cell.method} that begins {how}: add one to it, or measure "
            "the sweep `slice`, which ships (`splitbench run slice`, see `splitbench sweeps`)"
        )
    return rate


def all_foreseen(
    run: Path, sweeps: Sequence[str], *, images: Sequence[int], train_images: Sequence[int], speed: float
) -> dict[str, Measured]:
    """:func:`foreseen` of several sweeps, each a file or the name of a bundled one.

    Raises:
        UserError: not as many numbers of images as sweeps, and as ``foreseen`` and ``rates`` do.
    """
    counts = {"--images": len(images), "--train-images": len(train_images)}
    wrong = [f"{option} {format_count(count, 'time')}" for option, count in counts.items() if count != len(sweeps)]
    if wrong:
        raise UserError(
            f"--sweep is given {format_count(len(sweeps), 'time')}, but {' and '.join(wrong)}: give --images and "
            "--train-images once for each sweep, in the same order"
        )
    known = rates(run)
    return {
        name: foreseen(read(SWEEPS.get(name)), known, count, shown, speed)
        for name, count, shown in zip(sweeps, images, train_images, strict=True)
    }


def write(
    found: Mapping[str, Measured],
    lines: Sequence[str],
    out: Path,
    *,
    workers: Sequence[int],
    speed: float,
    real: Sequence[tuple[int, float]] = (),
) -> list[Path]:
    """Write lines and a figure of time against workers; ``out`` is a file's name without its ending.

    ``real`` are workers and seconds of runs.
    """
    sums = {name: [time([one], count) for count in workers] for name, one in found.items()}
    every = {"both" if len(found) == 2 else "all": [sum(row) for row in zip(*sums.values(), strict=True)]}
    words = "" if speed == 1 else f"workers {speed:g} times as fast as the one measured"
    shown = (every if len(found) > 1 else {}) | sums
    drawn = scaling.draw(shown, workers, out, enough=enough(list(found.values())), title=words, measured=real)
    return [write_text(out.with_suffix(".txt"), "\n".join(lines)), *drawn]

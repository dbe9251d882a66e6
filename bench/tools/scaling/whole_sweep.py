"""The workload of a sweep that was not run, from the rates of one that was.

Counted are the MACs of the sweep's backbones at its splits, its cells, and its trainings with their epochs. That time
grows with both alone is assumed; opening the data is left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from splitbench.bench.backbones import registry
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.split import SplitModel
from splitbench.bench.split.points import split_points
from splitbench.bench.sweep.auto_splits import resolved
from splitbench.bench.sweep.cells import Cell, expand
from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.sweep.reading import read
from splitbench.bench.sweep.schema import BackboneSpec, Sweep
from splitbench.bench.tools.scaling.rates import Rates, SideMacs, measure_rates, pass_macs
from splitbench.bench.tools.scaling.workload import PassTime, Workload, most_parts
from splitbench.bench.training.methods.planning import epochs_of, learning_of
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import METHODS
from splitbench.bench.utils.text import format_count
from splitbench.methods.base import Learning


def predict_sweeps(
    run: Path, sweeps: Sequence[str], *, images: Sequence[int], train_images: Sequence[int], speed: float
) -> dict[str, Workload]:
    """Predict the workloads of sweeps, each a file or the name of a bundled one, at the rates of a run.

    Raises:
        UserError: There are not as many numbers of images as sweeps, or as ``measure_rates`` and ``predict_workload``.
    """
    counts = {"--images": len(images), "--train-images": len(train_images)}
    wrong = [f"{option} {format_count(count, 'time')}" for option, count in counts.items() if count != len(sweeps)]
    if wrong:
        raise UserError(
            f"--sweep is given {format_count(len(sweeps), 'time')}, but {' and '.join(wrong)}: give --images and "
            "--train-images once for each sweep, in the same order"
        )
    rates = measure_rates(run)
    return {
        name: predict_workload(read(SWEEPS.get(name)), rates, images=count, train_images=trained, speed=speed)
        for name, count, trained in zip(sweeps, images, train_images, strict=True)
    }


def predict_workload(sweep: Sweep, rates: Rates, *, images: int, train_images: int, speed: float = 1.0) -> Workload:
    """Predict the workload of a sweep.

    Args:
        sweep: The sweep.
        rates: Seconds per MAC.
        images: How many evaluation images there are.
        train_images: How many training images there are.
        speed: How many times as fast a worker is as the one that was measured.

    Raises:
        UserError: A backbone or split is unknown, or there is no rate for a method's trainings.
    """
    sweep = resolved(sweep)
    cells = list(expand(sweep))
    trainings: dict[str, float] = {}
    starts: dict[str, str | None] = {}
    passes: list[PassTime] = []
    for spec in sweep.backbones:
        backbone = registry.build(spec.name, spec.args, "none", spec.preprocessing)
        macs = macs_by_split(spec, backbone)
        splits: dict[str, SplitModel] = {}
        for dataset in sweep.datasets:
            of_pass = [cell for cell in cells if cell.dataset is dataset and cell.backbone is spec]
            latest: dict[tuple[Any, ...], str] = {}
            needs = set()
            for cell in of_pass:
                if "train" not in METHODS.get(cell.method).needs(cell.settings):
                    continue
                key = str(cell)
                if cell.split not in splits:
                    splits[cell.split] = _split(backbone, cell.split)
                learning = learning_of(cell, splits[cell.split])
                starts[key] = _start(cell, learning, latest)
                anew = starts[key] is None
                work = epochs_of(learning, anew=anew) * train_images * sum(macs[cell.split])
                trainings[key] = work * rates.of_training(cell.method, anew) / speed
                needs.add(key)
            once = pass_macs(macs[cell.split] for cell in of_pass) / speed
            seconds, fixed = images * once * rates.passing, once * rates.fixed
            passes.append(PassTime(seconds, frozenset(needs), fixed, most_parts(images, sweep.batch)))
    return Workload(trainings, starts, passes)


def macs_by_split(spec: BackboneSpec, backbone: Backbone) -> dict[str, SideMacs]:
    """Return the MACs before and behind every split point."""
    points = split_points(backbone.model, backbone.example())
    macs = {point.name: (float(point.macs_head), float(point.macs_tail)) for point in points}
    whole = max(map(sum, macs.values()))
    for name in spec.splits if isinstance(spec.splits, list) else []:
        if name not in macs:  # any module can be a split point; only those that all values pass through are listed
            head = float(_head_macs(backbone, name))
            macs[name] = head, whole - head
    return macs | {"input": (0.0, whole), "output": (whole, 0.0)}


@torch.no_grad()
def _head_macs(backbone: Backbone, split: str) -> int:
    return count_macs(_split(backbone, split).head, _example(backbone))


@torch.no_grad()
def _split(backbone: Backbone, name: str) -> SplitModel:
    return backbone.split(name, _example(backbone))


def _example(backbone: Backbone) -> Any:
    """Return a batch of one image of the usual size."""
    return backbone.together([backbone.pixels(Image.new("RGB", (640, 480)))])


def _start(cell: Cell, learning: Learning, latest: dict[tuple[Any, ...], str]) -> str | None:
    """Return the training that this one starts with; ``latest`` holds each curve's last, and is updated."""
    settings = cell.settings.model_dump()
    settings.pop(cell.knob)
    curve = cell.split, cell.method, cell.seed, str(settings)
    before = latest.get(curve) if learning.start == "neighbour" else None
    latest[curve] = str(cell)
    return before

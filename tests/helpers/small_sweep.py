"""A sweep of two cells over six batches, and runs of it that stop on the way."""

from pathlib import Path

from splitbench.bench.evaluation import measure
from splitbench.bench.results.store import Store
from splitbench.bench.run import runner, tasks
from splitbench.bench.run.partial_results import PartialResults
from splitbench.bench.run.planning.plan import Pass, PassSpec, RunSpec
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read

SMALL = """
datasets: [{name: synthetic, limit: 12}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods:
  - {name: quantize-rle, bits: [2, 4]}
batch: 2
"""


def spec_of(pass_: Pass, folder: Path) -> PassSpec:
    """A planned pass as it travels to another process, with nothing trained."""
    keys = [planned.key for planned in pass_.cells]
    run = RunSpec(
        folder=folder,
        token=folder,
        sources=Sources(),
        batch=4,
        retrain=False,
        threads=1,
        time_limit=0,
        shard_seconds=5,
    )
    return PassSpec(
        run=run,
        dataset=pass_.dataset_spec,
        backbone=pass_.backbone_spec,
        fingerprint=pass_.fingerprint,
        weights=pass_.weights,
        category_names=pass_.category_names,
        cells=pass_.cells,
        trainings=(),
        partial=PartialResults.find_or_create(folder, keys, run.batch),
    )


def ran(path: Path, out: Path) -> tuple[int, int]:
    """How many cells a run of the sweep did, and how many it kept; none failed."""
    result = runner.run(read(path), Sources(), Store(out))
    assert result.failed == ()
    return result.done, result.kept


def stop(monkeypatch, batch, error):
    """From now on batches are stored one by one, and before ``batch`` a run ends with the error."""

    def stopped(prepared, first, *rest):
        if first >= batch:
            raise error
        return measure(prepared, first, first + 1)

    monkeypatch.setattr(tasks, "measure", stopped)


def starts(monkeypatch):
    """From now on the first batches of what is measured, as they come."""
    seen = []

    def noted(prepared, first, *rest):
        seen.append(first)
        return measure(prepared, first, *rest)

    monkeypatch.setattr(tasks, "measure", noted)
    return seen

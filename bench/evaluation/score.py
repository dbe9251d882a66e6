"""From records to results: every cell's columns, completed by what needs all images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from splitbench.bench.evaluation import tasks
from splitbench.bench.evaluation.costs import Description
from splitbench.bench.evaluation.failures import isolated
from splitbench.bench.evaluation.shards import Shard
from splitbench.bench.evaluation.tasks import Scored, Task
from splitbench.bench.metrics import rate
from splitbench.bench.metrics.records import Records, joined
from splitbench.bench.sweep.cells import Cell
from splitbench.datasets.base import Dataset

_NAMED = 3


@dataclass
class Outcome:
    """What became of a cell: its columns and per-image records, or the reason why it failed."""

    cell: Cell
    columns: dict[str, Any] = field(default_factory=dict)
    records: Records = field(default_factory=dict)
    stored: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def score(
    cells: Mapping[str, Cell],
    shard: Shard,
    descriptions: Mapping[str, Description],
    dataset: Dataset,
    skip_unreadable: bool = False,
) -> Iterator[tuple[str, Outcome]]:
    """The outcomes of all cells, by name, from the records of all batches and the cells' descriptions; one by one.

    Raises:
        ValueError: the shard is not about all batches, or lacks one of the cells or images.
    """
    if (shard.first, shard.last) != (0, shard.total) or not shard.names >= cells.keys():
        raise ValueError(f"batches {shard.first} to {shard.last} of {shard.total} are not a whole pass of these cells")
    reasons = {name: _reason(name, shard, descriptions[name], skip_unreadable) for name in cells}
    if not all(reasons.values()):
        if len(shard.reference["image"]) + len(shard.unreadable) != len(dataset):
            raise ValueError(f"{len(shard.reference['image'])} of {len(dataset)} images were measured: run again")
        task = tasks.get(dataset.task)
        truths = [task.truth(dataset, int(index)) for index in sorted(shard.reference["image"])]
        baseline = task.score(joined([shard.reference], task.ragged), truths)
    for name, cell in cells.items():
        described = descriptions[name]
        outcome = Outcome(cell, dict(described.columns), {}, dict(described.stored), reasons[name])
        if not outcome.reason:
            failed: dict[str, str] = {}
            with isolated(failed, {name: cell}, torch.device("cpu")):
                _complete(outcome, shard.cells[name], baseline, truths, task)
                outcome.columns |= {
                    "images_unreadable": len(shard.unreadable),
                    "batch": shard.batch,
                    "seconds": shard.seconds + described.seconds,
                    "fixed_seconds": described.seconds,
                }
            outcome.reason = failed.get(name, "")
        yield name, outcome


def _reason(name: str, shard: Shard, description: Description, skip_unreadable: bool) -> str:
    """Why a cell failed, the earliest reason, or nothing."""
    failure = shard.failed.get(name)
    if description.reason:
        return description.reason
    if failure is not None and (shard.refused is None or failure.batch < shard.refused):
        return failure.reason
    if shard.unreadable and (not skip_unreadable or len(shard.reference) == 0):
        faults = shard.unreadable
        named = "; ".join(faults[:_NAMED]) + ("; ..." if len(faults) > _NAMED else "")
        return f"{len(faults)} images cannot be read: {named} (`unreadable: skip` leaves them out)"
    return ""


def _complete(outcome: Outcome, measured: Records, baseline: Scored, truths: Sequence[Any], task: Task) -> None:
    scored = task.score(joined([measured], task.ragged), truths)
    records = scored.records
    outcome.records = records | {f"baseline_{name}": baseline.records[name] for name in task.paired}
    outcome.columns["images"] = len(records["bytes"])
    outcome.columns |= rate.summary(records, float(records["pixels"].mean()), float(records["elements"].mean()))
    outcome.columns |= task.summary(scored, baseline)

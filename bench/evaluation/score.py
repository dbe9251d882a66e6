"""From records to results: every cell's columns, completed by what depends on all images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from splitbench.bench.evaluation import tasks
from splitbench.bench.evaluation.costs import Description
from splitbench.bench.evaluation.failures import isolated
from splitbench.bench.evaluation.shards import Shard
from splitbench.bench.evaluation.tasks import EvaluationTask, Scored
from splitbench.bench.metrics import rate
from splitbench.bench.metrics.records import Records, joined
from splitbench.bench.sweep.cells import Cell
from splitbench.bench.utils.failure import Failure
from splitbench.datasets.base import Dataset

_MESSAGES = 3


@dataclass
class CellResult:
    """The result of a cell: its columns and per-image records, or the reason why it failed.

    ``stored`` is what the ledger says is stored, see :func:`splitbench.bench.metrics.ledger.stored`.
    """

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
    *,
    skip_unreadable: bool = False,
) -> Iterator[tuple[str, CellResult]]:
    """Yield the key and outcome of each cell.

    Args:
        cells: The cells by key.
        shard: The records of all batches.
        descriptions: What :func:`splitbench.bench.evaluation.describe` gave for these cells.
        dataset: The evaluation images.
        skip_unreadable: Whether images that cannot be read are left out, instead of failing the pass.

    Raises:
        ValueError: The shard is not about all batches, or lacks one of the cells or images.
    """
    if (shard.first, shard.last) != (0, shard.total) or not shard.keys >= cells.keys():
        raise ValueError(f"batches {shard.first} to {shard.last} of {shard.total} are not a whole pass of these cells")
    reasons = {key: _reason(key, shard, descriptions[key], skip_unreadable) for key in cells}
    if not all(reasons.values()):
        if len(shard.reference["image"]) + len(shard.unreadable) != len(dataset):
            raise ValueError(f"{len(shard.reference['image'])} of {len(dataset)} images were measured: run again")
        task = tasks.get(dataset.task)
        targets = [task.target(dataset, int(index)) for index in sorted(shard.reference["image"])]
        baseline = task.score(joined([shard.reference], task.ragged), targets)
    for key, cell in cells.items():
        description = descriptions[key]
        outcome = CellResult(cell, dict(description.columns), {}, dict(description.stored), reasons[key])
        if not outcome.reason:
            failures: dict[str, Failure] = {}
            with isolated(failures, {key: cell}, torch.device("cpu")):
                _complete(outcome, shard.cells[key], baseline, targets=targets, task=task)
                outcome.columns |= {
                    "images_unreadable": len(shard.unreadable),
                    "batch": shard.batch,
                    "seconds": shard.seconds + description.seconds,
                    "fixed_seconds": description.seconds,
                }
            outcome.reason = failures[key].reason if failures else ""
        yield key, outcome


def _reason(key: str, shard: Shard, description: Description, skip_unreadable: bool) -> str:
    """Return the earliest reason why a cell failed, or an empty text."""
    failure = shard.failed.get(key)
    if description.reason:
        return description.reason
    if failure is not None and (shard.refused is None or failure.batch < shard.refused):
        return failure.reason
    if shard.unreadable and (not skip_unreadable or len(shard.reference) == 0):
        messages = shard.unreadable
        shortened = "; ".join(messages[:_MESSAGES]) + ("; ..." if len(messages) > _MESSAGES else "")
        return f"{len(messages)} images cannot be read: {shortened} (`unreadable: skip` leaves them out)"
    return ""


def _complete(
    outcome: CellResult, measured: Records, baseline: Scored, *, targets: Sequence[Any], task: EvaluationTask
) -> None:
    scored = task.score(joined([measured], task.ragged), targets)
    records = scored.records
    outcome.records = records | {f"baseline_{name}": baseline.records[name] for name in task.paired}
    outcome.columns["images"] = len(records["bytes"])
    outcome.columns |= rate.summary(records, float(records["pixels"].mean()), float(records["elements"].mean()))
    outcome.columns |= task.summary(scored, baseline)

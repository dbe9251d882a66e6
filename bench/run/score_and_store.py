"""Scores a pass's cells, and stores each as soon as it is known."""

from collections.abc import Collection, Mapping
from typing import Any

import torch

from splitbench.bench.evaluation import Outcome, ShardError, score, tasks
from splitbench.bench.results.store import Store
from splitbench.bench.run.partial_results import Unfinished
from splitbench.bench.run.plan import Pass, Planned
from splitbench.bench.training.methods.trainings import Trainings
from splitbench.bench.utils import progress, provenance
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.failure import Failure

_TRAINING = ("train_macs", "train_images", "train_seconds")
_SOON = 5.0  # seconds that pass before progress is worth a bar


def store_cells(
    one: Pass,
    cells: Collection[Planned],
    unfinished: Unfinished,
    store: Store,
    trainings: Trainings,
    device: torch.device,
    broken: str = "",
    quiet: bool = False,
) -> float | None:
    """Score these cells of a pass from its shards, and store them; all fail where the pass is ``broken``.

    ``device`` is told of where nothing was measured. With ``quiet``, no progress is shown.

    Returns:
        The uncompressed backbone's accuracy, in percent; None where no cell could be scored.

    Raises:
        UserError: a result cannot be written.
    """
    left = {planned.key: planned for planned in cells}
    there: Mapping[str, Any] = {}
    baseline: float | None = None

    def put(planned: Planned, outcome: Outcome) -> None:
        report = {} if planned.training is None else trainings.report(planned.training.key)
        columns = outcome.columns | {name: report.get(name) for name in _TRAINING}
        columns |= there or provenance.columns(device)
        _put(planned, outcome, columns, one, store)

    try:
        told = unfinished.descriptions()
        if broken or told is None:
            raise ShardError(broken or "the description of its cells is missing: run again")
        descriptions, there = told
        shard = unfinished.of_cells(left).whole()
        named = {key: planned.cell for key, planned in left.items()}
        outcomes = score(named, shard, descriptions, one.dataset, one.skip_unreadable)
        shown = {"total": len(named), "leave": False, "delay": _SOON, "disable": quiet}
        for key, outcome in progress.track(outcomes, "scoring", unit="cells", **shown):
            put(left.pop(key), outcome)
            baseline = outcome.columns.get("baseline", baseline)
    except UserError:
        raise
    except Exception as error:  # whatever breaks a whole pass must not take the other passes with it
        reason = str(error) if isinstance(error, ShardError) else Failure.from_error(error, one.title).reason
        for planned in left.values():
            put(planned, Outcome(planned.cell, reason=reason))
    return baseline


def doubt(one: Pass, baseline: float | None) -> str:
    """What is to be said where the uncompressed backbone tells next to nothing."""
    return "" if baseline is None else tasks.get(one.dataset.task).doubt(baseline, one.dataset)


def _put(planned: Planned, outcome: Outcome, columns: Mapping[str, Any], one: Pass, store: Store) -> None:
    cell = planned.cell
    row = {
        "task": one.dataset.task,
        "fingerprint": one.fingerprint,
        "weights": one.weights,
        "split": cell.split,
        "method": cell.method,
        "variant": cell.variant,
        "knob": cell.knob,
        "value": cell.value,
        "seed": cell.seed,
        "status": "failed" if outcome.reason else "ok",
        "reason": outcome.reason,
        "precision": planned.ingredients["precision"],
        **columns,
        "date": provenance.now(),
    }
    store.put(planned.key, planned.ingredients, row, outcome.stored, outcome.records)

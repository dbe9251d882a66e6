"""Scores a pass's cells, and stores each one as soon as it is known."""

from collections.abc import Collection, Mapping
from typing import Any

from splitbench.bench.evaluation import CellResult, ShardError, score
from splitbench.bench.results import provenance
from splitbench.bench.results.store import Store
from splitbench.bench.results.warnings_text import join_warnings
from splitbench.bench.run.planning import warn
from splitbench.bench.run.planning.plan import Pass, PassSpec, PlannedCell
from splitbench.bench.utils import progress
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.progress import Show

_TRAINING_COLUMNS = ("train_macs", "train_images", "train_seconds")


def score_and_store(
    cells: Collection[PlannedCell],
    spec: PassSpec,
    pass_: Pass,
    *,
    failure: Failure | None = None,
    show: Show = progress.silent,
) -> None:
    """Score cells from their pass's shards, and store them.

    Args:
        cells: The cells.
        spec: Their pass.
        pass_: The same, opened.
        failure: Why the pass could not be measured: all cells fail for this reason.
        show: Shows the loop over the cells.

    Raises:
        UserError: A result cannot be written.
    """
    left = {planned.key: planned for planned in cells}
    measured_on: Mapping[str, Any] = {}

    try:
        stored = spec.partial.descriptions()
        if failure is not None or stored is None:
            raise ShardError(failure.reason if failure else "the description of its cells is missing: run again")
        descriptions, measured_on = stored
        shard = spec.partial.of_cells(left).whole()
        named = {key: planned.cell for key, planned in left.items()}
        outcomes = score(named, shard, descriptions, pass_.dataset, skip_unreadable=pass_.skip_unreadable)
        for key, outcome in progress.track(outcomes, "", "cells", total=len(named), show=show, worth=len(named)):
            _put(left.pop(key), outcome, measured_on, spec, pass_)
    except UserError:
        raise
    except Exception as error:  # whatever breaks a whole pass must not take the other passes with it
        failure = Failure(str(error)) if isinstance(error, ShardError) else Failure.from_error(error, pass_.title)
        for planned in left.values():
            _put(planned, CellResult(planned.cell, reason=failure.reason), measured_on, spec, pass_)


def _put(
    planned: PlannedCell, outcome: CellResult, measured_on: Mapping[str, Any], spec: PassSpec, pass_: Pass
) -> None:
    cell = planned.cell
    report = {} if planned.training is None else spec.run.trainings.report(planned.training.key)
    row = {
        "task": pass_.dataset.task,
        "fingerprint": spec.fingerprint,
        "weights": spec.weights,
        "split": cell.split,
        "method": cell.method,
        "variant": cell.variant,
        "knob": cell.knob,
        "value": cell.value,
        "seed": cell.seed,
        "status": "failed" if outcome.reason else "ok",
        "reason": outcome.reason,
        "warnings": join_warnings(warn.of_result(outcome.columns, pass_.dataset)),
        "precision": planned.ingredients["precision"],
        **outcome.columns,
        "training": planned.training.key if planned.training else "",
        **{name: report.get(name) for name in _TRAINING_COLUMNS},
        **(measured_on or provenance.columns(spec.device)),
        "date": provenance.now(),
    }
    Store(spec.run.folder).put(planned.key, planned.ingredients, row, stored=outcome.stored, records=outcome.records)

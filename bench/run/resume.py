"""What a run still has to do: cells that are not stored, and trainings that they lack."""

from collections.abc import Sequence
from typing import Literal

from splitbench.bench.results.store import Store
from splitbench.bench.run.planning.plan import Pass, PlannedCell
from splitbench.bench.training.methods import Training, Trainings

Overwrite = Literal["never", "failed", "all"]
"""What to do with cells that are stored: keep all, run failed ones again, or run all again."""


def missing_cells(
    passes: Sequence[Pass], store: Store, overwrite: Overwrite, retrained: set[str]
) -> list[tuple[PlannedCell, ...]]:
    """Return the cells of each pass that are to be run; one that several labels stand for is run in the first pass.

    Args:
        passes: All passes of the sweep.
        store: What is stored.
        overwrite: Which stored cells are run again.
        retrained: The keys of cells to run again because their training is repeated.
    """

    def is_missing(planned: PlannedCell) -> bool:
        status = store.status(planned.key)
        again = overwrite == "all" or (overwrite == "failed" and status == "failed")
        return again or status is None or planned.key in retrained

    claimed: set[str] = set()
    missing = []
    for pass_ in passes:
        missing.append(tuple(p for p in pass_.cells if p.key not in claimed and is_missing(p)))
        claimed |= {p.key for p in pass_.cells}
    return missing


def cells_to_retrain(passes: Sequence[Pass], trainings: Trainings, retrain: bool) -> set[str]:
    """Return, with ``retrain``, the keys of cells whose training is not in the run's folder yet."""
    if not retrain:
        return set()
    cells = [planned for pass_ in passes for planned in pass_.cells]
    return {p.key for p in cells if p.training is not None and not trainings.has(p.training.key)}


def needed_trainings(pass_: Pass, cells: Sequence[PlannedCell], trainings: Trainings) -> tuple[Training, ...]:
    """Return the trainings of cells, finished or not, and those that unfinished ones begin with, in the pass's order.

    A cell that is stored already may be the one whose training another begins with.
    """
    in_pass = pass_.trainings
    needed: set[str] = set()
    for planned in cells:
        key = None if planned.training is None else planned.training.key
        while key is not None and key not in needed:
            needed.add(key)
            key = None if trainings.has(key) else in_pass[key].neighbour
    return tuple(training for key, training in in_pass.items() if key in needed)

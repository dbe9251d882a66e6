"""Runs a sweep: plan it, skip what is done, run the tasks of the rest, store cell by cell, collect the table."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from splitbench.bench.results import provenance
from splitbench.bench.results.store import Store
from splitbench.bench.results.warnings_text import join_warnings
from splitbench.bench.run.execute import PassRun, execute, write_curve
from splitbench.bench.run.executors import Executor, Here
from splitbench.bench.run.loggers import Loggers
from splitbench.bench.run.partial_results import PartialResults, clean_up, discard
from splitbench.bench.run.planning import warn
from splitbench.bench.run.planning.plan import Pass, PassSpec, PlannedCell, RunSpec, plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.run.planning.work import PassWork, stored_pieces, work_of
from splitbench.bench.run.resume import Overwrite, cells_to_retrain, missing_cells, needed_trainings
from splitbench.bench.sweep.reading import as_yaml
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training.methods import bundled
from splitbench.bench.utils import log
from splitbench.bench.utils.progress import Piece, RunProgress, Show
from splitbench.bench.utils.text import format_count
from splitbench.datasets.storage.stored_images import order_digest

Say = Callable[[str], None]

CONCLUSION = "conclusion"
"""The key of a run's last piece of work."""
_CONCLUDING = 5.0, 0.1
"""Seconds that it takes, and more for each cell: a guess."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a sweep is run: none of it changes a row.

    Attributes:
        overwrite: What to do with cells that are stored.
        keep_other_rows: Whether rows of other backbones and methods stay in the table: the sweep is a part of the one
            that the folder is for.
        retrain: Whether to train here what is bundled with the project, too.
        executor: What runs the tasks.
        time_limit: Seconds that one step of a cell may take (preparing it, or one batch); 0 sets no limit.
        loggers: What trainings and results are logged with, too.
        shard_seconds: Seconds after which measured batches are stored: as much work as a killed run loses.
        concluded: Whether the caller makes a comparison, figures and a report afterwards, which is a part of the
            progress then: the piece :data:`CONCLUSION`.
    """

    overwrite: Overwrite = "failed"
    keep_other_rows: bool = False
    retrain: bool = False
    executor: Executor = field(default_factory=Here)
    loggers: Loggers = field(default_factory=Loggers)
    time_limit: float = 0.0
    shard_seconds: float = 5.0
    concluded: bool = False


@dataclass(frozen=True)
class Result:
    """The outcome of a run: counts of cells, and the failed ones by name and reason."""

    done: int
    kept: int
    failed: tuple[tuple[str, str], ...]


def run(
    sweep: Sweep,
    sources: Sources,
    store: Store,
    options: RunOptions | None = None,
    say: Say = lambda message: None,
    progress: RunProgress | None = None,
) -> Result:
    """Run all cells of a sweep that are not stored yet.

    Everything that the user could have got wrong is checked before the first image is evaluated. Measurements are
    stored every few seconds, and cells as they are scored, so that an interrupted run goes on where it stopped.

    Args:
        sweep: What to run.
        sources: Where data and weights are.
        store: Where the results go.
        options: How to run it.
        say: Called with each message for the user.
        progress: It learns how far the run is.

    Raises:
        UserError, DataError: The input is wrong; nothing that was stored is lost.
    """
    options, progress = options or RunOptions(), progress or RunProgress()
    store.open()
    with store.held() as token, log.log_to(store.folder):
        started = time.perf_counter()
        passes, works = _plan(sweep, sources, options.executor, say, progress.stages.show)
        if _is_of_earlier_version(passes, store):
            say(
                f"none of the results in {store.folder} is of this sweep as it is named now: if an earlier version "
                f"made them, stop and run `splitbench migrate {store.folder}` first, so that none is computed again"
            )
        _store_plan(passes, store, options.keep_other_rows)
        store.put_sweep(as_yaml(sweep))
        if earlier := store.left_out():
            say(
                f"{format_count(earlier, 'stored cell')} of earlier sweeps {'is' if earlier == 1 else 'are'} not in "
                "this one, nor in the table: "
                f"`splitbench collect --all {store.folder}` makes one of all"
            )
        run_spec = RunSpec(
            folder=store.folder,
            token=token,
            sources=sources,
            batch=sweep.batch,
            retrain=options.retrain,
            threads=torch.get_num_threads(),
            time_limit=options.time_limit,
            shard_seconds=options.shard_seconds,
        )
        retrained = cells_to_retrain(passes, run_spec.trainings, options.retrain)
        missing = missing_cells(passes, store, options.overwrite, retrained)
        missing_keys = {cell.key for cells in missing for cell in cells}
        kept = len({cell.key for pass_ in passes for cell in pass_.cells} - missing_keys)
        if kept:
            say(f"{format_count(kept, 'cell')} {'is' if kept == 1 else 'are'} stored already")
        for pass_, cells in zip(passes, missing, strict=True):
            if not cells:  # of the others it is said when they have ended
                warn.say_stored(pass_.title, [cell.key for cell in pass_.cells], store, say)
        to_train = _backbones_to_train(passes, missing, run_spec)
        if not options.retrain and (note := bundled.missing_note(to_train)):
            say(note)
        discard(store.folder, missing_keys if options.overwrite == "all" else missing_keys & retrained)
        planning_ended = time.perf_counter()
        try:
            _add_stored(passes, missing, works, run_spec, progress)
            if options.concluded:
                seconds, more = _CONCLUDING
                progress.add({CONCLUSION: Piece("concluding", seconds + more * progress.cells)})
            runs = _pass_runs(passes, missing, works, run_spec)
            done = execute(runs, options.executor, store, loggers=options.loggers, say=say, progress=progress)
        finally:
            options.executor.close()
            store.collect()
        _write_shared_curves(passes, missing, run_spec, say)
        table_keys = store.table_keys()
        clean_up(store.folder, lambda key: key not in table_keys or store.status(key) == "ok")
        store.put_run(
            {
                "workers": options.executor.workers,
                "executor": type(options.executor).__name__,
                "done": done,
                "kept": kept,
                "opening": planning_ended - started,
                "seconds": time.perf_counter() - started,
                "date": provenance.now(),
            }
        )
        return Result(done, kept, _failed_cells(passes, store))


def _backbones_to_train(
    passes: Sequence[Pass], missing: Sequence[Sequence[PlannedCell]], run_spec: RunSpec
) -> set[str]:
    """Return the names of the backbones that something is trained for."""
    trainings = run_spec.trainings
    return {
        training.cell.backbone.name
        for pass_, cells in zip(passes, missing, strict=True)
        for training in needed_trainings(pass_, cells, trainings)
        if not trainings.has(training.key)
    }


def _plan(
    sweep: Sweep, sources: Sources, executor: Executor, say: Say, show: Show
) -> tuple[list[Pass], list[PassWork]]:
    """Open and check all passes, and estimate the work of each."""
    if not executor.in_process:  # the devices are the workers'
        sources = replace(sources, device=torch.device("cpu"))
    sources = replace(sources, show=show)
    passes, works = [], []
    for pass_ in plan_passes(sweep, sources):
        works.append(work_of(pass_, sources.device))
        passes.append(replace(pass_, splits={}, example=None))  # they hold the backbone
        images, cells = format_count(len(pass_.dataset), "image"), format_count(len(pass_.cells), "cell")
        say(f"checked {pass_.title}: {images}, {cells}")
        warn.say_all(pass_.title, pass_.warnings, say)
    return passes, works


def _is_of_earlier_version(passes: Sequence[Pass], store: Store) -> bool:
    """Return whether the folder's table is of a sweep none of whose cells is one of these."""
    keys = {cell.key for pass_ in passes for cell in pass_.cells}
    return bool(store.table_keys()) and not store.table_keys() & keys


def _store_plan(passes: Sequence[Pass], store: Store, keep_other_rows: bool) -> None:
    """Store which cells the table is of, by which labels, and the names of the images."""
    rows = [
        {
            "key": planned_cell.key,
            "dataset": planned_cell.cell.dataset_label,
            "backbone": planned_cell.cell.backbone_label,
            "method": planned_cell.cell.method,
            "warnings": join_warnings(pass_.warnings),
        }
        for pass_ in passes
        for planned_cell in pass_.cells
    ]
    store.put_plan(rows, keep_others=keep_other_rows)
    for pass_ in passes:
        store.put_images(pass_.fingerprint, pass_.dataset.ids)


def _add_stored(
    passes: Sequence[Pass],
    missing: Sequence[tuple[PlannedCell, ...]],
    works: Sequence[PassWork],
    run_spec: RunSpec,
    progress: RunProgress,
) -> None:
    """Let the progress know of what is stored, and how many cells there are."""
    trained_here = replace(run_spec.trainings, bundled=False)
    for pass_, cells, work in zip(passes, missing, works, strict=True):
        progress.add(
            stored_pieces(pass_, cells, work, trained_here),
            cells=len(pass_.cells),
            stored=len(pass_.cells) - len(cells),
        )


def _pass_runs(
    passes: Sequence[Pass],
    missing: Sequence[tuple[PlannedCell, ...]],
    works: Sequence[PassWork],
    run_spec: RunSpec,
) -> list[PassRun]:
    """Return what is to be done of each pass, leaving out those that are done."""
    runs: list[PassRun] = []
    for pass_, cells, work in zip(passes, missing, works, strict=True):
        if cells:
            keys = [cell.key for cell in cells]
            in_use = {run.spec.partial.folder for run in runs}
            spec = PassSpec(
                run=run_spec,
                dataset=pass_.dataset_spec,
                backbone=pass_.backbone_spec,
                fingerprint=pass_.fingerprint,
                weights=pass_.weights,
                category_names=pass_.category_names,
                cells=cells,
                trainings=needed_trainings(pass_, cells, run_spec.trainings),
                partial=PartialResults.find_or_create(
                    run_spec.folder, keys, run_spec.batch, in_use, order=order_digest(pass_.dataset)
                ),
            )
            runs.append(PassRun(spec, pass_, work))
    return runs


def _write_shared_curves(
    passes: Sequence[Pass], missing: Sequence[tuple[PlannedCell, ...]], run_spec: RunSpec, say: Say
) -> None:
    """Write the learning curves of cells that were run in an earlier pass, under another label."""
    run = {cell.key for cells in missing for cell in cells}
    for pass_, cells in zip(passes, missing, strict=True):
        for cell in pass_.cells:
            if cell.key in run and cell not in cells:
                write_curve(cell, pass_, run_spec, say)


def _failed_cells(passes: Sequence[Pass], store: Store) -> tuple[tuple[str, str], ...]:
    stored = [(planned_cell.cell, store.cell(planned_cell.key)) for pass_ in passes for planned_cell in pass_.cells]
    return tuple(
        (str(cell), str(content["columns"]["reason"]))
        for cell, content in stored
        if content is not None and content["columns"]["status"] == "failed"
    )

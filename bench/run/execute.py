"""Runs the tasks of all passes, shows progress, and finishes each pass when its last task has ended."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from splitbench.bench.results.store import Store
from splitbench.bench.run.executors import Executor
from splitbench.bench.run.loggers import Loggers
from splitbench.bench.run.partition import partition
from splitbench.bench.run.planning import warn
from splitbench.bench.run.planning.plan import Pass, PassSpec, PlannedCell, RunSpec
from splitbench.bench.run.planning.work import PassWork
from splitbench.bench.run.scheduler import Ended, run_tasks
from splitbench.bench.run.score_and_store import score_and_store
from splitbench.bench.run.tasks import DescribeTask, MeasureTask, RunTask, ScoreTask, TrainTask
from splitbench.bench.run.worker import Display, Worker
from splitbench.bench.training import TrainingError
from splitbench.bench.training.methods.trainings import write_learning_curve
from splitbench.bench.utils.progress import Piece, RunProgress
from splitbench.bench.utils.progress.relay import inbox


@dataclass
class PassRun:
    """A pass whose tasks are running.

    Attributes:
        spec: What is to be done.
        pass_: The same, opened.
        work: How long it should take.
        tasks_left: How many of its tasks have not ended.
        measured: Whether all of it could be measured so far.
        done: How many cells are stored.
    """

    spec: PassSpec
    pass_: Pass
    work: PassWork
    tasks_left: int = 0
    measured: bool = True
    done: int = 0


def execute(
    runs: Sequence[PassRun],
    executor: Executor,
    store: Store,
    *,
    loggers: Loggers,
    say: Callable[[str], None],
    progress: RunProgress,
) -> int:
    """Run all tasks of these passes, and return how many cells were run.

    Trainings in this process are logged epoch by epoch, others when they have ended.

    Args:
        runs: The passes.
        executor: Where tasks run.
        store: Where results are.
        loggers: What trainings and results are logged with, too.
        say: Called with each message.
        progress: It learns of all pieces of work, and how far they are.

    Raises:
        UserError: A task raised it, or a result cannot be written.
    """
    display = Display(
        message=say,
        stages=progress.stages,
        on_epoch=lambda cell, measures: loggers.log_epoch(str(cell), measures),
    )
    executor.start(Worker(display, {run.spec.partial.folder: run.pass_ for run in runs}))
    specs, passes = [run.spec for run in runs], [run.pass_ for run in runs]
    partitioned = partition(specs, passes, executor.workers, executor.in_process)
    for run, tasks in zip(runs, partitioned, strict=True):
        run.tasks_left = len(tasks)
        progress.add(_pieces(run, tasks))
    believed = executor.in_process and all(spec.device.type == "cpu" for spec in specs)
    progress.begin(workers=executor.workers, believed=believed)
    with ExitStack() as reports:
        look = (
            (lambda: None)
            if executor.in_process or not specs
            else reports.enter_context(inbox(specs[0].run.reports, progress)).look
        )
        for ended in run_tasks([task for tasks in partitioned for task in tasks], executor, look):
            run = runs[ended.task.pass_number]
            _note(ended, run, store, loggers, say)
            cells = len(ended.task.keys) if isinstance(ended.task, ScoreTask) else 0
            progress.end(*_keys(ended.task, run), cells=cells)
    return sum(run.done for run in runs)


def _pieces(run: PassRun, tasks: Sequence[RunTask]) -> dict[str, Piece]:
    """Return a pass's pieces of work: those of its tasks, and what was measured of it before."""
    pieces = {key: piece for task in tasks for key, piece in task.pieces(run.work).items()}
    measured = len(run.pass_.dataset) - sum(task.images for task in tasks if isinstance(task, MeasureTask))
    pieces[f"measured {run.spec.name}"] = Piece.stored("measuring", run.work.measuring(run.spec.cells, measured))
    return pieces


def _keys(task: RunTask, run: PassRun) -> list[str]:
    """Return the keys of a task's pieces of work, those of trainings that have been finished included."""
    return [*task.pieces(run.work), *(task.keys if isinstance(task, TrainTask) else ())]


def _note(ended: Ended, run: PassRun, store: Store, loggers: Loggers, say: Callable[[str], None]) -> None:
    """Take note of a task that has ended."""
    match ended.task:
        case TrainTask(keys=keys):
            for training in run.spec.trainings:
                if training.key in keys:
                    report = run.spec.run.trainings.report(training.key)
                    loggers.log_epochs(str(training.cell), report.get("history", []))
        case DescribeTask() | MeasureTask():
            run.measured = run.measured and ended.failure is None
        case ScoreTask(keys=keys):
            if ended.failure is not None:  # its worker is gone, and so are those that tried again
                lost = [cell for cell in run.spec.cells if cell.key in keys and store.status(cell.key) != "ok"]
                score_and_store(lost, run.spec, run.pass_, failure=ended.failure)
            run.done += len(keys)
            for cell in run.spec.cells:
                if cell.key in keys:
                    write_curve(cell, run.pass_, run.spec.run, say)
                    if stored := store.cell(cell.key):
                        labels = {"dataset": cell.cell.dataset_label, "backbone": cell.cell.backbone_label}
                        loggers.log_row(labels | stored["columns"])
    run.tasks_left -= 1
    if run.tasks_left == 0:
        _finish(run, store, say)


def _finish(run: PassRun, store: Store, say: Callable[[str], None]) -> None:
    warn.say_stored(run.pass_.title, [cell.key for cell in run.pass_.cells], store, say)
    if run.measured:  # otherwise what was measured serves the next run
        table_keys = store.table_keys()
        run.spec.partial.end(lambda key: key not in table_keys or store.status(key) is not None)


def write_curve(planned: PlannedCell, pass_: Pass, run_spec: RunSpec, say: Callable[[str], None]) -> None:
    """Write the learning curve of a cell that something was trained for."""
    if planned.training is not None:
        seeds = len({other.cell.seed for other in pass_.cells})
        key = planned.training.key
        values = {other.cell.value for other in pass_.cells if other.training and other.training.key == key}
        report = run_spec.trainings.report(key)
        try:
            write_learning_curve(run_spec.folder, planned.cell, report, seeds=seeds, shared=len(values) > 1)
        except TrainingError as error:  # the cell is stored, and its curve is in the training's report, too
            say(str(error))

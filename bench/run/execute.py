"""Runs the tasks of all passes, shows progress, and finishes each pass when its last task has ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from splitbench.bench.results.store import Store
from splitbench.bench.run.executors import Executor
from splitbench.bench.run.loggers import Loggers
from splitbench.bench.run.partition import partition
from splitbench.bench.run.planning import warn
from splitbench.bench.run.planning.plan import Pass, PassSpec, PlannedCell, RunSpec
from splitbench.bench.run.scheduler import Ended, run_tasks
from splitbench.bench.run.score_and_store import score_and_store
from splitbench.bench.run.tasks import DescribeTask, MeasureTask, ScoreTask, TrainTask
from splitbench.bench.run.worker import Display, Worker
from splitbench.bench.training import TrainingError
from splitbench.bench.training.methods.trainings import write_learning_curve
from splitbench.bench.utils import progress


@dataclass
class PassRun:
    """A pass whose tasks are running.

    Attributes:
        spec: What is to be done.
        pass_: The same, opened.
        tasks_left: How many of its tasks have not ended.
        measured: Whether all of it could be measured so far.
        done: How many cells are stored.
    """

    spec: PassSpec
    pass_: Pass
    tasks_left: int = 0
    measured: bool = True
    done: int = 0


def execute(
    runs: Sequence[PassRun], executor: Executor, store: Store, *, loggers: Loggers, say: Callable[[str], None]
) -> int:
    """Run all tasks of these passes, and return how many cells were run; ``say`` is called with each message.

    Trainings in this process are logged epoch by epoch, others when they have ended.

    Raises:
        UserError: A task raised it, or a result cannot be written.
    """
    pairs = sum(len(run.pass_.dataset) * len(run.spec.cells) for run in runs)
    if pairs == 0:
        return 0
    with progress.bar(total=pairs, unit="image x cell", unit_scale=True, dynamic_ncols=True) as bar:
        write = _beside(bar, say)
        display = Display(
            message=write,
            advance=lambda pairs: _advance(bar, pairs),
            bars=True,
            on_epoch=lambda cell, measures: loggers.log_epoch(str(cell), measures),
        )
        executor.start(Worker(display, {run.spec.partial.folder: run.pass_ for run in runs}))
        specs, passes = [run.spec for run in runs], [run.pass_ for run in runs]
        partitioned = partition(specs, passes, executor.workers, executor.in_process)
        for run, tasks in zip(runs, partitioned, strict=True):
            run.tasks_left = len(tasks)
        tasks = [task for tasks in partitioned for task in tasks]
        progress.skip(bar, pairs - sum(task.pairs for task in tasks))
        trainings = 0 if executor.in_process else sum(len(task.keys) for task in tasks if isinstance(task, TrainTask))
        with progress.bar(
            trainings, "trainings", unit="training", disable=not trainings, dynamic_ncols=True
        ) as trained:
            for ended in run_tasks(tasks, executor):
                run = runs[ended.task.pass_number]
                _note(ended, run, store, loggers, write)
                trained.update(len(ended.task.keys) if isinstance(ended.task, TrainTask) else 0)
                bar.set_description(run.pass_.title)
                if not executor.in_process:  # in this process the bar has followed every batch
                    bar.update(ended.task.pairs)
    return sum(run.done for run in runs)


def _beside(bar: "tqdm[Any]", say: Callable[[str], None]) -> Callable[[str], None]:
    """Return ``say`` for messages while the bar is drawn, which is moved out of their way."""

    def write(message: str) -> None:
        with bar.external_write_mode():
            say(message)

    return write


def _advance(bar: "tqdm[Any]", pairs: int) -> None:
    bar.update(pairs)


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

"""A process that runs tasks: it keeps the pass of the last task open, since the next one is usually of the same."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from splitbench.bench.evaluation import EvaluationInputs, Prepared, prepare
from splitbench.bench.run.planning.plan import Pass, PassSpec, reopen
from splitbench.bench.split import SplitModel
from splitbench.bench.sweep.cells import Cell
from splitbench.bench.training.methods import MethodTrainer
from splitbench.bench.utils import devices, log
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.progress import Stages
from splitbench.bench.utils.progress.relay import Outbox
from splitbench.methods.base import Learned, nothing_learned


@dataclass(frozen=True, kw_only=True)
class Display:
    """Where a worker's messages and its progress go. By default, it logs messages and shows no progress.

    Attributes:
        message: Called with each message.
        stages: What it works on, and how far that is.
        on_epoch: Called with a training's cell and the row of its learning curve, after each epoch.
    """

    message: Callable[[str], None] = log.LOG.info
    stages: Stages = field(default_factory=Stages)
    on_epoch: Callable[[Cell, Mapping[str, float]], None] = lambda cell, measures: None


@dataclass
class OpenedPass:
    """A pass, opened in this process, with what its tasks share.

    Attributes:
        spec: What is to be done.
        pass_: Data and backbone.
        display: Displays progress.
        failed_trainings: Trainings that failed, here or elsewhere, by key.
    """

    spec: PassSpec
    pass_: Pass
    display: Display
    failed_trainings: dict[str, Failure] = field(default_factory=dict)

    @cached_property
    def trainer(self) -> MethodTrainer:
        """What trains the pass's methods."""
        return MethodTrainer(
            inputs=self.pass_.training_inputs(),
            trainings=self.spec.run.trainings,
            device=self.spec.device,
            memory=self.spec.run.sources.memory,
            stages=self.display.stages,
            log=self.display.message,
            on_epoch=lambda training, measures: self.display.on_epoch(training.cell, measures),
            failed=self.failed_trainings,
        )

    @cached_property
    def prepared(self) -> Prepared:
        """The cells, ready to be measured; every training that they need has ended."""
        cells, sources = self.spec.cells, self.spec.run.sources
        self.trainer.close()
        inputs = EvaluationInputs(
            backbone=self.trainer.inputs.backbone,
            dataset=self.pass_.dataset,
            calibration=self.pass_.calibration,
            learned=self._learned,
            skip_unreadable=self.pass_.skip_unreadable,
            batch=self.spec.run.batch,
            device=self.spec.device,
            naive=sources.naive,
            precision=cells[0].ingredients["precision"],
        )
        stages = self.display.stages
        with stages.piece(f"prepare {self.spec.name}", f"preparing {self.spec.title}", len(cells)):
            return prepare({planned.key: planned.cell for planned in cells}, inputs, stages.show)

    def _learned(self, key: str, split: SplitModel) -> Learned:
        """Return what was trained for a cell. Raises MethodError if nothing was, UserError if its file is wrong."""
        training = next((planned.training for planned in self.spec.cells if planned.key == key), None)
        return nothing_learned() if training is None else self.trainer.learned(training, split)


class Worker:
    """Opens passes for tasks, one at a time.

    Args:
        display: Where messages and progress go; by default, into the log and to the process that runs the sweep.
        opened: Passes that this process has opened already, by the folder of their partial results.
    """

    def __init__(self, display: Display | None = None, opened: Mapping[Path, Pass] | None = None) -> None:
        self._display = display
        self._opened = opened or {}
        self._current: OpenedPass | None = None
        self._log = ExitStack()

    def open(self, spec: PassSpec) -> OpenedPass:
        """Return the pass of a task; it stays open until another one is asked for. Raises UserError, DataError."""
        current = self._current
        if current is None or (current.spec.run.token, current.spec.partial) != (spec.run.token, spec.partial):
            current = None  # else it would be alive while its memory is freed
            self.close()
            pass_ = self._opened.get(spec.partial.folder) or self._arrive(spec)
            display = self._display or Display(stages=Stages(Outbox(spec.run.reports)))
            self._current = current = OpenedPass(spec, pass_, display)
        return current

    def close(self) -> None:
        """Forget the pass that is open, and free its memory."""
        if self._current is not None:
            device = self._current.spec.device
            self._current = None
            devices.free_memory(device)

    def _arrive(self, spec: PassSpec) -> Pass:
        """Set this process up for a run that another one started, and open the pass."""
        if not spec.run.token.exists():
            raise UserError(
                f"a worker does not see {spec.run.folder} as the one that runs the sweep does: put the results "
                "(--out) on storage that all machines share"
            )
        self._log.close()
        self._log.enter_context(log.log_to(spec.run.folder))
        torch.set_num_threads(spec.run.threads)
        devices.select(str(spec.device))
        return reopen(spec)

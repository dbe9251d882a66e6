"""Training without evaluating: by one process, or by several that torchrun started."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from splitbench.bench.results.store import Store
from splitbench.bench.run.loggers import Loggers
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.run.planning.work import work_of
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training import distributed
from splitbench.bench.training.methods import MethodTrainer, Trainings
from splitbench.bench.utils import log
from splitbench.bench.utils.progress import Piece, RunProgress


@dataclass
class TrainResult:
    """The outcome of training: how many rate points were trained or there already, and a sentence for each failure."""

    trained: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list)


def train_all(
    sweep: Sweep,
    sources: Sources,
    store: Store,
    *,
    retrain: bool,
    say: Callable[[str], None],
    loggers: Loggers | None = None,
    progress: RunProgress | None = None,
) -> TrainResult:
    """Train whatever a sweep's methods learn and the store lacks.

    Of several processes, only the first one speaks and stores.

    Args:
        sweep: The sweep.
        sources: Where data and weights are.
        store: Where the trained weights go.
        retrain: Whether to train here what is bundled with the project, too.
        say: Called with each message for the user.
        loggers: What trainings are logged with, too.
        progress: It learns how far they are.

    Raises:
        UserError, DataError: The input is wrong.
    """
    result, loggers, progress = TrainResult(), loggers or Loggers(), progress or RunProgress()
    with distributed.process_group(str(sources.device)) as device, ExitStack() as folder:
        quiet = distributed.rank() > 0
        if not quiet:
            store.open()
            folder.enter_context(store.held())
        folder.enter_context(log.log_to(store.folder))
        trainings = Trainings(store.folder / "trainings", bundled=not retrain)
        here = Trainings(store.folder / "trainings", bundled=False)
        passes = []
        for pass_ in plan_passes(sweep, replace(sources, device=device, show=progress.stages.show)):
            passes.append(replace(pass_, splits={}, example=None))
            for key, seconds in work_of(pass_, device).trainings.items():
                if here.has(key) or not trainings.has(key):
                    progress.add(
                        {key: Piece.stored("training", seconds) if here.has(key) else Piece("training", seconds)}
                    )
        progress.begin(workers=1, believed=device.type == "cpu" and distributed.world_size() == 1)
        for pass_ in passes:
            wanted = [*pass_.trainings.values()]
            trainer = MethodTrainer(
                inputs=pass_.training_inputs(),
                trainings=trainings,
                device=device,
                memory=sources.memory,
                stages=progress.stages,
                log=(lambda _: None) if quiet else say,
                on_epoch=lambda training, measures: loggers.log_epoch(str(training.cell), measures),
            )
            before = sum(trainings.has(training.key) for training in wanted)
            result.trained += trainer.run(wanted)
            progress.end(*pass_.trainings)
            result.kept += before
            result.failed += [f"{t.cell}: {trainer.failed[t.key].reason}" for t in wanted if t.key in trainer.failed]
    return result

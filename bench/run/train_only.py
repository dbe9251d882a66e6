"""Training without evaluating: by one process, or by several that torchrun started."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from splitbench.bench.results.store import Store
from splitbench.bench.run.loggers import Loggers
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training import distributed
from splitbench.bench.training.methods import MethodTrainer, Trainings
from splitbench.bench.utils import log


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

    Raises:
        UserError, DataError: The input is wrong.
    """
    result, loggers = TrainResult(), loggers or Loggers()
    with distributed.process_group(str(sources.device)) as device, ExitStack() as folder:
        quiet = distributed.rank() > 0
        if not quiet:
            store.open()
            folder.enter_context(store.held())
        folder.enter_context(log.log_to(store.folder))
        trainings = Trainings(store.folder / "trainings", bundled=not retrain)
        for pass_ in plan_passes(sweep, replace(sources, device=device)):
            wanted = [*pass_.trainings.values()]
            trainer = MethodTrainer(
                inputs=pass_.training_inputs(),
                trainings=trainings,
                device=device,
                memory=sources.memory,
                show_progress=not quiet,
                log=(lambda _: None) if quiet else say,
                on_epoch=lambda training, measures: loggers.log_epoch(str(training.cell), measures),
            )
            before = sum(trainings.has(training.key) for training in wanted)
            result.trained += trainer.run(wanted)
            result.kept += before
            result.failed += [f"{t.cell}: {trainer.failed[t.key].reason}" for t in wanted if t.key in trainer.failed]
    return result

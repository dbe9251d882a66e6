"""Training without evaluating: by one process, or by several that torchrun started."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from splitbench.bench.results.store import Store
from splitbench.bench.run.plan import passes
from splitbench.bench.run.sources import Sources
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training import distributed
from splitbench.bench.training.methods import MethodTrainer, TrainingInputs, Trainings
from splitbench.bench.utils import log


def train_all(
    sweep: Sweep, sources: Sources, store: Store, retrain: bool, say: Callable[[str], None]
) -> tuple[int, int, list[str]]:
    """Train all that a sweep's methods learn and that is not there yet; with ``retrain``, even what ships trained.

    Only the first process speaks and stores.

    Returns:
        How many rate points were trained, how many were there, and a sentence for each that failed.

    Raises:
        UserError, DataError: bad input, told in one sentence.
    """
    trained = kept = 0
    failed: list[str] = []
    with distributed.process_group(str(sources.device)) as device, ExitStack() as folder:
        quiet = distributed.rank() > 0
        if not quiet:
            store.open()
            folder.enter_context(store.held())
        folder.enter_context(log.log_to(store.folder))
        trainings = Trainings(store.folder / "trainings", bundled=not retrain)
        for pass_ in passes(sweep, replace(sources, device=device)):
            wanted = [p.training for p in pass_.planned if p.training is not None]
            trainer = MethodTrainer(
                inputs=TrainingInputs(
                    task=pass_.dataset.task,
                    backbone=pass_.backbone(),
                    untrained=pass_.untrained,
                    images=pass_.train,
                    skip_unreadable=pass_.skip_unreadable,
                ),
                trainings=trainings,
                device=device,
                memory=sources.memory,
                show_progress=not quiet,
                log=(lambda _: None) if quiet else say,
            )
            before = sum(trainings.has(training.key) for training in wanted)
            trained += trainer.run(wanted)
            kept += before
            failed += [f"{t.cell}: {trainer.failed[t.key]}" for t in wanted if t.key in trainer.failed]
    return trained, kept, failed

"""What a run would do, without doing it: ``run --dry-run``."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from splitbench.bench.results.store import Store
from splitbench.bench.run.planning.plan import Pass, plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.run.resume import Overwrite, cells_to_retrain, missing_cells, needed_trainings
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training.methods import Trainings
from splitbench.bench.utils.text import format_count


@dataclass(frozen=True)
class PassPreview:
    """What would be done of a pass.

    Attributes:
        title: Dataset and backbone.
        images: How many images there are.
        stored: How many of its cells are stored, or run with an earlier pass, and would be kept.
        cells: The cells that would be run, by name.
        trainings: The rate points that would be trained first, by name.
    """

    title: str
    images: int
    stored: int
    cells: tuple[str, ...]
    trainings: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """What a run would do, and the folder it would write to."""

    folder: str
    passes: tuple[PassPreview, ...]

    def lines(self) -> Iterator[str]:
        """Yield what would be done, pass by pass, then the totals."""
        for one in self.passes:
            counts = f"{format_count(len(one.cells), 'cell')} to run, {one.stored} stored"
            yield f"{one.title}: {format_count(one.images, 'image')}, {counts}"
            yield from (f"  train  {name}" for name in one.trainings)
            yield from (f"  run    {name}" for name in one.cells)
        cells = sum(len(one.cells) for one in self.passes)
        trainings = sum(len(one.trainings) for one in self.passes)
        stored = sum(one.stored for one in self.passes)
        yield (
            f"{format_count(trainings, 'rate point')} to train, {format_count(cells, 'cell')} to run, {stored} stored "
            f"in {self.folder}; nothing was written"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON has it."""
        return asdict(self)


def preview(sweep: Sweep, sources: Sources, store: Store, *, overwrite: Overwrite, retrain: bool) -> Preview:
    """Plan a sweep as a run does, and look up what is stored of it; nothing is written.

    Raises:
        UserError, DataError: The input is wrong.
    """
    passes = list(plan_passes(sweep, sources))
    trainings = Trainings(store.folder / "trainings", bundled=not retrain)
    missing = missing_cells(passes, store, overwrite, cells_to_retrain(passes, trainings, retrain))
    previews = []
    for pass_, cells in zip(passes, missing, strict=True):
        needed = [t for t in needed_trainings(pass_, cells, trainings) if not trainings.has(t.key)]
        previews.append(_of_pass(pass_, [str(p.cell) for p in cells], [str(t.cell) for t in needed]))
    return Preview(str(store.folder), tuple(previews))


def _of_pass(pass_: Pass, cells: list[str], trainings: list[str]) -> PassPreview:
    stored = len(pass_.cells) - len(cells)
    return PassPreview(pass_.title, len(pass_.dataset), stored, tuple(cells), tuple(trainings))

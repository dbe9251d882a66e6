"""Runs a sweep: plan, skip what is done, evaluate pass by pass, store cell by cell, collect."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from splitbench.bench import circumstances
from splitbench.bench.evaluate import Material, Outcome, evaluate, reason_of
from splitbench.bench.learning import Stage, curves
from splitbench.bench.plan import Pass, Planned, Sources, passes
from splitbench.bench.store import Store
from splitbench.bench.sweep import Sweep
from splitbench.bench.training import TrainingError
from splitbench.bench.trainings import SHIPPED, Trainings

_TRAINING = ("train_macs", "train_images", "train_seconds")

Overwrite = Literal["never", "failed", "all"]
"""What to do with cells that are stored: keep all, run failed ones again, or run all again."""


@dataclass(frozen=True)
class Result:
    """What a run came to: counts of cells, the failed ones by name and reason, and the CSV."""

    done: int
    kept: int
    failed: tuple[tuple[str, str], ...]
    table: Path


def run(
    sweep: Sweep,
    sources: Sources,
    store: Store,
    overwrite: Overwrite = "failed",
    part: bool = False,
    say: Callable[[str], None] = lambda _: None,
    retrain: bool = False,
) -> Result:
    """Run all cells of a sweep that are not stored yet.

    Everything that the user could have got wrong is checked before the first image is evaluated. Each pass stores its
    cells when it ends, so an interrupted run goes on where it stopped. ``part`` says that the sweep is a part of
    the one that the folder is for: rows of other backbones and methods stay in the table. ``retrain`` trains what
    methods learn here even where trained weights ship with the project.

    Raises:
        UserError, DataError: bad input, told in one sentence; nothing that was stored is lost.
    """
    store.open()
    planned = []
    for one in passes(sweep, sources):
        planned.append(one)
        say(f"checked {one.title}: {len(one.dataset)} images, {len(one.planned)} cells")
    store.put_plan([_labels(p, one) for one in planned for p in one.planned], part)
    trainings = Trainings(store.folder / "trainings", None if retrain else SHIPPED)

    def wanted(p: Planned) -> bool:
        anew = retrain and p.training is not None and not trainings.has(p.training.key)
        return anew or _wanted(store.status(p.key), overwrite)

    missing = [[p for p in one.planned if wanted(p)] for one in planned]
    work = sum(len(one.dataset) * len(cells) for one, cells in zip(planned, missing, strict=True))
    kept = sum(len(one.planned) for one in planned) - sum(map(len, missing))
    if kept:
        say(f"{kept} cells are stored already")
    done = 0
    try:
        with tqdm(total=work, unit="image x cell", unit_scale=True, disable=work == 0, dynamic_ncols=True) as bar:
            for one, cells in zip(planned, missing, strict=True):
                if cells:
                    bar.set_description(one.title)
                    done += _run_pass(one, cells, sweep.batch, sources, store, trainings, bar)
    finally:
        table = store.collect()
    failed = [
        (str(p.cell), str(stored["columns"]["reason"]))
        for one in planned
        for p in one.planned
        if (stored := store.cell(p.key)) is not None and stored["columns"]["status"] == "failed"
    ]
    return Result(done, kept, tuple(failed), table)


def _wanted(status: str | None, overwrite: Overwrite) -> bool:
    return status is None or overwrite == "all" or (overwrite == "failed" and status == "failed")


def _run_pass(
    one: Pass,
    planned: list[Planned],
    batch: int,
    sources: Sources,
    store: Store,
    trainings: Trainings,
    bar: "tqdm[Any]",
) -> int:
    before = bar.n
    keys = {id(p.cell): p for p in planned}
    backbone = one.backbone()
    stage = Stage(
        one.dataset.task,
        backbone,
        one.untrained,
        one.train,
        trainings,
        sources.device,
        sources.memory,
        one.labelled,
        say=bar.write,
    )

    def advance(pairs: int) -> None:
        bar.update(pairs)

    try:
        stage.run([p.training for p in planned if p.training is not None])
        material = Material(
            backbone, one.dataset, one.calibration, stage.learned, one.skip_unreadable, batch, sources.device
        )
        outcomes = evaluate([p.cell for p in planned], material, advance)
    except Exception as error:  # whatever breaks a whole pass must not take the other passes with it
        outcomes = [Outcome(p.cell, reason=reason_of(error)) for p in planned]
    bar.update(before + len(one.dataset) * len(planned) - bar.n)
    store.put_images(one.fingerprint, one.dataset.ids)
    for outcome in outcomes:
        report = stage.report(outcome.cell)
        outcome.columns |= {name: report.get(name) for name in _TRAINING}
        _put(keys[id(outcome.cell)], outcome, one, sources, store)
        try:
            curves.write(store.folder, outcome.cell, report)
        except TrainingError as error:  # the cell is stored, and its curve is in the training's report, too
            bar.write(str(error))
    return len(outcomes)


def _put(planned: Planned, outcome: Outcome, one: Pass, sources: Sources, store: Store) -> None:
    cell = planned.cell
    columns = {
        "task": one.dataset.task,
        "fingerprint": one.fingerprint,
        "weights": one.weights,
        "split": cell.split,
        "method": cell.method,
        "variant": cell.variant,
        "knob": cell.knob,
        "value": cell.value,
        "seed": cell.seed,
        "status": "failed" if outcome.reason else "ok",
        "reason": outcome.reason,
        **outcome.columns,
        "device": circumstances.device_name(sources.device),
        "precision": "float32",
        "image_decoder": circumstances.image_decoder(),
        "versions": circumstances.versions(),
        "commit": circumstances.commit(),
        "date": circumstances.now(),
    }
    store.put(planned.key, planned.ingredients, columns, outcome.stored, outcome.records)


def _labels(planned: Planned, one: Pass) -> dict[str, str]:
    return {
        "key": planned.key,
        "dataset": planned.cell.dataset_label,
        "backbone": planned.cell.backbone_label,
        "method": planned.cell.method,
    }

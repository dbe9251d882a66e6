"""What is done in whichever process: trainings, descriptions, shards and cells of a pass, all left in the run's folder.

A :class:`Job` is a pass as it travels: names and numbers only. The data and the backbone are opened where it arrives,
once for as long as a process works on the same pass.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from splitbench.bench.backbones.split_model import Place
from splitbench.bench.evaluation import Material, Prepared, describe, measure, prepare
from splitbench.bench.evaluation.decoded_cache import KeptPictures
from splitbench.bench.results.store import Store
from splitbench.bench.run.partial_results import Unfinished
from splitbench.bench.run.plan import Pass, Planned, reopened
from splitbench.bench.run.score_and_store import store_cells
from splitbench.bench.run.sources import Sources
from splitbench.bench.sweep.schema import BackboneSpec, DatasetSpec
from splitbench.bench.training.methods import MethodTrainer, Training, TrainingInputs, Trainings
from splitbench.bench.utils import log, provenance, time_limit
from splitbench.bench.utils.errors import UserError
from splitbench.methods.base import Learned, nothing_learned

_SHARD_SECONDS = 5.0
"""A shard is stored about that often: what a killed run measures again."""


@dataclass(frozen=True)
class Job:
    """A pass and what is wanted of it. The device in ``sources`` is that of the process that does it.

    ``lessons`` are the trainings of its cells and those that these begin with, where they are not there yet.
    ``threads`` is how many torch takes there: results can differ in their last bits with it. ``token`` is a file in the
    run's folder, by which a process knows that it sees the same folder.
    """

    dataset: DatasetSpec
    backbone: BackboneSpec
    sources: Sources
    fingerprint: str
    weights: str
    planned: tuple[Planned, ...]
    lessons: tuple[Training, ...]
    unfinished: Unfinished
    folder: Path
    batch: int
    retrain: bool
    threads: int
    patience: float
    token: Path

    def on(self, device: str) -> "Job":
        """The same on a device of the process that does it."""
        return replace(self, sources=replace(self.sources, device=torch.device(device)))

    def trainings(self) -> Trainings:
        """The run's trainings."""
        return Trainings(self.folder / "trainings", bundled=not self.retrain)


@dataclass
class _Site:
    """A job's pass, opened in this process."""

    job: Job
    one: Pass
    say: Callable[[str], None]
    quiet: bool = False
    failed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def trainer(self) -> MethodTrainer:
        one, job = self.one, self.job
        return MethodTrainer(
            inputs=TrainingInputs(
                task=one.dataset.task,
                backbone=one.backbone(),
                untrained=one.untrained,
                images=one.train,
                skip_unreadable=one.skip_unreadable,
            ),
            trainings=job.trainings(),
            device=job.sources.device,
            memory=job.sources.memory,
            show_progress=not self.quiet,
            log=self.say,
            failed=self.failed,
        )

    def learned(self, key: str, place: Place) -> Learned:
        """What was trained for a cell. Raises MethodError where nothing was, UserError where its file is wrong."""
        training = next((p.training for p in self.job.planned if p.key == key), None)
        return nothing_learned() if training is None else self.trainer.learned(training, place)

    @cached_property
    def prepared(self) -> Prepared:
        one, job, trainer = self.one, self.job, self.trainer
        trainer.close()
        kept, most = job.sources.pictures, job.sources.pictures_limit
        material = Material(
            trainer.inputs.backbone,
            one.dataset,
            one.calibration,
            self.learned,
            one.skip_unreadable,
            job.batch,
            job.sources.device,
            job.sources.naive,
            None if kept is None else KeptPictures(kept, job.fingerprint, most),
            job.planned[0].ingredients["precision"],
        )
        return prepare({p.key: p.cell for p in job.planned}, material)


_sites: list[_Site] = []
"""That of the pass that this process works on."""
_checked: dict[Path, tuple[Pass, Callable[[str], None]]] = {}
"""Passes that this process has opened already, to plan them, and where to tell what is done."""


def adopt(job: Job, one: Pass, say: Callable[[str], None]) -> None:
    """Let this process take the pass as it has opened it, should it be given the job."""
    _checked[job.unfinished.folder] = one, say


def leave() -> None:
    """Forget all passes, and free what they take."""
    time_limit.allow(0)
    devices = [site.job.sources.device for site in _sites]
    _sites.clear()
    _checked.clear()
    for device in devices:
        provenance.forget(device)


def _site(job: Job, failed: Mapping[str, str]) -> _Site:
    time_limit.allow(job.patience)
    if not _sites or _sites[0].job.token != job.token or _sites[0].job.unfinished != job.unfinished:
        _sites.clear()
        provenance.forget(job.sources.device)
        _sites.append(_arrived(job))
    site = _sites[0]
    site.failed.update(failed)
    return site


def _arrived(job: Job) -> _Site:
    if job.unfinished.folder in _checked:
        return _Site(job, *_checked[job.unfinished.folder])
    if not job.token.exists():
        raise UserError(
            f"a worker does not see {job.folder} as the one that runs the sweep does: put the results (OUT=, --out) "
            "on storage that all machines share"
        )
    log.keep(job.folder)
    torch.set_num_threads(job.threads)
    provenance.device(str(job.sources.device))
    one = reopened(job.dataset, job.backbone, job.sources, job.fingerprint, job.weights, job.planned)
    return _Site(job, one, log.LOG.info, quiet=True)


def do_train(job: Job, failed: Mapping[str, str], keys: Sequence[str]) -> dict[str, str]:
    """Train what is missing of these trainings, one after the other. Returns reasons by the keys of those that failed.

    ``failed`` are those that failed before, here or elsewhere.
    """
    trainer = _site(job, failed).trainer
    wanted = {one.key: one for one in job.lessons}
    trainer.run([wanted[key] for key in keys])
    return {key: trainer.failed[key] for key in keys if key in trainer.failed}


def do_describe(job: Job, failed: Mapping[str, str]) -> None:
    """Measure what the cells cost, and store it."""
    site = _site(job, failed)
    job.unfinished.put_descriptions(describe(site.prepared), provenance.columns(job.sources.device))


def do_measure(
    job: Job, failed: Mapping[str, str], first: int, last: int, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Measure the batches from number ``first`` up to ``last`` that no shard has, and store them as shards.

    ``advance`` is told of every (image, cell) done.
    """
    site = _site(job, failed)
    for begin, end in list(job.unfinished.gaps(first, last)):
        at, size = begin, 1
        while at < end:
            started = time.perf_counter()
            shard = measure(site.prepared, at, min(at + size, end), advance)
            job.unfinished.put(shard)
            seconds = time.perf_counter() - started
            at = shard.last
            size = max(1, min(4 * size, round(size * _SHARD_SECONDS / max(seconds, 1e-3))))


def do_score(job: Job, failed: Mapping[str, str], keys: Sequence[str], parts: Sequence[str]) -> float | None:
    """Score these cells and store them, once the ``parts`` of their pass are measured; where one failed, they fail.

    Returns the uncompressed backbone's accuracy, None where no cell could be scored.
    """
    site = _site(job, failed)
    cells = [planned for planned in job.planned if planned.key in keys]
    broken = next((failed[part] for part in parts if part in failed), "")
    store, device = Store(job.folder), job.sources.device
    return store_cells(site.one, cells, job.unfinished, store, job.trainings(), device, broken, site.quiet)

"""From a sweep to passes: open the data, load the backbones, check every cell and give it a key."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.evaluation import tasks
from splitbench.bench.evaluation.checks import backbone_checks
from splitbench.bench.run.partial_results import FOLDER, PartialResults
from splitbench.bench.run.planning import warn
from splitbench.bench.run.planning.faults import Tried
from splitbench.bench.run.planning.keys import cell_ingredients, key_of, training_of
from splitbench.bench.run.planning.sources import Sources, first_readable, open_backbone
from splitbench.bench.run.planning.subsets import Subsets
from splitbench.bench.split import SplitModel
from splitbench.bench.sweep.auto_splits import resolved
from splitbench.bench.sweep.cells import Cell, expand
from splitbench.bench.sweep.schema import BackboneSpec, DatasetSpec, Sweep
from splitbench.bench.training.methods import Training, TrainingInputs, Trainings
from splitbench.bench.training.methods.planning import planned_learning, task_loss_problem
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import METHODS
from splitbench.bench.utils.precisions import Precision
from splitbench.datasets.base import Dataset, Subset
from splitbench.datasets.formats.categories import changed_numbers, in_numbering_of
from splitbench.methods.base import Learning


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its key, the key's ingredients, and the training that it needs, if any."""

    cell: Cell
    key: str
    ingredients: dict[str, Any]
    training: Training | None = None


@dataclass(frozen=True, kw_only=True)
class Pass:
    """The cells that share a dataset and a backbone, with both opened in this process.

    Attributes:
        dataset_spec: The sweep's entry of the dataset.
        backbone_spec: The sweep's entry of the backbone.
        dataset: The evaluation images.
        calibration: Opens the calibration images.
        train: Opens the training images.
        labelled: Whether the training images have the evaluation's labels.
        backbone: Loads the backbone.
        untrained: Builds the backbone with random weights of a seed.
        fingerprint: The hash of the evaluation images.
        weights: The hash of the backbone's weights.
        warnings: What may mislead about the images and the backbone, a sentence each.
        category_names: The detector's categories, by whose ids the images' boxes are numbered.
        splits: The backbone split at every split point; only while the sweep is planned.
        example: An image as the backbone takes it, likewise.
        cells: The cells.
    """

    dataset_spec: DatasetSpec
    backbone_spec: BackboneSpec
    dataset: Dataset
    calibration: Callable[[], Dataset]
    train: Callable[[], Dataset]
    labelled: bool
    backbone: Callable[[], Backbone]
    untrained: Callable[[int], Backbone]
    fingerprint: str = ""
    weights: str = ""
    warnings: tuple[str, ...] = ()
    category_names: Mapping[int, str] = field(default_factory=dict)
    splits: dict[str, SplitModel] = field(default_factory=dict)
    example: Any = None
    cells: tuple[PlannedCell, ...] = ()

    def numbered_for(self, names: Mapping[int, str]) -> "Pass":
        """Return the same pass with images whose boxes have a detector's category ids."""
        return replace(
            self,
            dataset=in_numbering_of(self.dataset, names),
            calibration=partial(_numbered, self.calibration, names),
            train=partial(_numbered, self.train, names),
            category_names=names,
        )

    def training_inputs(self) -> TrainingInputs:
        """Open the backbone for its trainings. Raises UserError where its weights cannot be read."""
        return TrainingInputs(
            task=self.dataset.task,
            backbone=self.backbone(),
            untrained=self.untrained,
            images=self.train,
            skip_unreadable=self.skip_unreadable,
        )

    @property
    def skip_unreadable(self) -> bool:
        """Whether images that cannot be decoded are left out; otherwise they fail the cells."""
        return self.dataset_spec.unreadable == "skip"

    @property
    def trainings(self) -> Mapping[str, Training]:
        """The trainings that the cells need, which several may share, by key: each behind the one it begins with."""
        return {p.training.key: p.training for p in self.cells if p.training is not None}

    @property
    def title(self) -> str:
        """Dataset and backbone, as progress shows them."""
        return _title(self.cells)


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What all passes of a run share, as it travels between processes.

    Attributes:
        folder: The run's folder.
        token: A file in it that exists while the run does: a process that sees it sees the same folder.
        sources: Data and weights; the device is that of the process that works.
        batch: Images that are run at once.
        retrain: Whether to train here what is bundled with the project, too.
        threads: Threads that torch takes: last bits can differ with their number.
        time_limit: Seconds that one step of a cell may take; 0 sets no limit.
        shard_seconds: Seconds after which measured batches are stored: as much work as a killed process loses.
    """

    folder: Path
    token: Path
    sources: Sources
    batch: int
    retrain: bool
    threads: int
    time_limit: float
    shard_seconds: float

    @property
    def reports(self) -> Path:
        """The folder by which workers in other processes report how far they are."""
        return self.folder / FOLDER / f"reports-{self.token.stem}"

    @property
    def trainings(self) -> Trainings:
        """The run's trainings."""
        return Trainings(self.folder / "trainings", bundled=not self.retrain)


@dataclass(frozen=True, kw_only=True)
class PassSpec:
    """A pass as it travels between processes: names, numbers and keys, nothing opened.

    Attributes:
        run: What it shares with the run's other passes.
        dataset: The sweep's entry of the dataset.
        backbone: The sweep's entry of the backbone.
        fingerprint: The hash of the evaluation images.
        weights: The hash of the backbone's weights.
        category_names: The detector's categories.
        cells: The cells that are to be run.
        trainings: The trainings that these need, finished ones too, each after the one that it begins with.
        partial: What was measured of the pass.
    """

    run: RunSpec
    dataset: DatasetSpec
    backbone: BackboneSpec
    fingerprint: str
    weights: str
    category_names: Mapping[int, str]
    cells: tuple[PlannedCell, ...]
    trainings: tuple[Training, ...]
    partial: PartialResults

    @property
    def title(self) -> str:
        """Dataset and backbone, as progress shows them."""
        return _title(self.cells)

    @property
    def name(self) -> str:
        """A word that no other pass of the run has."""
        return self.partial.folder.name

    @property
    def device(self) -> torch.device:
        """Where the process that works on it computes."""
        return self.run.sources.device

    def on(self, device: str) -> "PassSpec":
        """Return the same pass, to be run on another device."""
        sources = replace(self.run.sources, device=torch.device(device))
        return replace(self, run=replace(self.run, sources=sources))


def _title(cells: tuple[PlannedCell, ...]) -> str:
    return f"{cells[0].cell.dataset_label} {cells[0].cell.backbone_label}"


def plan_passes(sweep: Sweep, sources: Sources, tried: Tried = nullcontext) -> Iterator[Pass]:
    """Plan all passes of a sweep, checking data, weights, split points and settings on the way.

    Args:
        sweep: The sweep.
        sources: Where data and weights are.
        tried: Encloses each step; where it keeps the errors, what they leave of the sweep is planned.

    Raises:
        UserError: A cell is impossible for a reason that the user can fix.
        DataError: Data is missing or does not fit.
    """
    sweep = resolved(sweep, tried)
    cells = list(expand(sweep))
    for dataset in sweep.datasets:
        subsets, present = Subsets(dataset, sources), False
        with tried(subsets.label):
            present = bool(subsets.fingerprint("evaluation"))
        for backbone in sweep.backbones:
            chosen = [cell for cell in cells if cell.dataset is dataset and cell.backbone is backbone]
            pass_ = None
            with tried(backbone.label or backbone.name):
                if present:
                    pass_ = _plan_pass(subsets, backbone, chosen, sweep.precision, tried=tried)
                else:
                    open_backbone(backbone, dataset, sources)
            if pass_ is not None and pass_.cells:
                yield pass_


def _plan_pass(subsets: Subsets, spec: BackboneSpec, cells: list[Cell], precision: Precision, *, tried: Tried) -> Pass:
    backbone = open_backbone(spec, subsets.spec, subsets.sources)
    pass_ = _open(subsets, spec)
    pass_ = pass_.numbered_for(backbone.category_names)
    example = backbone.together([backbone.pixels(first_readable(pass_.dataset)).to(subsets.sources.device)])
    splits = _check_splits(pass_, backbone, cells, example, tried=tried)
    planner = _CellPlanner(replace(pass_, splits=splits, example=example), subsets, backbone, precision)
    planned = []
    for cell in cells:
        with tried(""):
            if cell.split in splits:
                planned.append(planner.plan(cell))
    trusted = any(subsets.trusts_names(subsets.get(subset)) for subset in ("evaluation", *planner.used))
    return replace(
        planner.pass_,
        fingerprint=subsets.fingerprint("evaluation"),
        weights=backbone.weights,
        warnings=warn.of_inputs(pass_.dataset, planner.used, backbone, trusted),
        cells=tuple(planned),
    )


@dataclass
class _CellPlanner:
    """Gives the cells of a pass their keys, one after the other."""

    pass_: Pass
    subsets: Subsets
    backbone: Backbone
    precision: Precision
    previous: dict[str, str] = field(default_factory=dict)
    used: dict[Subset, Dataset] = field(default_factory=dict)

    def plan(self, cell: Cell) -> PlannedCell:
        subsets, needs = self.subsets, METHODS.get(cell.method).needs(cell.settings)
        ingredients = cell_ingredients(cell, subsets.spec, subsets.fingerprint("evaluation"), self.backbone)
        ingredients |= {"precision": self.precision}
        if self.precision != "float32" and cell.split == "output":
            ingredients["answers"] = "float32"  # earlier versions sent them in the network's own precision
        if "calibration" in needs:
            ingredients["calibration"] = subsets.fingerprint("calibration")
            self.used["calibration"] = subsets.get("calibration")
        training = None
        if "train" in needs:
            learning = planned_learning(cell, self.pass_.splits[cell.split])
            self._check_loss(cell, learning)
            warm_start = learning is not None and learning.start == "neighbour"
            images = {"images": subsets.fingerprint("train")} | _numbering(self.pass_.train())
            training = training_of(cell, ingredients | images, self.previous, warm_start)
            ingredients["training"] = training.key
            self.used.setdefault("train", subsets.get("train"))
        ingredients |= _numbering(self.pass_.dataset)
        return PlannedCell(cell, key_of(ingredients), ingredients, training)

    def _check_loss(self, cell: Cell, learning: Learning | None) -> None:
        if learning is not None and learning.distortion == "task":
            pass_ = self.pass_
            reason = task_loss_problem(cell, self.backbone, pass_.dataset, pass_.train, labelled=pass_.labelled)
            if reason:
                raise UserError(f"{cell}: {reason}")
            self.used["train"] = pass_.train()  # its labels are used, and what is said of them is


def _numbered(images: Callable[[], Dataset], names: Mapping[int, str]) -> Dataset:
    return in_numbering_of(images(), names)


def _numbering(dataset: Dataset) -> dict[str, Any]:
    """Return what a key holds of categories that were renumbered; nothing where none was."""
    changed = changed_numbers(dataset)
    return {"categories": {str(category): number for category, number in sorted(changed.items())}} if changed else {}


@torch.no_grad()
def _check_splits(
    pass_: Pass, backbone: Backbone, cells: list[Cell], example: Any, *, tried: Tried
) -> dict[str, SplitModel]:
    """Check the backbone, and split it at every split point, on an image."""
    task = tasks.get(pass_.dataset.task)
    reason = task.mismatch(pass_.dataset, backbone, example)
    if reason:
        names = [spec.label or spec.name for spec in (pass_.backbone_spec, pass_.dataset_spec)]
        raise UserError(f"{' with '.join(names)}: {reason}")
    backbone_checks.check(backbone, example, task)
    splits = {}
    for at in dict.fromkeys(cell.split for cell in cells):
        with tried(pass_.backbone_spec.label or pass_.backbone_spec.name):
            splits[at] = backbone.split(at, example)
            backbone_checks.check_head(backbone, splits[at], example)
    return splits


def reopen(spec: PassSpec) -> Pass:
    """Open a pass that another process has checked, as this process finds it. Raises UserError, DataError."""
    opened = _open(Subsets(spec.dataset, spec.run.sources, compare=False), spec.backbone)
    opened = opened.numbered_for(spec.category_names)
    return replace(opened, fingerprint=spec.fingerprint, weights=spec.weights, cells=spec.cells)


def _open(subsets: Subsets, backbone: BackboneSpec) -> Pass:
    dataset, sources = subsets.spec, subsets.sources
    random = backbone.model_copy(update={"weights": "none"})
    return Pass(
        dataset_spec=dataset,
        backbone_spec=backbone,
        dataset=subsets.verified("evaluation"),
        calibration=partial(subsets.verified, "calibration"),
        train=partial(subsets.get, "train"),
        labelled=dataset.source("train") == dataset.name,
        backbone=partial(open_backbone, backbone, dataset, sources),
        untrained=partial(open_backbone, random, dataset, sources),
    )

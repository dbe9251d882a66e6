"""From a sweep to passes: open the data, load the backbones, and name every cell.

A cell's key is a hash of what its row is asked for: settings, weights' content, images' content, preprocessing, split,
the method's version, seed, precision, and the source of a model or method of one's own. It is not one of order, host,
paths or labels, nor of batch size, threads, device and libraries' versions, which can change last bits and stand in the
row.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, get_args

import torch
from pydantic import ValidationError

from splitbench import datasets, methods
from splitbench.bench.backbones import registry
from splitbench.bench.backbones.preprocessing import Preprocessing
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.backbones.split_model import Place, place_of
from splitbench.bench.evaluation import tasks
from splitbench.bench.run.sources import Sources
from splitbench.bench.run.subsets import Parts, in_folder
from splitbench.bench.sweep.auto_splits import resolved
from splitbench.bench.sweep.schema import BackboneSpec, Cell, DatasetSpec, Sweep, expand
from splitbench.bench.training.methods.planning import planned_learning, task_loss_problem
from splitbench.bench.training.methods.trainings import Training
from splitbench.bench.utils import user_code
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.precision import Precision
from splitbench.bench.utils.validation_errors import format_validation_error
from splitbench.datasets.base import DataError, Dataset, Part

SCHEMA = 1


@dataclass(frozen=True)
class Planned:
    """A cell with its key, what the key is made of, and the training that it needs, if any."""

    cell: Cell
    key: str
    ingredients: dict[str, Any]
    training: Training | None = None


@dataclass(frozen=True)
class Pass:
    """Cells that share dataset and backbone, and how to load both.

    ``spec`` and ``model`` are what the sweep says of the two. ``untrained(seed)`` has random weights; ``labelled``
    tells whether the training images' labels are the evaluation's.
    """

    spec: DatasetSpec
    model: BackboneSpec
    dataset: Dataset
    calibration: Callable[[], Dataset]
    train: Callable[[], Dataset]
    labelled: bool
    backbone: Callable[[], Backbone]
    untrained: Callable[[int], Backbone]
    skip_unreadable: bool
    fingerprint: str = ""
    weights: str = ""
    places: dict[str, Place] = field(default_factory=dict)
    planned: tuple[Planned, ...] = ()

    @property
    def title(self) -> str:
        """For progress: dataset and backbone."""
        cell = self.planned[0].cell
        return f"{cell.dataset_label} {cell.backbone_label}"


def passes(sweep: Sweep, sources: Sources) -> Iterator[Pass]:
    """All passes of a sweep; checks data, weights, split points and settings as it goes.

    Raises:
        UserError: anything that would make a cell impossible for a reason that the user can mend.
        DataError: data that is missing or does not fit.
    """
    sweep = resolved(sweep)
    cells = list(expand(sweep))
    for spec in sweep.datasets:
        parts = Parts(spec, sources)
        parts.fingerprint("evaluation")
        for backbone in sweep.backbones:
            chosen = [cell for cell in cells if cell.dataset is spec and cell.backbone is backbone]
            yield _pass(parts, backbone, chosen, sweep.precision)


def _pass(parts: Parts, backbone: BackboneSpec, cells: list[Cell], precision: Precision) -> Pass:
    spec, sources = parts.spec, parts.sources
    dataset, fingerprint = parts.of("evaluation"), parts.fingerprint("evaluation")
    loaded = open_backbone(backbone, spec, sources)
    example = loaded.together([loaded.pixels(first_readable(dataset)).to(sources.device)])
    places: dict[str, Place] = {}
    with torch.no_grad():
        reason = tasks.get(dataset.task).mismatch(dataset, loaded, example)
        if reason:
            raise UserError(f"{backbone.label or backbone.name} with {spec.label or spec.name}: {reason}")
        for at in dict.fromkeys(cell.split for cell in cells):
            places[at] = place_of(loaded, at, example)
    one = _opened(parts, backbone)
    planned = []
    previous: dict[str, str] = {}
    for cell in cells:
        needed = methods.get(cell.method).needs(cell.settings)
        ingredients = _ingredients(cell, spec, fingerprint, loaded) | {"precision": precision}
        if "calibration" in needed:
            ingredients["calibration"] = parts.fingerprint("calibration")
        training = None
        if "train" in needed:
            learning = planned_learning(cell, places[cell.split])
            if learning is not None and learning.distortion == "task":
                reason = task_loss_problem(cell, loaded, dataset, one.train, one.labelled)
                if reason:
                    raise UserError(f"{cell}: {reason}")
            warm_start = learning is not None and learning.start == "neighbour"
            trained_on = ingredients | {"images": parts.fingerprint("train")}
            training = _training(cell, trained_on, previous, warm_start)
            ingredients["training"] = training.key
        planned.append(Planned(cell, _key(ingredients), ingredients, training))
    return replace(one, fingerprint=fingerprint, places=places, weights=loaded.weights, planned=tuple(planned))


def reopened(
    spec: DatasetSpec,
    backbone: BackboneSpec,
    sources: Sources,
    fingerprint: str,
    weights: str,
    planned: tuple[Planned, ...],
) -> Pass:
    """A pass that another process has checked, with the data as this process finds it. Raises UserError, DataError."""
    for name in {one.cell.method for one in planned}:
        user_code.method(name)
    for part in get_args(Part):
        user_code.dataset(spec.source(part))
    one = _opened(Parts(spec, sources, compared=False), backbone)
    return replace(one, fingerprint=fingerprint, weights=weights, planned=planned)


def _opened(parts: Parts, backbone: BackboneSpec) -> Pass:
    spec, sources = parts.spec, parts.sources
    return Pass(
        spec=spec,
        model=backbone,
        dataset=parts.of("evaluation"),
        calibration=partial(parts.of, "calibration"),
        train=partial(parts.of, "train"),
        labelled=spec.source("train") == spec.name,
        backbone=lambda: open_backbone(backbone, spec, sources),
        untrained=lambda seed: open_backbone(backbone.model_copy(update={"weights": "none"}), spec, sources, seed),
        skip_unreadable=spec.unreadable == "skip",
    )


def _key(ingredients: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:20]


def _training(cell: Cell, ingredients: dict[str, Any], previous: dict[str, str], warm_start: bool) -> Training:
    """Return the training behind a cell.

    Args:
        cell: The cell.
        ingredients: Those of the cell, with training images in place of evaluation images.
        previous: The key of the last training of each curve so far; this training's is added.
        warm_start: Whether the training begins with the weights of that one.
    """
    ingredients = ingredients | {"precision": "float32"}
    ingredients.pop("unreadable")
    settings = dict(ingredients["settings"])
    settings.pop(cell.knob)
    curve = _key(ingredients | {"settings": settings})
    neighbour = previous.get(curve) if warm_start else None
    if neighbour is not None:
        ingredients["neighbour"] = neighbour
    key = _key(ingredients)
    previous[curve] = key
    return Training(cell, key, ingredients, neighbour)


def _ingredients(cell: Cell, spec: DatasetSpec, fingerprint: str, loaded: Backbone) -> dict[str, Any]:
    method = methods.get(cell.method)
    ingredients = {
        "schema": SCHEMA,
        "images": fingerprint,
        "unreadable": spec.unreadable,
        "backbone": cell.backbone.name,
        "args": cell.backbone.args,
        "weights": loaded.weights,
        "preprocessing": loaded.recipe,
        "split": cell.split,
        "method": cell.method,
        "version": method.version,
        "settings": cell.settings.model_dump(mode="json"),
        "seed": cell.seed,
    }
    if user_code.is_import_path(cell.backbone.name):
        ingredients["code"] = user_code.digest(cell.backbone.name)
    version = registry.version_of(cell.backbone.name)
    if version > 1:  # the first is left out: keys from before networks had versions stay
        ingredients["backbone_version"] = version
    code = user_code.method_digest(cell.method)
    return ingredients if code is None else ingredients | {"method_code": code}


def check_data(sweep: Sweep, sources: Sources) -> None:
    """Raises UserError for a data folder that is not there, or that no dataset of the sweep reads."""
    if sources.data is not None and not sources.data.is_dir():
        raise UserError(f"data folder not found: {sources.data}")
    names = {spec.source(part) for spec in sweep.datasets for part in get_args(Part)}
    if sources.data is not None and not any(map(in_folder, names)):
        others = [name for name in _loadable() if datasets.get(name).task == sweep.task and in_folder(name)]
        raise UserError(
            f"DATA= (--data) {sources.data} would not be read: the sweep's images come from no folder "
            f"({', '.join(sorted(names))}). Leave it out, or run a sweep over {' or '.join(others)} "
            "(see `splitbench sweeps`); a dataset of your own takes a folder where its Options have a `root`"
        )


def _loadable() -> Iterator[str]:
    for name in datasets.names():
        with suppress(DataError):  # a file there that cannot be imported is no one's concern who does not use it
            datasets.get(name)
            yield name


def open_backbone(backbone: BackboneSpec, dataset: DatasetSpec, sources: Sources, seed: int = 0) -> Backbone:
    """A backbone with its preprocessing as the dataset wants it; ``seed`` is of random weights. Raises UserError."""
    overrides = backbone.preprocessing | dataset.preprocessing
    try:
        return registry.build(
            backbone.name, backbone.args, backbone.weights, overrides, sources.weights, sources.device, seed
        )
    except ValidationError as error:
        raise UserError(
            format_validation_error(error, f"{backbone.label or backbone.name}: preprocessing", Preprocessing)
        ) from None


def first_readable(dataset: Dataset) -> Any:
    """The first image that can be decoded. Raises DataError where none can."""
    for index in range(len(dataset)):
        try:
            return dataset.image(index)
        except DataError as error:
            fault = error
    raise DataError(f"none of the {len(dataset)} images can be read: {fault}")

"""From a sweep to passes: open the data, load the backbones, name every cell, and leave out what is done.

A cell's key is a hash of all that can change its result (settings, weights' content, images' content, preprocessing,
the method's version, seed) and of nothing else: not of order, host, paths or labels.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from splitbench import datasets, methods
from splitbench.bench import backbones
from splitbench.bench.auto_splits import resolved
from splitbench.bench.backbones import Backbone
from splitbench.bench.errors import UserError
from splitbench.bench.evaluate import Place, place_of
from splitbench.bench.explain import explained
from splitbench.bench.preprocessing import Preprocessing
from splitbench.bench.sweep import BackboneSpec, Cell, DatasetSpec, Sweep, expand
from splitbench.datasets.base import DataError, Dataset, Part

SCHEMA = 1


@dataclass(frozen=True)
class Sources:
    """Where things are on this machine: none of it is part of a cell's key."""

    data: Path | None = None
    weights: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True)
class Planned:
    """A cell with its key and what the key is made of."""

    cell: Cell
    key: str
    ingredients: dict[str, Any]


@dataclass(frozen=True)
class Pass:
    """Cells that share dataset and backbone, and how to load both."""

    dataset: Dataset
    fingerprint: str
    calibration: Callable[[], Dataset]
    backbone: Callable[[], Backbone]
    skip_unreadable: bool
    places: dict[str, Place]
    weights: str
    planned: tuple[Planned, ...]

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
        dataset = open_dataset(spec, sources, "evaluation")
        if len(dataset) == 0:
            raise DataError(f"{spec.label or spec.name}: no evaluation images")
        fingerprint = datasets.fingerprint(dataset)
        calibration = _calibration(spec, sources, dataset)
        for backbone in sweep.backbones:
            chosen = [cell for cell in cells if cell.dataset is spec and cell.backbone is backbone]
            yield _pass(spec, backbone, chosen, dataset, fingerprint, calibration, sources)


def _pass(
    spec: DatasetSpec,
    backbone: BackboneSpec,
    cells: list[Cell],
    dataset: Dataset,
    fingerprint: str,
    calibration: Callable[[], Dataset],
    sources: Sources,
) -> Pass:
    loaded = open_backbone(backbone, spec, sources)
    if loaded.preprocessing.crop is None and not isinstance(loaded.preprocessing.resize, tuple):
        raise UserError(
            f"{backbone.label or backbone.name}: `crop: null` gives inputs of different sizes, which make no batch: "
            "set `crop`, or `resize` to [height, width]"
        )
    example = loaded.preprocessing.pixels(first_readable(dataset))[None].to(sources.device)
    places: dict[str, Place] = {}
    with torch.no_grad():
        for at in dict.fromkeys(cell.split for cell in cells):
            places[at] = place_of(loaded, at, example)
        (classes,) = loaded.whole().to(sources.device)(example).shape[1:]
    if dataset.classes > classes:
        raise UserError(
            f"labels do not match: {spec.label or spec.name} has {dataset.classes} classes, "
            f"{backbone.label or backbone.name} tells {classes}"
        )
    planned = []
    for cell in cells:
        needed = methods.get(cell.method).needs(cell.settings)
        ingredients = _ingredients(cell, spec, fingerprint, loaded.preprocessing, loaded.weights)
        if "calibration" in needed:
            ingredients["calibration"] = datasets.fingerprint(calibration())
        key = hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:20]
        planned.append(Planned(cell, key, ingredients))
    return Pass(
        dataset,
        fingerprint,
        calibration,
        lambda: open_backbone(backbone, spec, sources),
        spec.unreadable == "skip",
        places,
        loaded.weights,
        tuple(planned),
    )


def _ingredients(
    cell: Cell, spec: DatasetSpec, fingerprint: str, preprocessing: Preprocessing, weights: str
) -> dict[str, Any]:
    method = methods.get(cell.method)
    return {
        "schema": SCHEMA,
        "images": fingerprint,
        "unreadable": spec.unreadable,
        "backbone": cell.backbone.name,
        "args": cell.backbone.args,
        "weights": weights,
        "preprocessing": preprocessing.model_dump(mode="json"),
        "split": cell.split,
        "method": cell.method,
        "version": method.version,
        "settings": cell.settings.model_dump(mode="json"),
        "seed": cell.seed,
        "precision": "float32",
    }


def open_dataset(spec: DatasetSpec, sources: Sources, part: Part) -> Dataset:
    """A dataset's images for one use, its folder taken relative to the data folder. Raises DataError."""
    kind = datasets.get(spec.name)
    options = spec.others | (spec.calibration if part != "evaluation" else {})
    if "root" in kind.Options.model_fields and (sources.data is not None or "root" in options):
        options["root"] = (sources.data or Path()) / (options.get("root") or "")
    return kind.load(kind.Options.model_validate(options), part)


def open_backbone(backbone: BackboneSpec, dataset: DatasetSpec, sources: Sources) -> Backbone:
    """A backbone with its preprocessing as the dataset wants it. Raises UserError."""
    overrides = backbone.preprocessing | dataset.preprocessing
    try:
        return backbones.build(
            backbone.name, backbone.args, backbone.weights, overrides, sources.weights, sources.device
        )
    except ValidationError as error:
        raise UserError(explained(error, f"{backbone.label or backbone.name}: preprocessing", Preprocessing)) from None


def _calibration(spec: DatasetSpec, sources: Sources, evaluation: Dataset) -> Callable[[], Dataset]:
    """Opens the calibration images, once. Raises DataError where there are none or some are evaluation images."""

    @cache
    def load() -> Dataset:
        label = spec.label or spec.name
        dataset = open_dataset(spec, sources, "calibration")
        if len(dataset) == 0:
            raise DataError(f"{label}: no calibration images")
        comparable = dataset.global_ids and evaluation.global_ids
        names = set(evaluation.ids) if comparable else set()
        contents = {evaluation.content(i) for i in range(len(evaluation))}
        same = [name for i, name in enumerate(dataset.ids) if name in names or dataset.content(i) in contents]
        if same:
            raise DataError(
                f"{label}: {len(same)} calibration images are evaluation images ({', '.join(same[:3])}"
                f"{', ...' if len(same) > 3 else ''}): name other images, or leave them out by `calibration: exclude`"
            )
        return dataset

    return load


def first_readable(dataset: Dataset) -> Any:
    """The first image that can be decoded. Raises DataError where none can."""
    for index in range(len(dataset)):
        try:
            return dataset.image(index)
        except DataError as error:
            fault = error
    raise DataError(f"none of the {len(dataset)} images can be read: {fault}")

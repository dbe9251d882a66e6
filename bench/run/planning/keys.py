"""Keys of cells and trainings: a hash of everything that the result follows from.

A cell's key covers the settings, the contents of weights and images, preprocessing, split, the method's version, seed,
precision, and the source of user code. It excludes order, host, paths and labels. It also excludes batch size, threads,
device and library versions, which can change last bits; the row names them.
"""

import hashlib
import json
from typing import Any

from splitbench.bench.backbones import registry
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.sweep.cells import Cell
from splitbench.bench.sweep.schema import DatasetSpec
from splitbench.bench.training.methods import Training
from splitbench.bench.utils.plugins import METHODS, method_digest, user_code

SCHEMA = 1


def key_of(ingredients: dict[str, Any]) -> str:
    """Return the key that ingredients hash to."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:20]


def cell_ingredients(cell: Cell, dataset: DatasetSpec, fingerprint: str, backbone: Backbone) -> dict[str, Any]:
    """Return what a cell's key is a hash of, apart from precision and what its method needs images for.

    Args:
        cell: The cell.
        dataset: Its dataset, as the sweep describes it.
        fingerprint: The hash of the evaluation images.
        backbone: Its backbone with weights.
    """
    ingredients = {
        "schema": SCHEMA,
        "images": fingerprint,
        "unreadable": dataset.unreadable,
        "backbone": cell.backbone.name,
        "args": cell.backbone.args,
        "weights": backbone.weights,
        "preprocessing": backbone.recipe,
        "split": cell.split,
        "method": cell.method,
        "version": METHODS.get(cell.method).version,
        "settings": cell.settings.model_dump(mode="json"),
        "seed": cell.seed,
    }
    if user_code.is_import_path(cell.backbone.name):
        ingredients["code"] = user_code.digest(cell.backbone.name)
    version = registry.version_of(cell.backbone.name)
    if version > 1:  # the first is left out: keys from before networks had versions stay
        ingredients["backbone_version"] = version
    if cell.settings.coding_revision() > 0:
        ingredients["revision"] = cell.settings.coding_revision()
    code = method_digest(cell.method)
    return ingredients if code is None else ingredients | {"method_code": code}


def training_of(cell: Cell, ingredients: dict[str, Any], previous: dict[str, str], warm_start: bool) -> Training:
    """Return the training that a cell needs: cells that agree in ``Settings.for_training`` share it.

    Args:
        cell: The cell.
        ingredients: Those of the cell, with training images in place of evaluation images.
        previous: The key of the last training of each curve so far; this training's key is added.
        warm_start: Whether the training begins with the weights of the last one of its curve.
    """
    ingredients = ingredients | {"precision": "float32"}
    ingredients.pop("unreadable")
    for name in ("calibration", "revision"):  # of what is done after training
        ingredients.pop(name, None)
    settings = dict(ingredients["settings"])
    settings.pop(cell.knob)
    curve = key_of(ingredients | {"settings": settings})  # with all settings, so that no other curve changes this one
    ingredients["settings"] = cell.settings.for_training().model_dump(mode="json")
    neighbour = previous.get(curve) if warm_start else None
    if neighbour is not None:
        ingredients["neighbour"] = neighbour
    key = key_of(ingredients)
    previous[curve] = key
    return Training(cell, key, ingredients, neighbour)

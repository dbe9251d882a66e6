"""``splitbench migrate``: bring a run of an earlier version up to date, without measuring or training again.

Words that were renamed since (:mod:`splitbench.bench.sweep.renamed`) get their new names in tables, reports and
learning curves. Settings and backbones' names are a part of keys, so files are renamed to today's keys, by which the
next run finds them. Files whose content does not hash to their key are left alone.

A migration that was killed is finished by the same command: all keys are computed first, trainings are renamed last,
and each before the one that it started from, so that what keys derive from exists until the end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitbench.bench.results.store import Store
from splitbench.bench.results.validation import is_plan
from splitbench.bench.run.planning.keys import key_of
from splitbench.bench.sweep.renamed import RENAMED, renamed
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import file_word, read_json, write_whole


@dataclass(frozen=True)
class MigrationResult:
    """Numbers of trainings and cells with new keys, and of learning curves that moved."""

    trainings: int
    cells: int
    curves: int


def migrate(run: Path) -> MigrationResult:
    """Bring a run's folder up to date and rebuild its ``cells.csv``.

    Raises:
        UserError: The folder holds no run, another run writes to it, or it cannot be written.
    """
    store, plan = Store(run), read_json(run / "plan.json")
    if not is_plan(plan):
        raise UserError(f"{run} holds no run: plan.json is missing or damaged")
    try:
        with store.held():
            trainings = training_keys(run / "trainings")
            cells = _cell_keys(store, trainings)
            store.replace_plan([_plan_row(row, cells) for row in plan])
            for old, new in cells.items():
                _migrate_cell(store, old, new, trainings)
            curves = _migrate_curves(run / "learning")
            migrate_trainings(run / "trainings", trainings)
            store.collect()
    except OSError as error:
        raise UserError(f"cannot migrate {run}: {error.strerror}") from None
    return MigrationResult(len(trainings), len(cells), curves)


def training_keys(folder: Path) -> dict[str, str]:
    """Return the old key and the new one of each training whose key changes, after the one that it started from."""
    ingredients = {}
    for path in sorted(folder.glob("*.json")):
        report = read_json(path)
        if isinstance(report, dict) and _is_key(path.stem, report.get("ingredients")):
            ingredients[path.stem] = report["ingredients"]
    keys: dict[str, str] = {}

    def visit(old: str) -> None:
        if old in ingredients and old not in keys:
            visit(ingredients[old].get("neighbour", ""))
            keys[old] = key_of(_updated(ingredients[old], keys))

    for old in ingredients:
        visit(old)
    return {old: new for old, new in keys.items() if old != new}


def migrate_trainings(folder: Path, keys: Mapping[str, str]) -> None:
    """Rename trained weights and their reports from old keys to new ones, as :func:`training_keys` returns them."""
    for old, new in reversed([*keys.items()]):
        report = json.loads((folder / f"{old}.json").read_text(encoding="utf-8"))
        report["ingredients"] = _updated(report["ingredients"], keys)
        report["cell"] = _title(str(report.get("cell", "")), report["ingredients"]["method"])
        report["neighbour"] = report["ingredients"].get("neighbour")
        write_whole(folder / f"{new}.json", json.dumps(report, indent=1).encode())
        for path in folder.glob(f"{old}.safetensors*"):
            path.replace(folder / path.name.replace(old, new))
        (folder / f"{old}.json").unlink()


def _cell_keys(store: Store, trainings: Mapping[str, str]) -> dict[str, str]:
    keys = {}
    for path in sorted((store.folder / "cells").glob("*.json")):
        content = store.cell(path.stem)
        if content is not None and _is_key(path.stem, content["settings"]):
            keys[path.stem] = key_of(_updated(content["settings"], trainings))
    return {old: new for old, new in keys.items() if old != new}


def _migrate_cell(store: Store, old: str, new: str, trainings: Mapping[str, str]) -> None:
    content = json.loads((store.folder / "cells" / f"{old}.json").read_text(encoding="utf-8"))
    content |= {"key": new, "settings": _updated(content["settings"], trainings)}
    content["columns"]["variant"] = _variant(str(content["columns"].get("variant", "")), content["settings"]["method"])
    if training := content["columns"].get("training"):
        content["columns"]["training"] = trainings.get(training, training)
    records = store.folder / "records" / f"{old}.npz"
    if records.is_file():  # before the cell, which never exists without them
        records.replace(records.with_name(f"{new}.npz"))
    write_whole(store.folder / "cells" / f"{new}.json", json.dumps(content, indent=1).encode())
    (store.folder / "cells" / f"{old}.json").unlink()


def _plan_row(row: Mapping[str, Any], cells: Mapping[str, str]) -> dict[str, Any]:
    names = {kind: renamed(kind, row[kind]) for kind in ("dataset", "backbone")}
    return dict(row) | names | {"key": cells.get(row["key"], row["key"])}


def _migrate_curves(folder: Path) -> int:
    """Move learning curves to the folders of today's names, and return how many moved."""
    backbones = {file_word(old): file_word(new) for old, new in RENAMED["backbone"].items()}
    moved = 0
    for path in sorted(folder.glob("*/*/*/*/*/*.csv")):
        dataset, backbone, split, method, variant, name = path.relative_to(folder).parts
        dataset, backbone = renamed("dataset", dataset), backbones.get(backbone, backbone)
        new = folder.joinpath(dataset, backbone, split, method, _variant(variant, method, "+"), name)
        if new != path:
            new.parent.mkdir(parents=True, exist_ok=True)
            path.replace(new)
            moved += 1
    for path in sorted(folder.rglob("*"), reverse=True):  # a folder comes after what is in it
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return moved


def _updated(ingredients: Mapping[str, Any], trainings: Mapping[str, str]) -> dict[str, Any]:
    """Return what a key is made of by today's names; ``trainings`` maps old keys to new ones."""
    kind, backbone = f"setting of {ingredients['method']}", ingredients["backbone"]
    new = dict(ingredients) | {"backbone": renamed("backbone", backbone)}
    new["settings"] = {renamed(kind, word): value for word, value in ingredients["settings"].items()}
    if new["backbone"] != backbone:
        new.pop("code", None)  # registered networks have a version in its place, and 1 is what these always computed
    return new | {name: trainings.get(new[name], new[name]) for name in ("neighbour", "training") if name in new}


def _variant(variant: str, method: str, separator: str = " ") -> str:
    """Return settings as tables write them, ``stride=1 share=0.02``, by today's names."""
    settings = (word.partition("=") for word in variant.split(separator))
    kind = f"setting of {method}"
    return separator.join(f"{renamed(kind, name)}{sign}{value}" for name, sign, value in settings)


def _title(cell: str, method: str) -> str:
    """Return a cell as messages write it, ``embedded resnet20 layer2 retrained share=0.1``, by today's names."""
    dataset, _, rest = cell.partition(" ")
    backbone, _, rest = rest.partition(" ")
    return " ".join([renamed("dataset", dataset), renamed("backbone", backbone), _variant(rest, method)])


def _is_key(key: str, ingredients: Any) -> bool:
    """Return whether ``key`` is the hash of these ingredients, and they are a cell's or a training's."""
    return (
        isinstance(ingredients, dict)
        and isinstance(ingredients.get("settings"), dict)
        and all(isinstance(ingredients.get(name), str) for name in ("backbone", "method"))
        and all(isinstance(ingredients.get(name, ""), str) for name in ("neighbour", "training"))
        and key_of(ingredients) == key
    )

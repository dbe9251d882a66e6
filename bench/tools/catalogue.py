"""What a sweep can name, as rows: backbones, split points, methods, datasets and bundled sweeps.

All but split points are listed without importing torch, as long as the files of all plugins can be imported.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from splitbench.bench.backbones import backbone_names
from splitbench.bench.sweep.configs import SWEEPS, title
from splitbench.bench.utils.errors import UserError, nearest
from splitbench.bench.utils.plugins import DATASETS, METHODS

Entry = Mapping[str, Any]
"""One of the things that are listed: its ``name``, and what is known of it."""

_OF_METHODS = ("knob", "tasks", "summary")


def matching(rows: Sequence[Entry], pattern: str | None, kind: str) -> Sequence[Entry]:
    """Return the rows whose name matches a shell pattern, whole or behind its source: ``vit_tiny*``.

    Args:
        rows: What there is.
        pattern: The pattern; all rows for None.
        kind: What one of the rows is called, for the message.

    Raises:
        UserError: No name matches.
    """
    if pattern is None:
        return rows
    short = {str(row["name"]): str(row["name"]).rpartition("/")[2] for row in rows}
    chosen = {name for name in short if fnmatchcase(name, pattern) or fnmatchcase(short[name], pattern)}
    if not chosen:
        close = nearest(pattern.strip("*"), [*short, *short.values()])
        raise UserError(f"no {kind} matches {pattern!r}{close} (patterns are a shell's, in quotes: '*net*')")
    return [row for row in rows if row["name"] in chosen]


def methods() -> list[Entry]:
    """Return the methods, each with its ``knob``, ``tasks`` and ``summary``, or the ``error`` of importing it."""
    rows: list[Entry] = []
    for name in METHODS.names():
        source = METHODS.source(name)
        if source.importable and source.constants.keys() >= {*_OF_METHODS}:
            rows.append({"name": name} | {column: source.constants[column] for column in _OF_METHODS})
        else:
            rows.append({"name": name} | _or_error(partial(_method, name)))
    return rows


def datasets() -> list[Entry]:
    """Return the datasets, each with its ``task`` and ``summary``, or the ``error`` of importing it."""
    rows: list[Entry] = []
    for name in DATASETS.names():
        source = DATASETS.source(name)
        if source.importable and "task" in source.constants:
            rows.append({"name": name, "task": source.constants["task"], "summary": source.summary})
        else:
            rows.append({"name": name} | _or_error(partial(_dataset, name)))
    return rows


def sweeps() -> list[Entry]:
    """Return the bundled sweeps with their titles."""
    return [{"name": name, "title": title(SWEEPS.get(name))} for name in SWEEPS.names()]


def backbones() -> list[Entry]:
    """Return the backbones by name, each with its ``task``."""
    return [{"name": name, "task": task} for name, task in backbone_names.tasks().items()]


def splits(backbone: str) -> list[Entry]:
    """Return a backbone's split points in order, with what crosses and what each side computes and stores."""
    from splitbench.bench.tools.splits.listing import format_shapes, points_of

    columns = "elements", "bytes", "macs_head", "macs_tail", "parameters_head", "parameters_tail"
    return [
        {"name": point.name, "crosses": format_shapes(point)} | _attributes(point, columns)
        for point in points_of(backbone)
    ]


def _attributes(thing: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in names}


def _method(name: str) -> dict[str, Any]:
    return _attributes(METHODS.get(name), _OF_METHODS)


def _dataset(name: str) -> dict[str, Any]:
    kind = DATASETS.get(name)
    return {"task": kind.task, "summary": (vars(type(kind)).get("__doc__") or "").partition("\n")[0]}


def _or_error(describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return describe()
    except UserError as error:
        return {"error": str(error)}

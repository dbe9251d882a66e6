"""What may be set where: the fields of the models that check sweep files, with types and defaults, to print."""

import inspect
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.utils.validation_errors import find_model

if TYPE_CHECKING:
    from splitbench.datasets.base import DatasetKind
    from splitbench.methods.base import Method

NO_DEFAULT = "no default"

_WIDTH = 116
_TYPES = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "keys with values",
    "string": "text",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


class Key(NamedTuple):
    """A key of a sweep file, with its type in words and its default as it is written in YAML."""

    name: str
    type: str
    default: str


def of_method(name: str, method: "Method") -> Iterator[str]:
    """Yield lines on a method and its settings."""
    yield f"{name}: {method.summary}"
    yield f"for {' and '.join(method.tasks)}; `{method.knob}` sets the rate, by default each of {_plain(method.rates)}"
    if method.only_at is not None:
        yield f"always at the split point `{method.only_at}`"
    yield from _of(method.Settings)


def of_dataset(name: str, kind: "DatasetKind") -> Iterator[str]:
    """Yield lines on a dataset and its options."""
    yield f"{name}: {summary(kind)}"
    yield from _of(kind.Options)


def summary(kind: "DatasetKind") -> str:
    """Describe a dataset in a line."""
    said = (vars(type(kind)).get("__doc__") or "").partition("\n")[0]
    return f"for {kind.task}; {said[:1].lower()}{said[1:].removesuffix('.')}".removesuffix("; ")


def of_sweeps() -> Iterator[str]:
    """Yield lines on all keys of a sweep file, and those of its parts."""
    yield "A sweep file (datasets' options: `splitbench datasets NAME`; methods' settings: `splitbench methods NAME`)"
    for place, model in sweep_parts().items():
        if place:
            yield ""
            yield place
        yield from _of(model)


def sweep_parts() -> dict[str, type[BaseModel]]:
    """Return the models that check a sweep file, by their place in it: the whole file's is the empty text."""
    from splitbench.bench.backbones.preprocessing import Preprocessing

    return {"": Sweep} | dict(_parts(Sweep, "")) | {"preprocessing, of a backbone or a dataset": Preprocessing}


def _parts(model: type[BaseModel], place: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        part = find_model(field.annotation)
        if part is not None:
            where = f"{place}{name}"
            yield where, part
            yield from _parts(part, f"{where}: ")


def _of(model: type[BaseModel]) -> Iterator[str]:
    """Yield the docstrings of a model and of those that it extends, and its fields, one per line."""
    for paragraph in paragraphs(model):
        yield from textwrap.wrap(paragraph, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    for key in keys(model):
        yield f"    {key.name:18} {key.type:50} {key.default}"


def paragraphs(model: type[BaseModel]) -> Iterator[str]:
    """Yield the paragraphs of the docstrings of a model and of those that it extends."""
    for base in reversed(model.__mro__):
        doc = vars(base).get("__doc__")
        if doc and issubclass(base, BaseModel) and base.model_fields:
            yield from inspect.cleandoc(doc).replace("``", "`").split("\n\n")


def keys(model: type[BaseModel]) -> Iterator[Key]:
    """Yield the fields of a model."""
    schema = model.model_json_schema()
    for name, field in schema.get("properties", {}).items():
        default = NO_DEFAULT if name in schema.get("required", ()) else _plain(field["default"])
        yield Key(name, _type(field, schema), default)


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Format a type of JSON's schemas in words: ``whole number at least 1, or null``."""
    if "$ref" in field:
        return _type(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in field:
        return ", or ".join(_type(choice, schema) for choice in field["anyOf"])
    if "enum" in field or "const" in field:
        return " | ".join(map(_plain, field.get("enum", [field.get("const")])))
    word = "path" if field.get("format") == "path" else _TYPES.get(field.get("type", ""), "anything")
    if word == "list" and "items" in field:
        least = f" {field['minItems']} or more" if "minItems" in field else ""
        word = f"list of{least}: {_type(field['items'], schema)}"
    elif word == "list" and "prefixItems" in field:
        word = f"list of {len(field['prefixItems'])}: {_type(field['prefixItems'][0], schema)}"
    bounds = [f"{said} {field[key]}" for key, said in _BOUNDS.items() if key in field]
    return " ".join([word, " and ".join(bounds)]).strip()


def _plain(value: Any) -> str:
    """Format a value as it is written in YAML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "''" if value == "" else str(value)

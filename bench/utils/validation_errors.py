"""Formats pydantic's validation errors as sentences: the place, what was expected, and the nearest valid name."""

from reprlib import Repr
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from splitbench.bench.utils.errors import nearest

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlevel = 2
shorten = _SHORT.repr
"""The representation of a value, shortened: a YAML file of a few lines can expand to terabytes (aliases)."""


def format_validation_error(error: ValidationError, place: str, schema: type[BaseModel], *more: type[BaseModel]) -> str:
    """Format a validation error, one line per fault and at most five.

    Args:
        error: the error.
        place: what was being read, such as a file's name.
        schema: the model that refused the input.
        more: further models whose keys are valid in the same place.
    """
    faults = error.errors()
    lines = [_sentence(fault, place, schema, more) for fault in faults[:5]]
    if len(faults) > 5:
        lines.append(f"{place}: and {len(faults) - 5} more")
    return "\n".join(lines)


def _sentence(fault: Any, place: str, schema: type[BaseModel], more: tuple[type[BaseModel], ...]) -> str:
    keys = [str(part) for part in fault["loc"]]
    where = f"{place}: {'.'.join(keys)}" if keys else place
    if fault["type"] == "extra_forbidden":
        valid = [*_at(schema, keys[:-1]).model_fields, *(name for model in more for name in model.model_fields)]
        return f"{where}: unknown key{nearest(keys[-1], valid)} (valid: {', '.join(valid)})"
    if fault["type"] == "missing":
        return f"{where}: missing"
    if fault["type"] == "literal_error":
        valid = [word.strip(" '") for word in fault["ctx"]["expected"].replace(" or ", ", ").split(",")]
        value = shorten(fault["input"])
        return f"{where}: expected {fault['ctx']['expected']}, not {value}{nearest(value, valid)}"
    if fault["type"] in ("list_type", "model_type"):
        return f"{where}: expected {_example(fault, _at(schema, keys))}, not {shorten(fault['input'])}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{where}: {message}"
    return f"{where}: {message[0].lower()}{message[1:]}, not {shorten(fault['input'])}"


def _example(fault: Any, model: type[BaseModel]) -> str:
    """Return an example of the list or mapping expected, with the given value as its name."""
    named = "name" in model.model_fields
    name = fault["input"] if isinstance(fault["input"], str) and len(fault["input"]) < 50 else "..."
    entry = f"{{name: {name}}}" if named else "..."
    return f"a list, as in `[{entry}]`" if fault["type"] == "list_type" else f"keys with values, as in `{entry}`"


def _at(schema: type[BaseModel], keys: list[str]) -> type[BaseModel]:
    """Return the model that a path of keys leads to; indices into lists are skipped."""
    for key in keys:
        if key in schema.model_fields:
            schema = find_model(schema.model_fields[key].annotation) or schema
    return schema


def find_model(annotation: Any) -> type[BaseModel] | None:
    """Return the first model in a type annotation, however nested."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := find_model(part)) is not None), None)

"""The site's reference pages, made from the code that checks sweeps, writes tables and parses commands.

Each function returns a page in Markdown. What they say cannot differ from what the code does.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel

import splitbench
from splitbench.bench.analysis.table_columns import INTERVALS, TABLES
from splitbench.bench.cli.main import app
from splitbench.bench.sweep import configs, key_help
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import DATASETS, METHODS


def sweep_keys() -> str:
    """Return the page on the keys of a sweep file."""
    lines = [
        "# Keys of a sweep file",
        "`splitbench keys` prints this page. Datasets take their options, and methods their settings, beside these "
        "keys: see [datasets](datasets.md) and [methods](methods.md).",
    ]
    for place, model in key_help.sweep_parts().items():
        lines += [f"## {place or 'The whole file'}", *_keys(model)]
    return _page(lines)


def methods() -> str:
    """Return the page on the methods and their settings."""
    lines = [
        "# Methods and their settings",
        "`splitbench methods NAME` prints these. What each sends, trains and stores, and where it comes from, is in "
        "[Methods](../methods.md).",
    ]
    for name in METHODS.names():
        lines += [f"## {name}"]
        try:
            method = METHODS.get(name)
        except UserError as error:
            lines += [f"Not in the environment that made this page: {error}"]
            continue
        where = f", always at the split point `{method.only_at}`" if method.only_at else ""
        rates = ", ".join(f"`{rate}`" for rate in method.rates)
        lines += [
            f"{_sentence(method.summary)} For {' and '.join(method.tasks)}{where}. `{method.knob}` sets the rate, by "
            f"default each of {rates}. Version {method.version}.",
            *_keys(method.Settings),
        ]
    return _page(lines)


def datasets() -> str:
    """Return the page on the datasets and their options."""
    lines = ["# Datasets and their options", "`splitbench datasets NAME` prints these."]
    for name in DATASETS.names():
        kind = DATASETS.get(name)
        lines += [f"## {name}", _sentence(key_help.summary(kind)), *_keys(kind.Options)]
    return _page(lines)


def sweeps() -> str:
    """Return the page on the bundled sweeps, files included."""
    lines = ["# Bundled sweeps", "`splitbench sweeps` lists them, and `splitbench run NAME` runs one."]
    for name in configs.SWEEPS.names():
        path = configs.SWEEPS.get(name)
        lines += [f"## {name}", f"```yaml\n{path.read_text(encoding='utf-8').rstrip()}\n```"]
    return _page(lines)


def columns() -> str:
    """Return the page on the columns of all tables."""
    lines = [
        "# Columns of the tables",
        "`splitbench columns`, `splitbench columns TABLE` and `splitbench columns COLUMN` print these. How the "
        "numbers are measured is in [How each number is measured](../measuring.md).",
    ]
    for table, described in TABLES.items():
        rows = [(f"`{column.name}`", column.unit, column.meaning) for column in described]
        lines += [f"## {table}", _table(("column", "unit", "meaning"), rows)]
    lines += ["## Intervals and tests", *(f"- {text}" for text in INTERVALS)]
    return _page(lines)


def command_line() -> str:
    """Return the page on all commands, with arguments and options."""
    lines = ["# Command line", "`splitbench COMMAND --help` prints these."]
    if app.registered_callback and app.registered_callback.callback:
        lines += [_help(app.registered_callback.callback)]
    return _page([*lines, *_commands(app, "splitbench")])


def api() -> str:
    """Return the page on the Python API, whose text Sphinx takes from the docstrings."""
    lines = [
        "# Python API",
        "`import splitbench` gives these; [From Python](../python.md) shows how they go together.",
        "## splitbench",
    ]
    for name in sorted(splitbench.__all__, key=str.lower):
        value = getattr(splitbench, name)
        if inspect.isclass(value):
            lines += [_directive("autoclass", f"splitbench.{name}", ":members:", ":special-members: __call__")]
        elif callable(value):
            lines += [_directive("autofunction", f"splitbench.{name}")]
    lines += [
        "## What a method is",
        "A method of your own implements `Method`; [Add a method](../add-a-method.md) shows one.",
        _directive("automodule", "splitbench.methods.base", ":members:"),
        "## What a dataset is",
        _directive("automodule", "splitbench.datasets.base", ":members:"),
        "## Errors",
        _directive("autoclass", "splitbench.bench.utils.errors.UserError"),
    ]
    return _page(lines)


PAGES = {
    "sweep-keys": sweep_keys,
    "methods": methods,
    "datasets": datasets,
    "sweeps": sweeps,
    "columns": columns,
    "command-line": command_line,
    "api": api,
}
"""The pages' names and what makes them."""


def _commands(group: typer.Typer, words: str) -> Iterator[str]:
    """Yield sections for all commands of a group and of those in it."""
    for command in group.registered_commands:
        if command.callback is not None and not command.hidden:
            name = command.name or command.callback.__name__.replace("_", "-")
            yield f"## {words} {name}"
            yield _help(command.callback)
            rows = list(_parameters(command.callback))
            if rows:
                yield _table(("argument or option", "value", "meaning", "default"), rows)
    for below in group.registered_groups:
        if below.typer_instance is not None:
            yield from _commands(below.typer_instance, f"{words} {below.name}" if below.name else words)


def _parameters(callback: Callable[..., object]) -> Iterator[tuple[str, ...]]:
    """Yield name, value, meaning and default of each argument and option of a command."""
    hints = get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        annotation, info = get_args(hints[name])[:2]
        if info.hidden:
            continue
        # In Annotated, Typer's first argument is a name, although it is called `default`.
        declared = [word for word in (info.default, *(info.param_decls or ())) if str(word).startswith("-")]
        is_option = isinstance(info, typer.models.OptionInfo)
        words = declared or [f"--{name.replace('_', '-')}"] if is_option else [name]
        default = parameter.default
        if default is inspect.Parameter.empty:
            shown = "required"
        else:
            shown = "" if default is None or default is False or default == "" else f"`{default}`"
        yield ", ".join(f"`{word}`" for word in words), _value(annotation), info.help or "", shown


def _value(annotation: Any) -> str:
    """Return in a word or two what a parameter of this type takes; nothing for a switch."""
    choices = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in choices)
    if get_origin(annotation) is list:
        return f"{_value(choices[0])}, repeatable"
    if choices:
        return _value(choices[0])
    words = {bool: "", int: "whole number", float: "number", str: "text", Path: "path"}
    return words.get(annotation, getattr(annotation, "__name__", ""))


def _help(callback: Callable[..., object]) -> str:
    text = inspect.cleandoc(callback.__doc__ or "").partition("\f")[0]
    return re.sub(r"\x08\n(.*?)(?=\n\n|$)", r"```\n\1\n```", text, flags=re.DOTALL)  # what Typer does not wrap


def _keys(model: type[BaseModel]) -> Iterator[str]:
    yield from key_help.paragraphs(model)
    rows = [
        (f"`{key.name}`", key.type, key.default if key.default == key_help.NO_DEFAULT else f"`{key.default}`")
        for key in key_help.keys(model)
    ]
    if rows:
        yield _table(("key", "type", "default"), rows)


def _directive(kind: str, name: str, *options: str) -> str:
    return "\n".join(["```{eval-rst}", f".. {kind}:: {name}", *(f"   {option}" for option in options), "```"])


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in cells
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].removesuffix(".") + "."


def _page(lines: Iterable[str]) -> str:
    return "\n\n".join(lines) + "\n"

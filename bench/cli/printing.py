"""Rows on the screen: aligned columns for people, JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def print_json(content: Any) -> None:
    """Print JSON; what it has no type for is printed as text."""
    print(json.dumps(content, indent=1, default=str, ensure_ascii=False))


def print_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool, *, titled: bool = False
) -> None:
    """Print the columns of rows, below their titles if wanted; of a row with an ``error`` the error; or all as JSON."""
    if as_json:
        print_json(list(rows))
        return
    titles = [dict(zip(columns, columns, strict=True))] if titled else []
    rows = [*titles, *rows]
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row, texts in zip(rows, cells, strict=True):
        line = "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()
        print(f"{line}  not here: {row['error']}" if "error" in row else line)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)

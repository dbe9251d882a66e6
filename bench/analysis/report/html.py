"""Pieces of HTML: text, lists, tables that can be sorted and filtered, and pictures inside the page."""

import base64
import html
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from splitbench.bench.analysis.table_formats import format_number

FILTERED_FROM = 8
"""Tables of so many rows have a field to filter them."""

_LONG = 30
"""Letters from which a cell's words wrap."""
_PIXELS_PER_POINT = 1.9


def text(words: object) -> str:
    """Any text, with what HTML would take for markup escaped; a percent sign stays with its number."""
    return html.escape(str(words)).replace(" %", "\u00a0%")


def paragraph(words: str) -> str:
    """A paragraph that begins with a capital letter."""
    return f"<p>{text(words[:1].upper() + words[1:])}</p>"


def listing(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    return "<ul>\n" + "\n".join(f"<li>{text(one)}</li>" for one in sentences) + "\n</ul>"


def table(frame: pd.DataFrame, caption: str) -> str:
    """A table whose columns sort by a click; numbers to the right, at their full value for sorting.

    Where all rows are of one dataset and backbone, the caption names them and the columns are gone.
    """
    where = [name for name in ("backbone", "dataset") if name in frame and frame[name].nunique() == 1]
    if len(where) == 2:
        caption += f"; {' on '.join(str(frame[name].iloc[0]) for name in where)}"
        frame = frame.drop(columns=where)
    numeric = [bool(pd.api.types.is_numeric_dtype(frame[name])) for name in frame]
    head = "".join(
        f'<th scope="col"{_right(right)}><button type="button">{text(name)}</button></th>'
        for name, right in zip(frame, numeric, strict=True)
    )
    columns = [[_cell(value, right) for value in frame[name]] for name, right in zip(frame, numeric, strict=True)]
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns, strict=True))
    field = f'<input type="search" class="filter" placeholder="show only rows with ..." aria-label="{text(caption)}">'
    field = field if len(frame) >= FILTERED_FROM else ""
    rows = f"{len(frame)} row{'s' * (len(frame) != 1)}"
    return (
        f'<div class="table"><p class="caption">{text(caption)} ({rows})</p>{field}<div class="scroll">'
        f'<table aria-label="{text(caption)}">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div></div>"
    )


def folded(title: str, content: str) -> str:
    """A part of the page that opens by a click."""
    return f"<details><summary>{text(title)}</summary>\n{content}\n</details>"


def picture(svg: Path, png: Path, words: str) -> str:
    """A picture inside the page: the smaller one of its two files, as wide as the SVG says, times about two.

    Args:
        svg: the picture as matplotlib writes it.
        png: the same picture.
        words: what it shows, for those who cannot see it.
    """
    file, kind = min((svg, "svg+xml"), (png, "png"), key=lambda one: one[0].stat().st_size)
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    points = re.search(r'<svg[^>]* width="([0-9.]+)pt"', svg.read_text(encoding="utf-8"))
    width = f' width="{_PIXELS_PER_POINT * float(points[1]):.0f}"' if points else ""
    return f'<figure><img alt="{text(words)}"{width} src="data:image/{kind};base64,{data}"></figure>'


def _cell(value: object, right: bool) -> str:
    if not right:
        return f'<td class="long">{text(value)}</td>' if len(str(value)) > _LONG else f"<td>{text(value)}</td>"
    number = float(str(value))
    return (
        '<td class="right"></td>'
        if number != number
        else f'<td class="right" data-n="{number:.7g}">{format_number(number)}</td>'
    )


def _right(right: bool) -> str:
    return ' class="right"' if right else ""

"""The tables and pictures of the report, prepared for its templates."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.table_formats import format_number, is_numeric

_FILTERED_FROM = 8
"""Rows from which on a table has a field to filter them."""
_UPRIGHT = 11
"""Columns that a page upright has room for."""
_LONG = 30
"""Letters from which on a cell's text wraps."""
_PIXELS_PER_POINT = 1.9


class TableCell(NamedTuple):
    """A cell's text; ``number`` is its value for sorting where it holds one."""

    text: str
    style: str
    number: str


@dataclass(frozen=True)
class Table:
    """A table whose columns sort by a click, with a field to filter its rows where there are many."""

    title: str
    caption: str
    columns: list[tuple[str, str]]
    rows: list[tuple[TableCell, ...]]

    @property
    def wide(self) -> bool:
        """Whether there are too many columns for a page upright."""
        return len(self.columns) > _UPRIGHT

    @property
    def filtered(self) -> bool:
        """Whether there are enough rows to filter."""
        return len(self.rows) >= _FILTERED_FROM


class EmbeddedPicture(NamedTuple):
    """A picture and one for phones, as data URIs, with a description for screen readers.

    ``narrow`` is empty where the one picture is for both; ``width`` is in pixels, where it is known.
    """

    source: str
    narrow: str
    width: int | None
    description: str


def make_table(frame: pd.DataFrame, title: str) -> Table:
    """Prepare a table; where all rows are of one dataset and backbone, the caption names them instead of columns."""
    caption = title
    place = [name for name in ("backbone", "dataset") if name in frame and frame[name].nunique() == 1]
    if len(place) == 2:
        where = " on ".join(str(frame[name].iloc[0]) for name in place)
        caption = title if where in title else f"{title}; {where}"
        frame = frame.drop(columns=place)
    numeric = is_numeric(frame)
    columns = [(str(name), "right" if number else "") for name, number in zip(frame, numeric, strict=True)]
    cells = [
        [_number_cell(float(value)) if number else _text_cell(str(value)) for value in frame[name]]
        for name, number in zip(frame, numeric, strict=True)
    ]
    return Table(title, caption, columns, list(zip(*cells, strict=True)))


def _number_cell(number: float) -> TableCell:
    return TableCell(format_number(number), "right", "" if number != number else f"{number:.7g}")


def _text_cell(text: str) -> TableCell:
    return TableCell(text, "long" if len(text) > _LONG else "", "")


def make_pictures(files: Iterable[Path], narrow: Path | None = None) -> list[EmbeddedPicture]:
    """Embed figures given as SVG, each as this or as the PNG beside it, whichever is smaller.

    Args:
        files: the figures; other files are passed over.
        narrow: a folder with figures of the same names for phones.
    """
    return [_make_picture(file, narrow) for file in files if file.suffix == ".svg"]


def _make_picture(svg: Path, narrow: Path | None) -> EmbeddedPicture:
    width, other = _width(svg), None if narrow is None else narrow / svg.name
    slim = _as_uri(other) if other is not None and other.is_file() and (_width(other) or 0) < (width or 0) else ""
    kind_of_figure, _, place = svg.stem.partition("_")
    description = f"{kind_of_figure.replace('-', ' ')}: {place.replace('--', '/')}"
    return EmbeddedPicture(_as_uri(svg), slim, width, description)


def _as_uri(svg: Path) -> str:
    png = svg.with_suffix(".png")
    file, kind = min((svg, "svg+xml"), (png, "png"), key=lambda pair: pair[0].stat().st_size)
    return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"


def _width(svg: Path) -> int | None:
    """Return how many pixels of a screen a figure is wide, if it says so."""
    points = re.search(r'<svg[^>]* width="([0-9.]+)pt"', svg.read_text(encoding="utf-8"))
    return round(_PIXELS_PER_POINT * float(points[1])) if points else None

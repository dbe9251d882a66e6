"""Published rate points of other systems, drawn in grey beside measured ones: bundled ones, and a user's.

The bundled ones are digitised from their authors' figures. A user's lie in a CSV of the same columns.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from splitbench.bench.utils.errors import UserError

NEAR = 3.0
"""The largest difference of baselines, in points, at which published points are drawn; beyond, they would mislead."""


COLUMNS = ("system", "mark", "task", "backbone", "split", "dataset", "baseline", "bytes", "accuracy", "by", "source")
"""The columns of a table of published points; ``mark`` is the letter that a system is drawn as."""

_NUMBERS = ("baseline", "bytes", "accuracy")
_TABLE = "published"


@cache
def load() -> pd.DataFrame:
    """Return the bundled points: system, split (empty: its own), bytes per image, accuracy in %, source etc."""
    with files("splitbench.bench.analysis.figures").joinpath("published.csv").open(encoding="utf-8") as stream:
        return _read(stream, "published.csv")


def read(file: Path) -> pd.DataFrame:
    """Read a user's published points, a CSV with the columns :data:`COLUMNS`.

    Raises:
        UserError: the file cannot be read, or is not a table of published points.
    """
    try:
        with file.expanduser().open(encoding="utf-8") as stream:
            return _read(stream, str(file))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None


def add(frame: pd.DataFrame, table: pd.DataFrame) -> None:
    """Put a user's published points beside a table's rows, for its figures and report, with the bundled ones.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        table: as :func:`read` returns it.
    """
    frame.attrs[_TABLE] = table.to_dict("list")


def of_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the bundled points and those that :func:`add` put beside a table."""
    given = frame.attrs.get(_TABLE)
    return load() if given is None else pd.concat([load(), pd.DataFrame(given)], ignore_index=True)


def _read(stream: IO[str], name: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(stream, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError):  # pandas' own errors are ValueErrors
        raise UserError(f"{name} is not a table of comma-separated values") from None
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise UserError(f"{name} is no table of published points: it lacks the columns {', '.join(missing)}")
    for column in _NUMBERS:
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = table.loc[~np.isfinite(numbers) | (numbers <= 0), column]
        if len(wrong):
            raise UserError(f"{name}: {column} holds {wrong.iloc[0]!r} where a number above 0 is expected")
        table[column] = numbers
    if len(wrong := table.loc[table["mark"].str.len() != 1, "mark"]):
        raise UserError(f"{name}: mark holds {wrong.iloc[0]!r} where a single letter is expected")
    return table


def beside(rows: pd.DataFrame, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the published points of the same network and task whose baseline is close to that of some results.

    Args:
        rows: results of one dataset and backbone.
        table: the published points; by default the bundled ones.
    """
    first = rows.iloc[0]
    network = str(first["backbone"]).rsplit("/", 1)[-1].split(".", 1)[0]
    table = load() if table is None else table
    alike = (table["baseline"] - first["baseline"]).abs() <= NEAR
    fits: pd.DataFrame = table[(table["backbone"] == network) & (table["task"] == first["task"]) & alike]
    return fits


def cited(table: pd.DataFrame) -> str:
    """Return a heading that names the sources of published points and the images they are over."""
    whose, where = (" and ".join(dict.fromkeys(table[name].map(str))) for name in ("by", "dataset"))
    how = "digitised from figures of" if table["source"].str.startswith("digitised from").all() else "by"
    return f"published, {how} {whose}, over all of {where}:"

"""Per-image records of cells that are already in a table: read from beside the run's ``cells.csv``."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from splitbench.bench.metrics.records import Records
from splitbench.bench.results.table import Row


def recorded(row: Row, names: Iterable[str]) -> Records | None:
    """Some records of one cell, or None where its run's folder does not hold all of them (a CSV that was moved, say).

    Args:
        row: a row of :func:`splitbench.bench.results.table.read`.
        names: records, as :class:`splitbench.bench.results.store.Store` keeps them; only these are read.
    """
    try:
        with np.load(_file(row), allow_pickle=False) as kept:
            return {name: kept[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def without_records(frame: pd.DataFrame) -> list[str]:
    """The tables (``source``) none of whose cells has records beside it."""
    good = frame[frame["status"] == "ok"]
    return [
        str(source)
        for source, rows in good.groupby("source", sort=True)
        if not any(_file(row).is_file() for _, row in rows.iterrows())
    ]


def _file(row: Row) -> Path:
    return Path(str(row["source"])).parent / "records" / f"{row['key']}.npz"

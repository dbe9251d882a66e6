"""Per-image records of a table's cells, read from the folder ``records`` beside their run's ``cells.csv``."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from splitbench.bench.metrics.records import Records
from splitbench.bench.results.names import Row

_ROUNDED = 1e-6
"""Tables hold numbers to seven digits."""


def read_records(row: Row, names: Iterable[str]) -> Records | None:
    """Read some of a cell's records.

    None where its run's folder lacks any of them (the CSV was moved, say), or has those of another result: their bytes
    have another mean than the row.

    Args:
        row: a row of :func:`splitbench.bench.results.table.read`.
        names: the records to read, as :class:`splitbench.bench.results.store.Store` names them.
    """
    try:
        with np.load(_path(row), allow_pickle=False) as archive:
            if "bytes" in archive and not np.isclose(archive["bytes"].mean(), row["bytes_mean"], rtol=_ROUNDED):
                return None
            return {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def tables_without_records(frame: pd.DataFrame) -> list[str]:
    """Return the tables (``source``) of which no cell has records."""
    good = frame[frame["status"] == "ok"]
    return [
        str(source)
        for source, rows in good.groupby("source", sort=True)
        if not any(_path(row).is_file() for _, row in rows.iterrows())
    ]


def _path(row: Row) -> Path:
    return Path(str(row["source"])).parent / "records" / f"{row['key']}.npz"

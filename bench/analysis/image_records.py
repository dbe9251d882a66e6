"""Per-image records of a table's cells, read from the folder ``records`` beside their run's ``cells.csv``."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from splitbench.bench.metrics.records import Records
from splitbench.bench.results import archive
from splitbench.bench.results.names import Row

_ROUNDED = 1e-6
"""Tables hold numbers to seven digits."""
_MOST_BYTES = 2**31
_ONE_PER_IMAGE = frozenset({"image", "bytes", "top1", "baseline_top1"})


def read_records(row: Row, names: Iterable[str]) -> Records | None:
    """Read some of a cell's records.

    None where its run's folder lacks any of them (the CSV was moved, say), where they are damaged, or where they are of
    another result: their bytes have another mean than the row.

    Args:
        row: a row of :func:`splitbench.bench.results.table.read`.
        names: the records to read, as :class:`splitbench.bench.results.store.Store` names them.
    """
    try:
        with np.load(_file(row), allow_pickle=False) as stored:
            if "bytes" in stored and not np.isclose(stored["bytes"].mean(), row["bytes_mean"], rtol=_ROUNDED):
                return None
            records = {name: stored[name] for name in names}
    except Exception:  # a damaged file makes a dozen kinds of error: of zipfile, zlib and numpy
        return None
    shapes = {values.shape for name, values in records.items() if name in _ONE_PER_IMAGE}
    return records if len(shapes) <= 1 and all(len(shape) == 1 for shape in shapes) else None


def tables_without_records(frame: pd.DataFrame) -> list[str]:
    """Return the tables (``source``) of which no cell has records."""
    good = frame[frame["status"] == "ok"]
    return [
        str(source)
        for source, rows in good.groupby("source", sort=True)
        if not any(_has_records(row) for _, row in rows.iterrows())
    ]


def _has_records(row: Row) -> bool:
    source, name = _place(row)
    return archive.contains(source, name) if archive.is_archive(source) else (source.parent / name).is_file()


def _file(row: Row) -> Path | io.BytesIO:
    """Return what holds a cell's records: a file beside its table, or one in its run's archive."""
    source, name = _place(row)
    if not archive.is_archive(source):
        return source.parent / name
    content = archive.read(source, name) or b""
    with zipfile.ZipFile(io.BytesIO(content)) as arrays:  # arrays of a stranger, compressed once more
        if sum(array.file_size for array in arrays.infolist()) > _MOST_BYTES:
            raise ValueError("more than the records of a cell")
    return io.BytesIO(content)


def _place(row: Row) -> tuple[Path, str]:
    return Path(str(row["source"])), f"records/{row['key']}.npz"

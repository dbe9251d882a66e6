"""The table that comparisons and figures are made from: one or more runs' ``cells.csv``, read and merged."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from splitbench.bench.results import archive
from splitbench.bench.results.columns import COLUMNS
from splitbench.bench.results.merge import merge
from splitbench.bench.results.names import CURVE, cell_name
from splitbench.bench.utils.errors import UserError

_NUMBERS = frozenset(
    column.name for column in COLUMNS if column.unit or column.name in ("images", "images_unreadable", "ratio", "batch")
) | {"train_images", "seed"}
_NEEDED = ("key", "task", "dataset", *CURVE[1:], "knob", "value", "status", "bytes_mean", "accuracy", "baseline")


def read(paths: Iterable[Path | str], allow_mixed: bool = False) -> pd.DataFrame:
    """Read and merge runs.

    A cell that several runs hold is kept once: the newest by ``date``, but never a failure in place of a result; of
    equally old ones that of the path named last. Where runs disagree about the same cell, and where an older version
    of the same point was left out, a sentence in ``attrs["notes"]`` says so.

    Args:
        paths: runs' folders, their ``cells.csv``, or archives that ``splitbench export`` wrote.
        allow_mixed: put results over different images side by side, although they share a dataset's label.

    Returns:
        One row per cell with every column of :data:`splitbench.bench.results.columns.COLUMNS` (empty where a run lacks
        it), a ``source`` column, and sentences for the reader in ``attrs["notes"]``.

    Raises:
        UserError: nothing to read, a file that is not a run's table, no cell that succeeded, mixed tasks, or different
            images under one dataset's label; or an archive is damaged or hostile.
    """
    files = [_file(Path(path)) for path in paths]
    if not files:
        raise UserError("nothing to read: name at least one run folder or cells.csv")
    frame = pd.concat([_read_file(file) for file in dict.fromkeys(files)], ignore_index=True)
    _check(frame, ", ".join(map(str, files)), allow_mixed)
    return merge(frame)


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that succeeded, ready to compare; seeds of the same point become one row.

    Returns:
        Rows sorted by curve, then by bytes, with ``drop`` (points) filled in from the baseline where it was empty and
        ``device_macs`` added: MACs of head and encoder, 0 where the image is sent, empty where not measured; and
        ``seeds``: the number that a row is a mean over. Over several seeds numbers are means (of ``bytes_max`` the
        largest, of ``seed`` the lowest), and what is not a number is the lowest seed's.

        Intervals then reach from the lowest end of a seed's interval to the highest. That holds the interval from the
        mean of the low ends to the mean of the high ones, which is an interval of the mean over these seeds at 95 % or
        more, as a mean's standard error is at most the mean of the standard errors, however correlated the seeds'
        errors are (all seeds are measured on the same images). It covers other images, and how far these seeds lie
        apart, but is not an interval for seeds that were not run: two or three say little about those.
    """
    whole = frame["accuracy"].notna() & (frame["bytes_mean"] > 0) & frame["baseline"].notna()
    good = frame[(frame["status"] == "ok") & whole].copy()
    good["drop"] = good["drop"].fillna(good["baseline"] - good["accuracy"])
    head = good["macs_head"].where(good["split"] != "input", good["macs_head"].fillna(0.0))
    good["device_macs"] = head + good["macs_encoder"].fillna(0.0)
    if "seeds" not in good:
        good["seeds"] = 1
    good = _over_seeds(good.sort_values("seed", kind="stable"))
    return good.sort_values([*CURVE, "bytes_mean", "accuracy"], kind="stable", ignore_index=True)


def _over_seeds(good: pd.DataFrame) -> pd.DataFrame:
    point = [*CURVE, "knob", "value"]
    if not good.duplicated(point).any():
        return good
    how = dict.fromkeys(good.columns.drop(point), "first")
    how |= dict.fromkeys([name for name in good.columns if name in _NUMBERS or name == "device_macs"], "mean")
    how |= {"accuracy_low": "min", "accuracy_high": "max", "drop_low": "min", "drop_high": "max"}
    how |= {"bytes_max": "max", "seed": "min", "seeds": "sum"}
    return good.groupby(point, as_index=False, sort=False, dropna=False).agg(how)


def over_seeds(good: pd.DataFrame) -> str:
    """Return ``means over 2 seeds`` where rows of :func:`points` are that; else nothing.

    Methods that do not train need no second seed, so that ``means over up to 3 seeds`` may hold single cells, too.
    """
    least, most = int(good["seeds"].min()), int(good["seeds"].max())
    return "" if most < 2 else f"means over {'up to ' * (least < most)}{most} seeds"


def interval_name(good: pd.DataFrame) -> str:
    """Return what the intervals of rows of :func:`points` are, for a legend."""
    return "95 % intervals, all seeds together" if over_seeds(good) else "95 % interval"


def compressors(good: pd.DataFrame) -> pd.DataFrame:
    """Return the rate points that compress, without raw cuts, labels and boxes, whose sizes lie far from all else.

    Where there is nothing else, all are returned.
    """
    compressed = good[(good["method"] != "raw") & (good["split"] != "output")]
    return compressed if len(compressed) else good


def failures(frame: pd.DataFrame) -> list[str]:
    """Return one line for every cell that failed: its name and the reason."""
    bad = frame[frame["status"] != "ok"]
    return [f"{cell_name(row)}: {row['reason'] or 'no reason recorded'}" for _, row in bad.iterrows()]


def _file(path: Path) -> Path:
    if path.is_dir():
        if (path / "cells.csv").is_file():
            return path / "cells.csv"
        below = sorted(str(file.parent) for file in path.glob("*/cells.csv"))
        hint = f"; there is one in {', '.join(below)}" if below else ""
        raise UserError(f"no cells.csv in the folder {path}{hint}")
    if not path.is_file():
        raise UserError(f"no such file or folder: {path}")
    return path


def _read_file(file: Path) -> pd.DataFrame:
    try:
        content = _content(file)
        frame = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
        _check_rows(content.decode(), file)
    except pd.errors.EmptyDataError:
        raise UserError(f"{file} is empty") from None
    except (pd.errors.ParserError, UnicodeDecodeError):
        raise UserError(f"{file} is not a table of comma-separated values") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    missing = [name for name in _NEEDED if name not in frame]
    if missing:
        raise UserError(f"{file} is not a run's cells.csv: it lacks the columns {', '.join(missing)}")
    if frame.empty:
        raise UserError(f"{file} has a header but no rows")
    # Runs of an older version may lack columns that came later.
    for name in [column.name for column in COLUMNS if column.name not in frame]:
        frame[name] = ""
    for name in _NUMBERS:
        frame[name] = _numbers(frame[name], file)
    frame["source"] = str(file)
    return frame


def _content(file: Path) -> bytes:
    """Return the content of the file, or of the table in an archive, which is verified."""
    if not archive.is_archive(file):
        return file.read_bytes()
    archive.verify(file)
    return archive.read(file, archive.TABLE) or b""


def _check_rows(text: str, file: Path) -> None:
    """Refuse a table with a row that ends too early: pandas would fill it up with nothing."""
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    for number, row in enumerate(rows, 2):
        if row and len(row) < len(header):
            raise UserError(
                f"{file}: row {number} has {len(row)} of {len(header)} values: the file was cut off or changed. "
                "`splitbench collect FOLDER` writes a run's table anew"
            )


def _numbers(column: "pd.Series[str]", file: Path) -> "pd.Series[float]":
    numbers = pd.Series(pd.to_numeric(column, errors="coerce"), dtype=float)
    wrong = ~np.isfinite(numbers) & (column != "")
    if wrong.any():
        raise UserError(f"{file}: {column.name} holds {column[wrong].iloc[0]!r} where a number is expected")
    return numbers


def _check(frame: pd.DataFrame, where: str, allow_mixed: bool) -> None:
    tasks = sorted(frame["task"].unique())
    if len(tasks) > 1:
        raise UserError(f"{where}: tasks are mixed ({' and '.join(tasks)}); compare one task at a time")
    good = frame[frame["status"] == "ok"]
    if good.empty:
        raise UserError(f"{where}: no cell succeeded; the first failed because: {frame['reason'].iloc[0] or 'unknown'}")
    for name in ("accuracy", "bytes_mean", "baseline"):
        if good[name].isna().all():
            raise UserError(f"{where}: {name} has no values, so there is nothing to compare")
    if points(good).empty:
        raise UserError(f"{where}: no cell has accuracy, baseline and a size above 0 bytes together")
    if allow_mixed:
        return
    for dataset, rows in good.groupby("dataset"):
        prints = sorted(set(rows["fingerprint"]) - {""})
        if len(prints) > 1:
            first = rows.drop_duplicates("fingerprint").set_index("fingerprint")["images"]
            sizes = " and ".join(f"{first[digest]:g} ({digest[:8]})" for digest in prints)
            raise UserError(
                f"dataset {dataset} stands for different images in these runs: {sizes}; "
                "their accuracies do not compare; --allow-mixed puts them side by side all the same"
            )

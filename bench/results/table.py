"""Reads the ``cells.csv`` of one or more runs into one table that comparisons and figures are made from."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from splitbench.bench.results.columns import COLUMNS
from splitbench.bench.utils.errors import UserError

CURVE = ["dataset", "backbone", "split", "method", "variant"]
"""What names a curve; its points lie along ``knob`` and ``value``."""

Row: TypeAlias = "pd.Series[Any]"
"""One row of a table."""

UNCUT = ("input", "output")
"""Split points of methods that do not cut the network: these are measured once and shown beside every split."""

_NUMBERS = frozenset(
    column.name for column in COLUMNS if column.unit or column.name in ("images", "images_unreadable", "ratio", "batch")
) | {"train_images", "seed"}
_HOW = frozenset(
    [
        "start",
        "epochs",
        "next_epochs",
        "restore_epochs",
        "restore_rate",
        "batch_size",
        "learning_rate",
        "backbone_lr_scale",
        "share",  # what it was called
        "weight_decay",
        "schedule",
        "ema",
        "precision",
        "compile",
        "flip",
        "half",
    ]
)
"""Settings of how something was trained, which a name need not repeat where all of a method's curves share them."""
_NEEDED = ("key", "task", "dataset", *CURVE[1:], "knob", "value", "status", "bytes_mean", "accuracy", "baseline")
_CIRCUMSTANCES = {"fingerprint": "images", "weights": "weights", "precision": "precision"}


def read(paths: Iterable[Path | str], allow_mixed: bool = False) -> pd.DataFrame:
    """Reads and merges runs.

    A cell that several runs hold is kept once: the newest by ``date``, but never a failure in place of a result; of
    equally old ones that of the path named last. Where runs disagree about the same cell, and where an older version
    of the same point was left out, a sentence in ``attrs["notes"]`` says so.

    Args:
        paths: files, or run folders with a ``cells.csv`` in them.
        allow_mixed: put results over different images side by side, although they share a dataset's label.

    Returns:
        One row per cell with every column of :data:`splitbench.bench.results.columns.COLUMNS` (empty where a run lacks
        it), a ``source`` column, and sentences for the reader in ``attrs["notes"]``.

    Raises:
        UserError: nothing to read, a file that is not a run's table, no cell that succeeded, tasks mixed, or different
            images under one dataset's label.
    """
    files = [_file(Path(path)) for path in paths]
    if not files:
        raise UserError("nothing to read: name at least one run folder or cells.csv")
    frame = pd.concat([_one(file) for file in dict.fromkeys(files)], ignore_index=True)
    where = ", ".join(str(file) for file in files)
    _check(frame, where, allow_mixed)
    notes: list[str] = []
    frame = _merge(frame, notes)
    frame = _tell_apart(frame, notes)
    frame = _shorten(frame, notes)
    frame.attrs["notes"] = notes
    return frame


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """The cells that succeeded, ready to compare; seeds of the same point become one row.

    Returns:
        Rows sorted by curve, then by bytes, with ``drop`` (points) filled in from the baseline where it was empty and
        ``device_macs`` added: MACs of head and encoder, 0 where the picture is sent, empty where not measured; and
        ``seeds``: how many a row is made of. Over several seeds numbers are means (of ``bytes_max`` the largest, of
        ``seed`` the lowest), and what is no number is the lowest seed's.

        Intervals then reach from the lowest end of a seed's interval to the highest. That holds the interval from the
        mean of the low ends to the mean of the high ones, which is an interval of the mean over these seeds at 95 % or
        more, as a mean's standard error is at most the mean of the standard errors, however much the seeds' errors go
        together (all seeds are measured on the same images). It tells what other images could do, and how far these
        seeds lie apart, but is no interval for seeds that were not run: two or three tell little of those.
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
    """What rows of :func:`points` are, where seeds were put together: ``means over 2 seeds``; else nothing.

    Methods that do not train need no second seed, so that ``means over up to 3 seeds`` may hold single cells, too.
    """
    least, most = int(good["seeds"].min()), int(good["seeds"].max())
    return "" if most < 2 else f"means over {'up to ' * (least < most)}{most} seeds"


def interval_name(good: pd.DataFrame) -> str:
    """What the intervals of rows of :func:`points` are, for a legend."""
    return "95 % intervals, all seeds together" if over_seeds(good) else "95 % interval"


def compressors(good: pd.DataFrame) -> pd.DataFrame:
    """The rate points that compress: without the uncompressed cut, labels and boxes, whose sizes lie far from all else.

    All of them where there is nothing else.
    """
    some = good[(good["method"] != "raw") & (good["split"] != "output")]
    return some if len(some) else good


def failures(frame: pd.DataFrame) -> list[str]:
    """One line for every cell that failed: its name and the reason."""
    bad = frame[frame["status"] != "ok"]
    return [f"{cell_name(row)}: {row['reason'] or 'no reason recorded'}" for _, row in bad.iterrows()]


def cell_name(row: Row) -> str:
    """A cell as a reader would name it."""
    place = " ".join(str(row[name]) for name in ("dataset", "backbone", "split"))
    return f"{place} {curve_name(str(row['method']), str(row['variant']))} {row['knob']}={row['value']}"


def curve_name(method: str, variant: str) -> str:
    """A curve's name within one split: the method, and its variant where it has one."""
    return f"{method} {variant}".rstrip()


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


def _one(file: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
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
    # Runs of an older version may lack columns that came later; what they did not measure is empty, as ever.
    for name in [column.name for column in COLUMNS if column.name not in frame]:
        frame[name] = ""
    for name in _NUMBERS:
        frame[name] = _numbers(frame[name], file)
    frame["source"] = str(file)
    return frame


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
            sizes = " and ".join(
                f"{rows.loc[rows['fingerprint'] == one, 'images'].iloc[0]:g} ({one[:8]})" for one in prints
            )
            raise UserError(
                f"dataset {dataset} stands for different images in these runs: {sizes}; "
                "their accuracies do not compare; --allow-mixed puts them side by side all the same"
            )


def _merge(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    # Both sorts are stable, so that of equally old rows the one from the path named last comes last and wins.
    order = frame.assign(
        _good=frame["status"] == "ok", _date=pd.to_datetime(frame["date"], utc=True, errors="coerce", format="ISO8601")
    ).sort_values(["_good", "_date"], kind="stable", na_position="first")
    repeated = order[order["key"].duplicated(keep=False) & order["_good"]]
    for _, rows in repeated.groupby("key", sort=True):
        if rows["accuracy"].nunique(dropna=False) > 1 or rows["bytes_mean"].nunique(dropna=False) > 1:
            kept, told = (
                rows.iloc[-1],
                [f"{r.accuracy:g} % at {r.bytes_mean:g} bytes in {r.source}" for r in rows.itertuples()],
            )
            notes.append(f"conflict: {cell_name(kept)} is {', '.join(told)}; the last is kept")
    newest = order.drop_duplicates(["key", "dataset", "backbone"], keep="last")  # a cell may have several labels
    return newest.drop(columns=["_good", "_date"]).sort_index()


def _tell_apart(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Splits curves that only look alike by what differs, then keeps the newest of points that still coincide."""
    frame = frame.copy()
    good = frame["status"] == "ok"
    for column, word in _CIRCUMSTANCES.items():
        several = good & (
            frame[good].groupby(CURVE)[column].transform("nunique").reindex(frame.index, fill_value=0) > 1
        )
        marks = f"{word}=" + frame[column].str.slice(0, 8)
        frame.loc[several, "variant"] = (frame["variant"] + " " + marks).str.strip()[several]
    same = [*CURVE, "knob", "value", "seed"]
    dates = pd.to_datetime(frame["date"], utc=True, errors="coerce", format="ISO8601")
    order = frame.assign(_date=dates)[good].sort_values("_date", kind="stable", na_position="first")
    older = order[order.duplicated(same, keep="last")]
    notes.extend(
        f"left out, as a newer run measured the same point: {cell_name(row)}, {row['source']}"
        for _, row in older.iterrows()
    )
    return frame.drop(index=older.index).reset_index(drop=True)


def _shorten(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Leaves out of a method's variants how it was trained, where that is the same in all of them."""
    frame = frame.copy()
    for method, variants in frame.groupby("method")["variant"]:
        words = [variant.split() for variant in variants.unique()]
        shared = [word for word in words[0] if word.partition("=")[0] in _HOW and all(word in other for other in words)]
        if shared:
            notes.append(f"{method}, throughout: {' '.join(shared)}")
            kept = variants.map(lambda variant: " ".join(w for w in variant.split() if w not in shared))  # noqa: B023
            frame.loc[variants.index, "variant"] = kept
    return frame

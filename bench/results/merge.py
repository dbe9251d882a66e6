"""Merges runs' tables: one row per cell, curves distinguished by what differs, and notes on what was left out."""

import pandas as pd

from splitbench.bench.results.names import CURVE, cell_name, is_word, setting_name, without_module

TRAINING_SETTINGS = frozenset(
    [
        *("start", "epochs", "next_epochs", "restore_epochs", "restore_rate", "batch_size", "learning_rate"),
        *("backbone_lr_scale", "weight_decay", "schedule", "ema", "precision", "compile", "flip", "half", "distortion"),
        *("distill_epochs", "distill_rate", "train_tail", "rate"),
    ]
)
"""Settings of how something is trained, which a name need not repeat where all of a method's curves share them."""

_DISTINGUISHING = {"fingerprint": "images", "weights": "weights", "precision": "precision"}
"""Columns by which curves of one name are distinguished where they differ, with the words that names get."""


def merge(frame: pd.DataFrame) -> pd.DataFrame:
    """Merge the rows of several runs, as :func:`splitbench.bench.results.table.read` describes.

    Returns:
        The merged rows, with sentences for the reader in ``attrs["notes"]``.
    """
    notes: list[str] = []
    for step in (_shorten_import_paths, _newest_cells, _distinguish_curves, _newest_points, _shorten_variants):
        frame = step(frame, notes)
    frame.attrs["notes"] = notes
    return frame


def _shorten_import_paths(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Call users' backbones, datasets and methods by their names; a note says which import path each stands for."""
    frame = frame.copy()
    for column in ("dataset", "backbone", "method"):
        names = [str(name) for name in frame[column].unique()]
        short = {name: without_module(name) for name in names}
        known = list(short.values())
        chosen = {name: word for name, word in short.items() if word != name and known.count(word) == 1}
        notes += [f"{word} is {name}" for name, word in chosen.items()]
        frame[column] = frame[column].replace(chosen)
        frame.attrs["import_paths"] = {**frame.attrs.get("import_paths", {}), **chosen}
    return frame


def _newest_cells(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keep the newest row of each cell, but never a failure in place of a result."""
    # Both sorts are stable, so that of equally old rows the one from the path named last comes last and wins.
    order = frame.assign(_good=frame["status"] == "ok", _date=_dates(frame))
    order = order.sort_values(["_good", "_date"], kind="stable", na_position="first")
    repeated = order[order["key"].duplicated(keep=False) & order["_good"]]
    for _, rows in repeated.groupby("key", sort=True):
        if rows["accuracy"].nunique(dropna=False) > 1 or rows["bytes_mean"].nunique(dropna=False) > 1:
            results = [f"{r.accuracy:g} % at {r.bytes_mean:g} bytes in {r.source}" for r in rows.itertuples()]
            notes.append(f"conflict: {cell_name(rows.iloc[-1])} is {', '.join(results)}; the last is kept")
    newest = order.drop_duplicates(["key", "dataset", "backbone"], keep="last")  # a cell may have several labels
    return newest.drop(columns=["_good", "_date"]).sort_index()


def _distinguish_curves(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Name in the variants of curves that only look alike what differs between them."""
    frame = frame.copy()
    good = frame["status"] == "ok"
    for column, word in _DISTINGUISHING.items():
        counts = frame[good].groupby(CURVE)[column].transform("nunique")
        several = good & (counts.reindex(frame.index, fill_value=0) > 1)
        marks = f"{word}=" + frame[column].str.slice(0, 8)
        frame.loc[several, "variant"] = (frame["variant"] + " " + marks).str.strip()[several]
    return frame


def _newest_points(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keep the newest of the rows that are the same rate point and seed."""
    order = frame.assign(_date=_dates(frame))[frame["status"] == "ok"]
    order = order.sort_values("_date", kind="stable", na_position="first")
    older = order[order.duplicated([*CURVE, "knob", "value", "seed"], keep="last")]
    notes.extend(
        f"left out, as a newer run measured the same point: {cell_name(row)}, {row['source']}"
        for _, row in older.iterrows()
    )
    return frame.drop(index=older.index).reset_index(drop=True)


def _shorten_variants(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Name a method's settings in words; numbers and ways to train that all its curves share move to a note."""
    frame = frame.copy()
    for method, variants in frame.groupby("method")["variant"]:
        settings = {str(variant): str(variant).split() for variant in variants.unique()}
        first, *others = settings.values()
        shared = [word for word in first if _need_not_be_said(word) and all(word in words for words in others)]
        if shared:
            notes.append(f"{method}, throughout: {' '.join(shared)}")
        differing = {variant: [word for word in words if word not in shared] for variant, words in settings.items()}
        names = {variant: ", ".join(map(setting_name, words)) for variant, words in differing.items()}
        if len({*names.values()}) < len(names):  # two settings have the same value
            names = {variant: " ".join(words) for variant, words in differing.items()}
        frame.loc[variants.index, "variant"] = variants.map(names)
    return frame


def _need_not_be_said(setting: str) -> bool:
    """Return whether a name is as clear without a setting that all curves share: it is no word, or of the training."""
    name, _, value = setting.partition("=")
    return name in TRAINING_SETTINGS or not is_word(value)


def _dates(frame: pd.DataFrame) -> "pd.Series[pd.Timestamp]":
    return pd.to_datetime(frame["date"], utc=True, errors="coerce", format="ISO8601")

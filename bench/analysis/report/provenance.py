"""What was run, and on what: a row per run, dataset and backbone."""

from typing import Any

import pandas as pd

_TOLD = {
    "fingerprint": "images' digest",
    "weights": "weights' digest",
    "seed": "seed",
    "precision": "precision",
    "device": "device",
    "batch": "batch",
    "image_decoder": "image decoder",
    "commit": "commit",
    "versions": "versions",
}


def provenance(frame: pd.DataFrame) -> pd.DataFrame:
    """What the cells' circumstances were; several of a kind are all named."""
    rows = []
    for (source, dataset, backbone), cells in frame.groupby(["source", "dataset", "backbone"], sort=True):
        good = cells[cells["status"] == "ok"]
        dates = sorted(date[:16] for date in set(cells["date"]) - {""})
        row = {
            "run": source,
            "dataset": dataset,
            "backbone": backbone,
            "cells": len(good),
            "failed": len(cells) - len(good),
            "images": _all(good["images"]),
        }
        row |= {words: _all(cells[name]) for name, words in _TOLD.items()}
        rows.append(row | {"from (UTC)": dates[0] if dates else "", "to (UTC)": dates[-1] if dates else ""})
    return pd.DataFrame(rows)


def _all(values: "pd.Series[Any]") -> str:
    words = (f"{one:g}" if isinstance(one, float) else str(one) for one in values.dropna())
    return ", ".join(sorted(set(words) - {""}))

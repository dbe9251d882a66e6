"""The Pareto front: the measured points that no other one dominates."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splitbench.bench.results.names import UNCUT
from splitbench.bench.results.table import points

_COLUMNS = [
    *("method", "variant", "knob", "value", "bytes_mean"),
    *("accuracy", "accuracy_low", "accuracy_high", "drop", "seeds", "device_macs"),
]


def undominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask of the rows of ``costs`` (points, objectives; less is better) that no other row dominates.

    Equal rows do not dominate each other: both stay.

    >>> undominated(np.array([[1.0, 5.0], [2.0, 3.0], [3.0, 4.0]])).tolist()
    [True, True, False]
    """
    keep = np.ones(len(costs), bool)
    for i, row in enumerate(costs):
        keep[i] = not (np.all(costs <= row, axis=1) & np.any(costs < row, axis=1)).any()
    return keep


def front_per_backbone(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the front of bytes, accuracy and device MACs per (dataset, backbone).

    Device MACs belong in it: a label computed wholly on the device takes a byte or two and would beat everything else.
    A point whose MACs were not measured counts as the most expensive.
    """
    return _front(points(frame), ["dataset", "backbone"], ("bytes_mean", "device_macs"))


def front_per_split(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the front of bytes and accuracy per (dataset, backbone, split).

    Sending the picture competes at every split; running everything on the device does not, as it would always win.
    """
    return _front(beside_every_split(points(frame)), ["dataset", "backbone", "at_split"], ("bytes_mean",))


def front_over_all(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the front of bytes, accuracy and device MACs per dataset, over all of its backbones."""
    return _front(points(frame), ["dataset"], ("bytes_mean", "device_macs"))


def beside_every_split(good: pd.DataFrame) -> pd.DataFrame:
    """Add the column ``at_split``: each split's own points, with those that send the picture repeated at every split.

    Where nothing was cut, the picture's points stand alone at ``input``.
    """
    parts = []
    for _, rows in good.groupby(["dataset", "backbone"], sort=True):
        pictures = rows[rows["split"] == "input"]
        for split in splits_in_order(rows) or ["input"]:
            own = rows[rows["split"] == split] if split != "input" else pictures.iloc[:0]
            parts.append(pd.concat([own, pictures]).assign(at_split=split))
    return pd.concat(parts, ignore_index=True) if parts else good.assign(at_split="")


def splits_in_order(rows: pd.DataFrame) -> list[str]:
    """Return the split points of one backbone from shallow to deep, by the head's MACs or else in the table's order."""
    cut = rows[~rows["split"].isin(UNCUT)]
    depth = cut.groupby("split", sort=False)["macs_head"].min()
    return [str(split) for split in depth.sort_values(kind="stable", na_position="last").index]


def _front(good: pd.DataFrame, by: Sequence[str], least: Sequence[str]) -> pd.DataFrame:
    parts = []
    for _, rows in good.groupby(list(by), sort=False):
        costs = np.column_stack([rows[list(least)].fillna(np.inf).to_numpy(float), -rows["accuracy"].to_numpy(float)])
        parts.append(rows[undominated(costs)].sort_values("bytes_mean", kind="stable"))
    front = pd.concat(parts, ignore_index=True) if parts else good
    place = list(dict.fromkeys([*by, "dataset", "backbone", "split"]))
    return front[[*place, *_COLUMNS]]

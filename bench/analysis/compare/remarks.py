"""Remarks on a comparison: means over seeds, running on the device, deep splits, cells of no bytes, paired tests."""

import numpy as np
import pandas as pd

from splitbench.bench.analysis.compare.curves.front import splits_in_order
from splitbench.bench.analysis.table_formats import format_percent
from splitbench.bench.results.names import CURVE, cell_name, curve_name
from splitbench.bench.results.table import over_seeds, points
from splitbench.bench.results.warnings_text import split_warnings
from splitbench.bench.utils.text import format_macs

_SEEDS = (
    "intervals of means over seeds reach from the lowest end of a seed's 95 % interval to the highest: they hold the "
    "mean over these seeds, on other images, with 95 % or more, and say nothing about other seeds; paired tests are of "
    "the lowest seed alone"
)
_NAMED = 4
"""Curves that a warning names."""
_SMALL_DROP = 1.0
"""Points of accuracy."""
_DEEP = 0.9
"""The share of the computation before a split from which on a remark is made."""
_INSTEAD_OF_DEEP = {
    "classification": "finishing on the device and sending the label is cheaper than any tensor sent from there",
    "detection": "finishing on the device takes little more, and sends boxes alone",
}


def remarks_on(frame: pd.DataFrame, tests: pd.DataFrame, factor: float) -> list[str]:
    """Return all remarks on a comparison.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        tests: as :func:`splitbench.bench.analysis.compare.paired.paired_tests.paired_tests` returns them.
        factor: the largest ratio of bytes at which rate points were tested.
    """
    return [
        *seed_remarks(frame),
        *on_device_remarks(frame),
        *deep_split_remarks(frame),
        *no_bytes_remarks(frame),
        *paired_test_remarks(tests, factor),
        *tests.attrs["untested"],
    ]


def row_warnings(frame: pd.DataFrame) -> list[str]:
    """Return what rows warn of, each sentence once per (dataset, backbone), with the splits and methods it is about."""
    lines = []
    for (dataset, backbone), rows in frame.groupby(["dataset", "backbone"], sort=True):
        about: dict[str, list[int]] = {}
        for place, text in enumerate(rows["warnings"]):
            for sentence in split_warnings(text):
                about.setdefault(sentence, []).append(place)
        for sentence, places in about.items():
            lines.append(f"{backbone} on {dataset}, {_which(rows, places)}: {sentence}")
    return lines


def _which(rows: pd.DataFrame, places: list[int]) -> str:
    if len(places) == len(rows):
        return "all rows" if len(rows) > 1 else "its row"
    chosen = rows.iloc[places][["split", "method", "variant"]].drop_duplicates().astype(str)
    names = [f"{split} {curve_name(method, variant)}" for split, method, variant in chosen.to_numpy()]
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(places)} of {len(rows)} rows ({shown})"


def seed_remarks(frame: pd.DataFrame) -> list[str]:
    """Say which numbers are means over seeds, how far the seeds lie apart, and what the intervals then are."""
    lines = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        if not over_seeds(rows):
            continue
        several = rows[rows["seeds"] > 1].groupby("method", sort=True)
        cells = frame[(frame["dataset"] == dataset) & (frame["backbone"] == backbone) & (frame["status"] == "ok")]
        parts = [f"{method}: {over_seeds(own)}, {_spread(cells[cells['method'] == method])}" for method, own in several]
        single = sorted(set(rows["method"]) - set(several.groups))
        parts += [f"{', '.join(single)}: one run for each rate point"] * bool(single)
        lines.append(f"{backbone} on {dataset}: {'; '.join(parts)}")
    return [*lines, _SEEDS] if lines else []


def _spread(cells: pd.DataFrame) -> str:
    """Say how far the accuracies of a method's seeds lie apart at most."""
    accuracy = cells.groupby([*CURVE, "knob", "value"], dropna=False)["accuracy"]
    most = (accuracy.max() - accuracy.min()).max()
    return f"accuracies up to {most:.2f} points apart" if most > 0 else "all of the same accuracy"


def on_device_remarks(frame: pd.DataFrame) -> list[str]:
    """Say per (dataset, backbone) what running everything on the device would send and compute instead.

    Of its rate points the one with the fewest bytes and a drop of at most :data:`_SMALL_DROP` is named, or else the one
    that loses least.
    """
    lines = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        everything = rows[rows["split"] == "output"]
        if everything.empty:
            continue
        near = everything[everything["drop"] <= _SMALL_DROP]
        best = (near if len(near) else everything.nsmallest(1, "drop")).nsmallest(1, "bytes_mean").iloc[0]
        cost = "" if np.isnan(best["device_macs"]) else f", for {format_macs(best['device_macs'])} on the device"
        lines.append(
            f"{backbone} on {dataset}: running everything on the device sends {best['bytes_mean']:,.3g} bytes per "
            f"image ({best['method']}) at a drop of {best['drop']:.2f} points{cost}"
        )
    return lines


def deep_split_remarks(frame: pd.DataFrame) -> list[str]:
    """Warn of splits whose head is almost the whole network: sending the answer is cheaper than any tensor there."""
    lines = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        for split in splits_in_order(rows):
            first = rows[rows["split"] == split].iloc[0]
            total = first["macs_head"] + first["macs_tail"]
            if total > 0 and first["macs_head"] >= _DEEP * total:
                share = format_percent(first["macs_head"] / total)
                lines.append(
                    f"{backbone} on {dataset}: {share} of the computation lies before {split}; "
                    f"{_INSTEAD_OF_DEEP[first['task']]}"
                )
    return lines


def no_bytes_remarks(frame: pd.DataFrame) -> list[str]:
    """Name the cells that send nothing: tables of bytes, their ratios and their logarithms have no place for them."""
    silent = frame[(frame["status"] == "ok") & (frame["bytes_mean"] == 0)]
    return [
        f"{cell_name(row)} sends 0 bytes, at {row['accuracy']:.2f} % {row['metric']}; no table shows it"
        for _, row in silent.iterrows()
    ]


def paired_test_remarks(tests: pd.DataFrame, factor: float) -> list[str]:
    """Say per (dataset, backbone) how many pairs were tested, and how many of them differ significantly."""
    lines = []
    for (dataset, backbone), rows in tests.groupby(["dataset", "backbone"], sort=True):
        differ = int((rows["better"] != "neither").sum())
        lines.append(
            f"{backbone} on {dataset}: of {len(rows)} pairs of rate points whose bytes differ by a factor of at most "
            f"{factor:g}, {differ} {'differs' if differ == 1 else 'differ'} in accuracy (paired, at 5 %, "
            "with Holm's correction over the pairs of the same two methods)"
        )
    return lines

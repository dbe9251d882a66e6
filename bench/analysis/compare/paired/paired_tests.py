"""Paired tests: does one rate point really beat another of the same size, on these images?

Both cells were measured on the same images, so that most of the chance in either accuracy cancels: a paired test finds
differences that lie well within the two intervals. It needs per-image records; where a run has none beside its CSV, a
remark says so and nothing else changes.
"""

from typing import Any

import numpy as np
import pandas as pd

from splitbench.bench.analysis.compare.curves.bd import find_anchor
from splitbench.bench.analysis.compare.paired.pairs import FACTOR, Pair, pairs
from splitbench.bench.analysis.compare.paired.statistics import (
    Difference,
    difference_of_hits,
    difference_of_samples,
    holm,
)
from splitbench.bench.analysis.image_records import read_records, tables_without_records
from splitbench.bench.metrics import bootstrap
from splitbench.bench.metrics.average_precision import average_precision
from splitbench.bench.metrics.records import Records
from splitbench.bench.results.names import CURVE, Row, curve_name
from splitbench.bench.results.table import points

LEVEL = 0.05
"""The level of significance of corrected p-values."""

COLUMNS = [
    *("dataset", "backbone", "at_split"),
    *("a", "a_bytes", "a_accuracy", "b", "b_bytes", "b_accuracy", "images"),
    *("difference", "difference_low", "difference_high", "only_a", "only_b", "p", "p_holm", "better"),
]

_NEEDED = [
    *(*CURVE, "knob", "value", "task", "key", "source", "fingerprint"),
    *("macs_head", "bytes_mean", "drop", "seed", "several"),
]


def paired_tests(
    frame: pd.DataFrame, anchor: str | None = None, all_pairs: bool = False, factor: float = FACTOR
) -> pd.DataFrame:
    """Test rate points that cost nearly the same bytes against each other.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        anchor: test every curve against this method's alone, named as in
            :func:`splitbench.bench.analysis.compare.curves.bd.bd_table`; by default every two methods are tested,
            each by its front.
        all_pairs: test every two curves instead.
        factor: the largest ratio of a pair's bytes; see :func:`splitbench.bench.analysis.compare.paired.pairs.pairs`.

    Returns:
        One row per pair that both have records of the same images: ``difference`` of the accuracies, a - b in points,
        its 95 % interval by paired bootstrap over images, ``only_a`` and ``only_b``: the number of images that just one
        of the two gets right (empty for detection), ``p`` (McNemar's exact test; for detection Wald's, with the
        bootstrap's standard error), ``p_holm``: corrected by Holm over the rows of the same two methods on a dataset
        and backbone, as whether one of them beats the other is one question; and which is ``better`` where that is
        below :data:`LEVEL` (a or b, else neither). Of several seeds the lowest one is tested, alone, and ``a`` and
        ``b`` name it: a test of two trained models, not of two ways to train. ``attrs["untested"]`` holds sentences on
        what could not be tested.

    Raises:
        UserError: the anchor is not in the table.
    """
    cells = _lowest_seeds(frame)
    without_records = tables_without_records(frame)
    against = None if anchor is None else find_anchor(cells, anchor)
    tested = cells[~cells["source"].isin(without_records)]
    chosen = pairs(tested, against, all_curves=all_pairs, factor=factor)
    classification = bool((cells["task"] == "classification").all())
    load, test = (_load_hits, _test_hits) if classification else (_load_aps, _test_aps)
    records = {key: load(row) for key, row in {str(row["key"]): row for pair in chosen for row in pair[1:]}.items()}
    rows = []
    for pair in chosen:
        a, b = records[str(pair.a["key"])], records[str(pair.b["key"])]
        if a is not None and b is not None and _same_images(pair, a, b):
            rows.append(_describe(pair) | test(a, b) | {"question": _question(pair)})
    table = pd.DataFrame(_corrected(rows), columns=COLUMNS)
    table.attrs["untested"] = _untested(without_records, pairs=len(chosen), tested=len(rows))
    return table


def _question(pair: Pair) -> tuple[str, ...]:
    """Return what a pair is a part of the answer to: which of two methods is better on a dataset and backbone."""
    methods = sorted(str(row["method"]) for row in (pair.a, pair.b))
    return (str(pair.a["dataset"]), str(pair.a["backbone"]), *methods)


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row its corrected p-value, and what it says."""
    for question in {row["question"]: None for row in rows}:
        family = [row for row in rows if row["question"] == question]
        for row, p in zip(family, holm([row["p"] for row in family]).tolist(), strict=True):
            row |= {"p_holm": p, "better": "neither" if p >= LEVEL else "a" if row["difference"] > 0 else "b"}
    return rows


def _lowest_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rate points of the lowest seed each; ``several`` says whether there are more."""
    point = [*CURVE, "knob", "value"]
    good = frame[frame["status"] == "ok"].sort_values("seed", kind="stable")
    good = good.assign(several=good.duplicated(point, keep=False))
    return points(good.drop_duplicates(point))[_NEEDED]


def _untested(without_records: list[str], *, pairs: int, tested: int) -> list[str]:
    lines = [f"no paired tests for {source}: no per-image records lie beside it" for source in without_records]
    if tested < pairs:
        lines.append(f"{pairs - tested} of {pairs} pairs are not tested: not both have records of the same images")
    if not pairs and not without_records:
        lines.append("no paired tests: no two rate points of different methods cost nearly the same bytes at a split")
    return lines


def _load_hits(row: Row) -> Records | None:
    return read_records(row, ("image", "top1"))


def _test_hits(a: Records, b: Records) -> dict[str, Any]:
    """Test two classifiers: each image is right or wrong."""
    hit_a, hit_b = a["top1"] == 1, b["top1"] == 1
    only_a, only_b = int((hit_a & ~hit_b).sum()), int((~hit_a & hit_b).sum())
    accuracies = 100 * float(hit_a.mean()), 100 * float(hit_b.mean())
    difference = difference_of_hits(only_a, only_b, len(hit_a))
    return _outcome(accuracies, len(hit_a), difference) | {"only_a": only_a, "only_b": only_b}


def _load_aps(row: Row) -> Records | None:
    """Return a cell's average precision over all images, and in the bootstrap samples of them."""
    needed = "image", *bootstrap.REQUIRED
    records = read_records(row, (*needed, "samples")) or read_records(row, needed)  # older runs lack the samples
    if records is None:
        return None
    every_image = np.ones((1, len(records["image"])), np.int64)
    return {
        "image": records["image"],
        "ap": 100 * average_precision(bootstrap.matches_in(records), every_image),
        "samples": records["samples"] if "samples" in records else bootstrap.average_precisions(records),
    }


def _test_aps(a: Records, b: Records) -> dict[str, Any]:
    """Test two detectors: one number over all images, and its bootstrap samples."""
    accuracies = float(a["ap"][0]), float(b["ap"][0])
    difference = difference_of_samples(accuracies[0] - accuracies[1], a["samples"] - b["samples"])
    return _outcome(accuracies, len(a["image"]), difference)


def _outcome(accuracies: tuple[float, float], images: int, difference: Difference) -> dict[str, Any]:
    return {
        "a_accuracy": accuracies[0],
        "b_accuracy": accuracies[1],
        "images": images,
        "difference": difference.points,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "p": difference.p,
    }


def _same_images(pair: Pair, a: Records, b: Records) -> bool:
    return bool(pair.a["fingerprint"] == pair.b["fingerprint"]) and np.array_equal(a["image"], b["image"])


def _describe(pair: Pair) -> dict[str, Any]:
    """Return where a pair is compared, and the names and sizes of its two rate points."""
    described: dict[str, Any] = {
        "dataset": pair.a["dataset"],
        "backbone": pair.a["backbone"],
        "at_split": pair.at_split,
    }
    for name, row in (("a", pair.a), ("b", pair.b)):
        curve = curve_name(str(row["method"]), str(row["variant"]))
        seed = f" seed={row['seed']:g}" * bool(row["several"])
        described |= {name: f"{curve} {row['knob']}={row['value']}{seed}", f"{name}_bytes": row["bytes_mean"]}
    return described

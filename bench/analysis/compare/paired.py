"""Paired tests: does one rate point really beat another of the same size, on these images?

Both cells were measured on the same images, so that most of the chance in either accuracy cancels: a paired test tells
differences apart that lie well within the two intervals. It is made from per-image records; where a run has none beside
its CSV, a note says so and nothing else changes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from splitbench.bench.analysis.compare.bd import find_anchor
from splitbench.bench.analysis.compare.pairs import FACTOR, Pair, pairs
from splitbench.bench.analysis.compare.recorded import recorded, without_records
from splitbench.bench.analysis.compare.statistics import Difference, holm, of_hits, of_samples
from splitbench.bench.metrics import resampled as ap
from splitbench.bench.metrics.average_precision import average_precision
from splitbench.bench.metrics.records import Records
from splitbench.bench.results.table import CURVE, Row, curve_name, points

LEVEL = 0.05
"""Pairs whose corrected p-value is below it are told apart."""

COLUMNS = [
    *("dataset", "backbone", "at_split"),
    *("a", "a_bytes", "a_accuracy", "b", "b_bytes", "b_accuracy", "images"),
    *("difference", "difference_low", "difference_high", "only_a", "only_b", "p", "p_holm", "better"),
]

_READ = [
    *CURVE,
    "knob",
    "value",
    "task",
    "key",
    "source",
    "fingerprint",
    "macs_head",
    "bytes_mean",
    "drop",
    "seed",
    "several",
]


def paired_tests(
    frame: pd.DataFrame, anchor: str | None = None, all_pairs: bool = False, factor: float = FACTOR
) -> pd.DataFrame:
    """Tests rate points that cost nearly the same bytes against each other.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        anchor: the method that the others are tested against, as in
            :func:`splitbench.bench.analysis.compare.bd.bd_table`.
        all_pairs: test every curve against every other one instead, not only against the anchor. More pairs ask for
            more images: Holm's correction is over all of them.
        factor: how far apart the bytes of a pair may be; see :func:`splitbench.bench.analysis.compare.pairs.pairs`.

    Returns:
        One row per pair that both have records of the same images: ``difference`` of the accuracies, a - b in points,
        its 95 % interval by paired bootstrap over images, ``only_a`` and ``only_b``: images that just one of the two
        gets right (empty for detection), ``p`` (McNemar's exact test; for detection Wald's, with the bootstrap's
        standard error), ``p_holm``: corrected over all rows, and which is ``better`` where that is below 0.05 (a or b,
        else neither). Of several seeds the lowest one is tested, alone, and ``a`` and ``b`` say which that is: a test
        of two trained models, not of two ways to train. ``attrs["untested"]`` says in sentences what could not be
        tested.

    Raises:
        UserError: the anchor is not in the table.
    """
    one_seed = frame[frame["status"] == "ok"].sort_values("seed", kind="stable")
    point = [*CURVE, "knob", "value"]
    several = one_seed.duplicated(point, keep=False)
    good = points(one_seed.assign(several=several).drop_duplicates(point))[_READ]
    against = None if all_pairs else find_anchor(good, anchor)
    bare = without_records(frame)
    chosen = pairs(good[~good["source"].isin(bare)], against, factor)
    test = _hits_test() if (good["task"] == "classification").all() else _ap_test()
    found = [(pair, outcome) for pair in chosen if (outcome := test(pair.a, pair.b))]
    corrected = holm([outcome["p"] for _, outcome in found])
    rows = [
        _named(pair) | outcome | {"p_holm": p, "better": _better(outcome["difference"], p)}
        for (pair, outcome), p in zip(found, corrected.tolist(), strict=True)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.attrs["untested"] = _untested(bare, len(chosen), len(chosen) - len(found))
    return table


def _untested(bare: list[str], chosen: int, left_out: int) -> list[str]:
    lines = [f"no paired tests for {source}: no per-image records lie beside it" for source in bare]
    if left_out:
        lines.append(f"{left_out} of {chosen} pairs are not tested: not both have records of the same images")
    if not chosen and not bare:
        lines.append("no paired tests: no two rate points of different curves cost nearly the same bytes at a split")
    return lines


def told_apart(tested: pd.DataFrame, factor: float = FACTOR) -> list[str]:
    """A sentence per (dataset, backbone): how many pairs were tested, and how many of them were told apart."""
    lines = []
    for (dataset, backbone), rows in tested.groupby(["dataset", "backbone"], sort=True):
        apart = int((rows["better"] != "neither").sum())
        lines.append(
            f"{backbone} on {dataset}: of {len(rows)} pairs of rate points whose bytes differ by a factor of at most "
            f"{factor:g}, {apart} {'differs' if apart == 1 else 'differ'} in accuracy (paired, at 5 % over all "
            f"{len(tested)} pairs by Holm's correction)"
        )
    return lines


_Test = Callable[[Row, Row], dict[str, Any]]


def _hits_test() -> _Test:
    """Classification: an image is right or wrong."""
    kept = _Kept(lambda row: recorded(row, ("image", "top1")))

    def test(a: Row, b: Row) -> dict[str, Any]:
        one, other = kept.of(a), kept.of(b)
        if one is None or other is None or not _same_images(a, one, b, other):
            return {}
        right, others = one["top1"] == 1, other["top1"] == 1
        only = int((right & ~others).sum()), int((~right & others).sum())
        accuracies = 100 * float(right.mean()), 100 * float(others.mean())
        counts = {"only_a": only[0], "only_b": only[1]}
        return _outcome(accuracies, len(right), of_hits(*only, len(right))) | counts

    return test


def _ap_test() -> _Test:
    """Detection: one number over all images, in bootstrap samples of them."""
    kept = _Kept(_sampled)

    def test(a: Row, b: Row) -> dict[str, Any]:
        one, other = kept.of(a), kept.of(b)
        if one is None or other is None or not _same_images(a, one, b, other):
            return {}
        accuracies = float(one["ap"][0]), float(other["ap"][0])
        found = of_samples(accuracies[0] - accuracies[1], one["samples"] - other["samples"])
        return _outcome(accuracies, len(one["image"]), found)

    return test


class _Kept:
    """What is made of a cell's records, once for all pairs that the cell is in."""

    def __init__(self, make: Callable[[Row], Records | None]) -> None:
        self._make = make
        self._made: dict[str, Records | None] = {}

    def of(self, row: Row) -> Records | None:
        key = str(row["key"])
        if key not in self._made:
            self._made[key] = self._make(row)
        return self._made[key]


def _sampled(row: Row) -> Records | None:
    """A cell's average precision, alone and in the bootstrap samples."""
    needed = "image", *ap.NEEDED
    records = recorded(row, (*needed, "samples")) or recorded(row, needed)  # older runs did not keep them
    if records is None:
        return None
    every_image = np.ones((1, len(records["image"])), np.int64)
    return {
        "image": records["image"],
        "ap": 100 * average_precision(ap.found_in(records), every_image),
        "samples": records["samples"] if "samples" in records else ap.resampled(records),
    }


def _same_images(a: Row, one: Records, b: Row, other: Records) -> bool:
    return bool(a["fingerprint"] == b["fingerprint"]) and np.array_equal(one["image"], other["image"])


def _outcome(accuracies: tuple[float, float], images: int, found: Difference) -> dict[str, Any]:
    return {
        "a_accuracy": accuracies[0],
        "b_accuracy": accuracies[1],
        "images": images,
        "difference": found.points,
        "difference_low": found.low,
        "difference_high": found.high,
        "p": found.p,
    }


def _named(pair: Pair) -> dict[str, Any]:
    """Where the pair is, and what its two are called; of several seeds, by which one it is."""
    place: dict[str, Any] = {"dataset": pair.a["dataset"], "backbone": pair.a["backbone"], "at_split": pair.at_split}
    for name, row in (("a", pair.a), ("b", pair.b)):
        curve = curve_name(str(row["method"]), str(row["variant"]))
        seed = f" seed={row['seed']:g}" * bool(row["several"])
        place |= {name: f"{curve} {row['knob']}={row['value']}{seed}", f"{name}_bytes": row["bytes_mean"]}
    return place


def _better(difference: float, p: float) -> str:
    return "neither" if p >= LEVEL else "a" if difference > 0 else "b"

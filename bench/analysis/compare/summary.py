"""The summary: which method needs fewest bytes, which is most accurate, and whether the difference is significant."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from splitbench.bench.analysis.compare.curves.front import splits_in_order
from splitbench.bench.analysis.compare.curves.interpolation import (
    DROPS,
    accuracy_at_budgets,
    bytes_at_drops,
    format_interval,
    intervals_apart,
)
from splitbench.bench.analysis.compare.paired.paired_answers import Better, PairedAnswers, fewer_bytes, more_accurate
from splitbench.bench.analysis.compare.ranking import EVERY_SPLIT, name_at, rank, times_the_bytes
from splitbench.bench.results.names import Row
from splitbench.bench.results.table import compressors, points

COLUMNS = [
    *("dataset", "backbone", "at_split", "question"),
    *("best", "answer", "interval", "next_best", "difference", "clear", "by"),
]


def summary(
    frame: pd.DataFrame, drops: Sequence[float] = DROPS, budgets: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return the best method for each tolerated drop and at a few byte budgets, per (dataset, backbone, split).

    Methods that send the picture compete at every split, and have one row for all of them where they are the best at
    each; running everything on the device does not compete (see
    :func:`splitbench.bench.analysis.compare.remarks.on_device_remarks`). ``clear`` says whether the best
    and the next best differ significantly on these images, and ``by`` which way: by the same images for both where
    their records are there
    (:class:`splitbench.bench.analysis.compare.paired.paired_answers.PairedAnswers`), else by whether their own 95 %
    intervals overlap, which separates far fewer. Both are empty where there is nothing to compare with.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        drops: tolerated drops, in points.
        budgets: bytes per image; by default two round ones amid the measured sizes.

    Returns:
        Text, one row per question.
    """
    good, paired = points(frame), PairedAnswers(frame)
    rows: list[tuple[str, ...]] = []
    for (dataset, backbone), group in good.groupby(["dataset", "backbone"], sort=True):
        chosen = budgets if budgets is not None else telling_budgets(group)
        need, reach = bytes_at_drops(group, drops), accuracy_at_budgets(group, chosen)
        splits = splits_in_order(group) or ["input"]
        asked = [
            *((need[need["tolerated_drop"] == drop], "bytes", partial(_fewest_bytes, drop)) for drop in drops),
            *((reach[reach["budget"] == budget], "accuracy", partial(_highest_accuracy, budget)) for budget in chosen),
        ]
        answers = [
            (at_split, *answer(at_split, order, paired))
            for table, by, answer in asked
            for at_split, order in rank(table, splits, by)
        ]
        places = [EVERY_SPLIT, *splits]
        rows += [(str(dataset), str(backbone), *row) for row in sorted(answers, key=lambda row: places.index(row[0]))]
    return pd.DataFrame(rows, columns=COLUMNS)


def telling_budgets(good: pd.DataFrame, most: int = 2) -> list[float]:
    """Return at most ``most`` round byte budgets, ascending, spread over the sizes of the compressors' rate points."""
    sizes = compressors(good)["bytes_mean"].to_numpy(float)
    logarithms = np.quantile(np.log10(sizes), [(i + 1) / (most + 1) for i in range(most)])
    return sorted({_round(float(logarithm)) for logarithm in logarithms})


def _round(logarithm: float) -> float:
    """Return the number 1, 2 or 5 times a power of ten whose logarithm to base 10 is nearest."""
    power = math.floor(logarithm)
    candidates = [digit * 10.0 ** (power + more) for more in (0, 1) for digit in (1, 2, 5)]
    return min(candidates, key=lambda candidate: abs(math.log10(candidate) - logarithm))


def fewest_bytes_question(drop: float) -> str:
    """Return how the summary asks for the fewest bytes at a tolerated drop in points."""
    return f"fewest bytes, drop ≤ {drop:g}"


def _fewest_bytes(drop: float, at_split: str, order: pd.DataFrame, paired: PairedAnswers) -> tuple[str, ...]:
    question = fewest_bytes_question(drop)
    if order.empty:
        return (question, *_NOT_REACHED)
    best = order.iloc[0]
    answer = f"{'≤ ' * (best['how'] == 'at most')}{best['bytes']:,.0f} bytes"
    first = question, name_at(best, at_split), answer, format_interval(best)
    if len(order) == 1:
        return (*first, *_ALONE)
    other = order.iloc[1]
    clear = _clear(best, other, paired, fewer_bytes(drop), apart=intervals_apart(best, other))
    return (*first, name_at(other, at_split), times_the_bytes(best, other), *clear)


def _highest_accuracy(budget: float, at_split: str, order: pd.DataFrame, paired: PairedAnswers) -> tuple[str, ...]:
    question = f"accuracy within {budget:,.0f} bytes"
    if order.empty:
        return (question, *_NOT_REACHED)
    best = order.iloc[0]
    known = not np.isnan(best["accuracy_low"])
    interval = f"{best['accuracy_low']:.1f} to {best['accuracy_high']:.1f}" if known else ""
    first = question, name_at(best, at_split), f"{best['accuracy']:.2f} %", interval
    if len(order) == 1:
        return (*first, *_ALONE)
    other = order.iloc[1]
    less = round(best["accuracy"], 2) - round(other["accuracy"], 2)
    more = f", {times_the_bytes(best, other)}" * bool(other["bytes"] > best["bytes"])
    difference = f"{less:.2f} points less" if less else f"as accurate{more}"
    apart = bool(best["accuracy_low"] > other["accuracy_high"])
    clear = _clear(best, other, paired, more_accurate(budget), apart=apart)
    return (*first, name_at(other, at_split), difference, *clear)


_NOT_REACHED = ("none", "not reached", "", "", "", "", "")
_ALONE = ("none reaches it", "", "", "")


def _clear(best: Row, other: Row, paired: PairedAnswers, better: Better, *, apart: bool) -> tuple[str, str]:
    """Return the columns ``clear`` and ``by``; ``apart`` says whether the intervals of the two do not overlap."""
    clear = paired.clear(best, other, better)
    by = "intervals" if clear is None else "same images"
    return "yes" if (apart if clear is None else clear) else "no", by

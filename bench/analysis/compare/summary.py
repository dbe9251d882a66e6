"""The summary: which method needs fewest bytes, which is most accurate, and whether the data can tell."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from splitbench.bench.analysis.compare.front import splits_in_order
from splitbench.bench.analysis.compare.interpolation import (
    DROPS,
    accuracy_at_budgets,
    bytes_at_drops,
    format_interval,
    intervals_apart,
)
from splitbench.bench.analysis.compare.paired_answers import Better, PairedAnswers, fewer_bytes, more_accurate
from splitbench.bench.results.names import Row, curve_name
from splitbench.bench.results.table import compressors, points

COLUMNS = [
    *("dataset", "backbone", "at_split", "question"),
    *("best", "answer", "interval", "next_best", "difference", "clear", "by"),
]


def summary(
    frame: pd.DataFrame, drops: Sequence[float] = DROPS, budgets: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return the best method for each tolerated drop and at a few byte budgets, per (dataset, backbone, split).

    Methods that send the picture compete at every split; running everything on the device does not (see
    :func:`splitbench.bench.analysis.compare.remarks.on_device_remarks`). ``clear`` says whether these images tell
    the best from the next best, and ``by`` which way: by the same images for both where their records are there
    (:class:`splitbench.bench.analysis.compare.paired_answers.PairedAnswers`), else by whether their own 95 % intervals
    overlap, which tells far fewer apart. Both are empty where there is nothing to compare with.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        drops: tolerated drops, in points.
        budgets: bytes per image; by default two round ones amid the measured sizes.

    Returns:
        Text, one row per question.
    """
    good, paired = points(frame), PairedAnswers(frame)
    needs = dict(tuple(bytes_at_drops(good, drops).groupby(["dataset", "backbone"])))
    rows: list[tuple[str, ...]] = []
    for (dataset, backbone), group in good.groupby(["dataset", "backbone"], sort=True):
        chosen = budgets if budgets is not None else telling_budgets(group)
        need, reach = needs[dataset, backbone], accuracy_at_budgets(group, chosen)
        for split in splits_in_order(group) or ["input"]:
            place = (str(dataset), str(backbone), split)
            here = need[need["split"].isin([split, "input"])]
            rows += [(*place, *_fewest_bytes(here[here["tolerated_drop"] == drop], drop, paired)) for drop in drops]
            here = reach[reach["split"].isin([split, "input"])]
            rows += [(*place, *_highest_accuracy(here[here["budget"] == budget], budget, paired)) for budget in chosen]
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


def _fewest_bytes(table: pd.DataFrame, drop: float, paired: PairedAnswers) -> tuple[str, ...]:
    question = fewest_bytes_question(drop)
    order = table.dropna(subset=["bytes"]).sort_values("bytes", kind="stable")
    if order.empty:
        return (question, "none", "not reached", "", "", "", "", "")
    best = order.iloc[0]
    answer = f"{'≤ ' * (best['how'] == 'at most')}{best['bytes']:,.0f} bytes"
    if len(order) == 1:
        return (question, _name(best), answer, format_interval(best), "none reaches it", "", "", "")
    other = order.iloc[1]
    clear = _clear(best, other, paired, fewer_bytes(drop), apart=intervals_apart(best, other))
    return (question, _name(best), answer, format_interval(best), _name(other), _more_bytes(best, other), *clear)


def _more_bytes(best: Row, other: Row) -> str:
    """Say how many more bytes ``other`` needs, by ``≤`` or ``≥`` where one of the two is a bound; empty if both are."""
    bounds = best["how"] == "at most", other["how"] == "at most"
    sign = {(False, True): "≤ ", (True, False): "≥ "}.get(bounds, "")
    return "" if all(bounds) else f"{sign}{100 * (other['bytes'] / best['bytes'] - 1):,.0f} % more bytes"


def _highest_accuracy(table: pd.DataFrame, budget: float, paired: PairedAnswers) -> tuple[str, ...]:
    question = f"accuracy within {budget:,.0f} bytes"
    order = table.dropna(subset=["accuracy"]).sort_values("accuracy", ascending=False, kind="stable")
    if order.empty:
        return (question, "none", "not reached", "", "", "", "", "")
    best = order.iloc[0]
    answer = f"{best['accuracy']:.2f} %"
    interval = f"{best['accuracy_low']:.1f} to {best['accuracy_high']:.1f}"
    if len(order) == 1:
        return (question, _name(best), answer, interval, "none reaches it", "", "", "")
    other = order.iloc[1]
    difference = f"{best['accuracy'] - other['accuracy']:.2f} points less"
    apart = bool(best["accuracy_low"] > other["accuracy_high"])
    clear = _clear(best, other, paired, more_accurate(budget), apart=apart)
    return (question, _name(best), answer, interval, _name(other), difference, *clear)


def _clear(best: Row, other: Row, paired: PairedAnswers, better: Better, *, apart: bool) -> tuple[str, str]:
    """Return the columns ``clear`` and ``by``; ``apart`` says whether the intervals of the two do not overlap."""
    clear = paired.clear(best, other, better)
    by = "intervals" if clear is None else "same images"
    return "yes" if (apart if clear is None else clear) else "no", by


def _name(row: Row) -> str:
    return curve_name(str(row["method"]), str(row["variant"]))

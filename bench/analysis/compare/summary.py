"""The short answer: which method needs fewest bytes, which is most accurate, and whether the data can tell."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from splitbench.bench.analysis.compare.curves import DROPS, accuracy_at_budgets, bytes_at_drops
from splitbench.bench.analysis.compare.front import splits_in_order
from splitbench.bench.analysis.compare.intervals import apart, told
from splitbench.bench.analysis.compare.write import percent
from splitbench.bench.results.table import Row, compressors, curve_name, points
from splitbench.bench.utils.text import format_macs

COLUMNS = [
    "dataset",
    "backbone",
    "at_split",
    "question",
    "best",
    "answer",
    "interval",
    "next_best",
    "difference",
    "clear",
]


def summary(
    frame: pd.DataFrame, drops: Sequence[float] = DROPS, budgets: Sequence[float] | None = None
) -> pd.DataFrame:
    """Best method for each tolerated drop and at a few byte budgets, per (dataset, backbone, split).

    Methods that send the picture compete at every split; running everything on the device does not (see
    :func:`on_device`). ``clear`` is yes where the 95 % intervals of the best and of the next best do not overlap, no
    where they do, or where the next best's interval may begin below its smallest rate point (``≤``): then these images
    cannot tell the two apart by this measure (a paired test might). It is empty where there is nothing to compare with.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        drops: tolerated drops, in points.
        budgets: bytes per image; by default two round ones amid the measured sizes.

    Returns:
        Text, one row per question.
    """
    good = points(frame)
    needs = dict(tuple(bytes_at_drops(good, drops).groupby(["dataset", "backbone"])))
    rows: list[tuple[str, ...]] = []
    for (dataset, backbone), group in good.groupby(["dataset", "backbone"], sort=True):
        chosen = budgets if budgets is not None else telling_budgets(group)
        need, reach = needs[dataset, backbone], accuracy_at_budgets(group, chosen)
        for split in splits_in_order(group) or ["input"]:
            place = (str(dataset), str(backbone), split)
            here = need[need["split"].isin([split, "input"])]
            rows += [(*place, *_fewest(here[here["tolerated_drop"] == drop], drop)) for drop in drops]
            here = reach[reach["split"].isin([split, "input"])]
            rows += [(*place, *_most(here[here["budget"] == budget], budget)) for budget in chosen]
    return pd.DataFrame(rows, columns=COLUMNS)


def telling_budgets(good: pd.DataFrame, most: int = 2) -> list[float]:
    """At most so many round byte budgets, spread over the sizes at which compressors were measured; smallest first."""
    core = compressors(good)["bytes_mean"].to_numpy(float)
    places = np.quantile(np.log10(core), [(i + 1) / (most + 1) for i in range(most)])
    return sorted({_round(float(place)) for place in places})


def _round(place: float) -> float:
    """The number 1, 2 or 5 times a power of ten whose logarithm is nearest to ``place``."""
    power = math.floor(place)
    return min(
        (digit * 10.0 ** (power + more) for more in (0, 1) for digit in (1, 2, 5)),
        key=lambda n: abs(math.log10(n) - place),
    )


def on_device(frame: pd.DataFrame) -> list[str]:
    """A sentence per (dataset, backbone) on what running everything on the device would send and compute instead.

    Of its rate points it tells the fewest bytes that lose next to nothing, or else those that lose least.
    """
    lines = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        everything = rows[rows["split"] == "output"]
        if everything.empty:
            continue
        near = everything[everything["drop"] <= _NEAR]
        one = (near if len(near) else everything.nsmallest(1, "drop")).nsmallest(1, "bytes_mean").iloc[0]
        cost = "" if np.isnan(one["device_macs"]) else f", for {format_macs(one['device_macs'])} on the device"
        lines.append(
            f"{backbone} on {dataset}: running everything on the device sends {one['bytes_mean']:,.3g} bytes per image "
            f"({one['method']}) at a drop of {one['drop']:.2f} points{cost}"
        )
    return lines


def deep_splits(frame: pd.DataFrame) -> list[str]:
    """Warns of splits whose head is almost the whole network: there, the answer is cheaper than any tensor."""
    lines = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        for split in splits_in_order(rows):
            one = rows[rows["split"] == split].iloc[0]
            total = one["macs_head"] + one["macs_tail"]
            if total > 0 and one["macs_head"] >= 0.9 * total:
                share = percent(one["macs_head"] / total)
                lines.append(
                    f"{backbone} on {dataset}: {share} of the computation lies before {split}; {_FINISHED[one['task']]}"
                )
    return lines


_NEAR = 1.0
"""Points of accuracy."""
_FINISHED = {
    "classification": "finishing on the device and sending the label is cheaper than any tensor sent from there",
    "detection": "finishing on the device takes little more, and sends boxes alone",
}


def _fewest(table: pd.DataFrame, drop: float) -> tuple[str, ...]:
    question = f"fewest bytes, drop ≤ {drop:g}"
    order = table.dropna(subset=["bytes"]).sort_values("bytes", kind="stable")
    if order.empty:
        return (question, "none", "not reached", "", "", "", "")
    one = order.iloc[0]
    answer = f"{'≤ ' * (one['how'] == 'at most')}{one['bytes']:,.0f} bytes"
    if len(order) == 1:
        return (question, _name(one), answer, told(one), "none reaches it", "", "")
    other = order.iloc[1]
    return (
        *(question, _name(one), answer, told(one), _name(other)),
        *(_more(one, other), "yes" if apart(one, other) else "no"),
    )


def _more(one: Row, other: Row) -> str:
    """How many more bytes ``other`` needs, with ``≤`` or ``≥`` where one of the two is a bound; empty if both are."""
    bounds = one["how"] == "at most", other["how"] == "at most"
    sign = {(False, True): "≤ ", (True, False): "≥ "}.get(bounds, "")
    return "" if all(bounds) else f"{sign}{100 * (other['bytes'] / one['bytes'] - 1):,.0f} % more bytes"


def _most(table: pd.DataFrame, budget: float) -> tuple[str, ...]:
    question = f"accuracy within {budget:,.0f} bytes"
    order = table.dropna(subset=["accuracy"]).sort_values("accuracy", ascending=False, kind="stable")
    if order.empty:
        return (question, "none", "not reached", "", "", "", "")
    one = order.iloc[0]
    interval = f"{one['accuracy_low']:.1f} to {one['accuracy_high']:.1f}"
    answer = f"{one['accuracy']:.2f} %"
    if len(order) == 1:
        return (question, _name(one), answer, interval, "none reaches it", "", "")
    other = order.iloc[1]
    difference = f"{one['accuracy'] - other['accuracy']:.2f} points less"
    clear = "yes" if one["accuracy_low"] > other["accuracy_high"] else "no"
    return (question, _name(one), answer, interval, _name(other), difference, clear)


def _name(row: Row) -> str:
    return curve_name(str(row["method"]), str(row["variant"]))

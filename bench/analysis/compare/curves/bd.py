"""Bjøntegaard's mean differences between curves: BD-rate and BD-accuracy against an anchor.

BD-rate is the mean difference in bytes at equal accuracy, BD-accuracy the mean difference in accuracy at equal bytes,
each over the range that both curves cover. Only rate points count whose drop is at most ``WITHIN`` points: what a codec
does at accuracies that nobody would accept would otherwise outweigh the rest. A curve that goes on beyond is cut there
by linear interpolation in log-bytes. Between points it is PCHIP, which unlike Akima or a cubic neither overshoots nor
bends back.

The two ask different things of a curve:

* BD-rate asks how many bytes an accuracy takes. Only the curve's front says so
  (:func:`splitbench.bench.analysis.compare.curves.interpolation.envelope`): a rate point that takes more bytes than
  another and is no more accurate is the answer for no accuracy.
* BD-accuracy asks what is reached within so many bytes. Every rate point answers that: with its accuracy, or
  that of a better one with fewer bytes. Where a curve has come to its end, it is known to go on level.

So BD-rate needs three points on the front of either curve, BD-accuracy three rate points, whether or not on it: a
method that is as good as uncompressed from its second rate point on has a BD-accuracy, and no BD-rate, however many
more are measured above. A cut's end is not a measured point and does not count.

Either number is a mean over the range that both curves cover. That must be half of the shorter curve's range at least,
and hold two points of either curve, so that none is read off a single gap between its points. Where a number is not
given, ``reason`` says why.
"""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from bjontegaard import bd_psnr, bd_rate

from splitbench.bench.analysis.compare.curves.interpolation import Numbers, envelope
from splitbench.bench.results.names import CURVE, UNCUT, as_curve_name, curve_name
from splitbench.bench.results.table import points
from splitbench.bench.utils.errors import UserError, nearest
from splitbench.bench.utils.text import format_count

WITHIN = 10.0
"""The largest drop, in points, of a rate point that counts."""
MIN_POINTS = 3
MIN_OVERLAP = 0.5
MIN_INSIDE = 2

COLUMNS = [
    *(*CURVE, "anchor", "bd_rate", "bd_rate_overlap", "bd_accuracy", "bd_accuracy_overlap"),
    *("points_near", "points_on_front", "anchor_points_near", "anchor_points_on_front", "reason", "at_split"),
]


class Anchor(NamedTuple):
    """The method and variant that the others are compared with."""

    method: str
    variant: str


def bd_table(frame: pd.DataFrame, anchor: str | None = None) -> pd.DataFrame:
    """Return BD-rate and BD-accuracy of every curve against the anchor, per (dataset, backbone, split).

    Methods that send the picture are compared at every split, or with each other where the anchor is one of them.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        anchor: a method, or a method and its variant as in ``quantize-rle granularity=channel``; by default
            quantize-rle, else image, else the method with most points; of several variants the one with default
            settings, else the one with most points.

    Returns:
        ``bd_rate`` in % (negative: fewer bytes than the anchor), ``bd_accuracy`` in points, the overlaps in %, how many
        rate points either curve has near the baseline and how many of these are on its front, and the
        ``reason`` where a number is not given. ``at_split`` says where the comparison was made.

    Raises:
        UserError: the anchor is not in the table.
    """
    good = points(frame)
    chosen = find_anchor(good, anchor)
    rows = []
    for (dataset, backbone), group in good.groupby(["dataset", "backbone"], sort=True):
        curves = {
            (str(split), str(method), str(variant)): curve_near_baseline(rate_points)
            for (split, method, variant), rate_points in group.groupby(CURVE[2:], sort=True)
        }
        splits = [name[0] for name in curves if name[1:] == chosen] or [""]
        for split in dict.fromkeys(splits):
            base = curves.get((split, *chosen))
            for name, curve in curves.items():
                if name[0] == "output" or name == (split, *chosen) or not _comparable(name[0], split):
                    continue
                outcome = compare_curves(base, curve) if base is not None else Outcome("the anchor was not measured")
                at_split = split if name[0] in UNCUT and split else name[0]
                place = {"dataset": dataset, "backbone": backbone, "at_split": at_split, "anchor": curve_name(*chosen)}
                rows.append(place | dict(zip(CURVE[2:], name, strict=True)) | outcome._asdict())
    return pd.DataFrame(rows, columns=COLUMNS)


def find_anchor(good: pd.DataFrame, anchor: str | None) -> Anchor:
    """Return the anchor's method and variant; see :func:`bd_table`."""
    sizes = Counter(zip(good["method"].map(str), good["variant"].map(str), strict=True))
    wanted = None if anchor is None else as_curve_name(anchor)
    for pair in sorted(sizes):
        if curve_name(*pair) == wanted:
            return Anchor(*pair)
    methods = Counter(good["method"].map(str))
    if anchor is None:
        known = [name for name in ("quantize-rle", "image") if name in methods]
        method = known[0] if known else max(sorted(methods), key=lambda name: methods[name])
    elif anchor in methods:
        method = anchor
    else:
        names = [curve_name(*pair) for pair in sorted(sizes)]
        raise UserError(f"no anchor {anchor!r} in these results{nearest(anchor, [*methods, *names])}")
    variants = sorted(variant for name, variant in sizes if name == method)
    return Anchor(method, "" if "" in variants else max(variants, key=lambda variant: sizes[method, variant]))


class Line(NamedTuple):
    """A line through points by rising bytes, with the end of its cut where it has one, and the number measured."""

    size: Numbers
    accuracy: Numbers
    measured: int


class Curve(NamedTuple):
    """A curve near the baseline: its front, and what all its rate points reach."""

    front: Line
    reached: Line


class Outcome(NamedTuple):
    """The columns of a comparison of two curves; overlaps in %."""

    reason: str
    points_near: float = np.nan
    points_on_front: float = np.nan
    anchor_points_near: float = np.nan
    anchor_points_on_front: float = np.nan
    bd_rate: float = np.nan
    bd_rate_overlap: float = np.nan
    bd_accuracy: float = np.nan
    bd_accuracy_overlap: float = np.nan


def _comparable(split: str, anchor_split: str) -> bool:
    return split == anchor_split or split in UNCUT or anchor_split in ("", *UNCUT)


def curve_near_baseline(rows: pd.DataFrame) -> Curve:
    """Return the part of some rate points' curve that counts: drops of at most :data:`WITHIN` points."""
    size, drop = rows["bytes_mean"].to_numpy(float), rows["drop"].to_numpy(float)
    near, first = drop <= WITHIN, _cut_end(size, drop)
    # Of rate points with the same bytes the best says what they reach.
    sizes = np.unique(size[near])
    best = np.array([drop[size <= limit].min() for limit in sizes])
    return Curve(_line(*envelope(size[near], drop[near]), *first), _line(sizes, best, *first))


def _cut_end(size: Numbers, drop: Numbers) -> tuple[Numbers, Numbers]:
    """Return where the front crosses a drop of :data:`WITHIN` points between two rate points; empty if it does not."""
    size, drop = envelope(size, drop)
    if not (drop.size and drop[-1] < WITHIN < drop[0]) or WITHIN in drop:
        return np.empty(0), np.empty(0)
    return np.exp(np.interp([WITHIN], drop[::-1], np.log(size[::-1]))), np.array([WITHIN])


def _line(size: Numbers, drop: Numbers, first_size: Numbers, first_drop: Numbers) -> Line:
    return Line(np.concatenate([first_size, size]), -np.concatenate([first_drop, drop]), len(size))


def compare_curves(anchor: Curve, test: Curve) -> Outcome:
    """Return BD-rate and BD-accuracy of a curve against the anchor, or the reason why there is none."""
    counts = (test.reached.measured, test.front.measured, anchor.reached.measured, anchor.front.measured)
    for curve, owner in ((anchor, "the anchor"), (test, "it")):
        if (near := curve.reached.measured) < MIN_POINTS:
            few = f"{owner} has {format_count(near, 'rate point')} near the baseline, {MIN_POINTS} are needed"
            return Outcome(few, *counts)
    rate, rate_overlap, no_rate = _bd_rate(anchor, test)
    accuracy, overlap, no_accuracy = _bd_accuracy(anchor.reached, test.reached)
    reason = "; ".join(filter(None, (no_rate, no_accuracy)))
    return Outcome(reason, *counts, rate, 100 * rate_overlap, accuracy, 100 * overlap)


_SETTINGS: dict[str, Any] = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}


def _bd_rate(anchor: Curve, test: Curve) -> tuple[float, float, str]:
    """Return BD-rate in %, the share by which the accuracies overlap, and the reason if there is no number."""
    for curve, owner in ((anchor, "the anchor's"), (test, "its")):
        if (on := curve.front.measured) < MIN_POINTS:
            few = f"{on} of {owner} {curve.reached.measured} rate points near the baseline"
            verb = "is" if on == 1 else "are"
            return np.nan, np.nan, f"no BD-rate: {few} {verb} on its front, {MIN_POINTS} are needed"
    share, fault = _common_range(anchor.front.accuracy, test.front.accuracy)
    if fault:
        return np.nan, share, f"no BD-rate: {fault.format('accuracies')}"
    return float(bd_rate(*anchor.front[:2], *test.front[:2], **_SETTINGS)), share, ""


def _bd_accuracy(anchor: Line, test: Line) -> tuple[float, float, str]:
    """Return BD-accuracy in points, the share by which the bytes overlap, and the reason if there is no number."""
    share, fault = _common_range(np.log(anchor.size), np.log(test.size))
    if fault:
        return np.nan, share, f"no BD-accuracy: {fault.format('bytes')}"
    return float(bd_psnr(*anchor[:2], *test[:2], **_SETTINGS)), share, ""


def _common_range(anchor: Numbers, test: Numbers) -> tuple[float, str]:
    """Return the share of the shorter range that both cover, and why that is too little; empty if it is enough."""
    low, high = max(anchor.min(), test.min()), min(anchor.max(), test.max())
    shorter = min(np.ptp(anchor), np.ptp(test))
    share = max(float((high - low) / shorter), 0.0) if shorter > 0 else 0.0
    if share < MIN_OVERLAP:
        return share, f"{{}} overlap by {100 * share:.0f} % of the shorter range only"
    for values, owner in ((anchor, "the anchor's"), (test, "its")):
        if (inside := int(((values >= low) & (values <= high)).sum())) < MIN_INSIDE:
            verb = "lies" if inside == 1 else "lie"
            return share, f"{inside} of {owner} points {verb} in the {{}} that both cover, {MIN_INSIDE} are needed"
    return share, ""

"""Bjøntegaard's average differences between curves: BD-rate and BD-accuracy against an anchor.

BD-rate is the mean difference in bytes at equal accuracy, BD-accuracy the mean difference in accuracy at equal bytes,
each over the range that both curves cover. Curves are taken along their envelope
(:mod:`splitbench.bench.compare.curves`) and only where their drop is at most ``within`` points: what a codec does at
accuracies that nobody would accept would otherwise outweigh the rest. A curve that goes on beyond is cut there by
linear interpolation in log-bytes. Between points it is PCHIP, which unlike Akima or a cubic neither overshoots nor
bends back. Too few measured points (a cut's end is not one) or too little overlap give a reason and no number.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from bjontegaard import bd_psnr, bd_rate

from splitbench.bench.compare.curves import Numbers, envelope
from splitbench.bench.errors import UserError, nearest
from splitbench.bench.table import CURVE, UNCUT, curve_name, points

WITHIN = 10.0
MIN_POINTS = 3
MIN_OVERLAP = 0.5

COLUMNS = [*CURVE, "anchor", "bd_rate", "bd_rate_overlap", "bd_accuracy", "bd_accuracy_overlap", "reason"]


class Anchor(NamedTuple):
    """The method and variant that the others are held against."""

    method: str
    variant: str


def bd_table(frame: pd.DataFrame, anchor: str | None = None, within: float = WITHIN) -> pd.DataFrame:
    """BD-rate and BD-accuracy of every curve against the anchor, per (dataset, backbone, split).

    Methods that send the picture are compared at every split, or with each other where the anchor is one of them.

    Args:
        frame: as :func:`splitbench.bench.table.read` returns it.
        anchor: a method, or a method and its variant as in ``quantize-rle granularity=channel``; by default
            quantize-rle, else image, else the method with most points; of several variants the one with default
            settings, else the one with most points.
        within: only points with a drop of at most so many points count.

    Returns:
        ``bd_rate`` in % (negative: fewer bytes than the anchor), ``bd_accuracy`` in points, the overlaps in %, and the
        ``reason`` where there is no number. ``at_split`` says where the comparison was made.

    Raises:
        UserError: the anchor is not in the table.
    """
    good = points(frame)
    chosen = find_anchor(good, anchor)
    rows = []
    for (dataset, backbone), group in good.groupby(["dataset", "backbone"], sort=True):
        curves = {
            (str(split), str(method), str(variant)): _curve(one, within)
            for (split, method, variant), one in group.groupby(CURVE[2:], sort=True)
        }
        splits = [name[0] for name in curves if name[1:] == chosen] or [""]
        for split in dict.fromkeys(splits):
            base = curves.get((split, *chosen))
            for name, curve in curves.items():
                if name[0] == "output" or name == (split, *chosen) or not _comparable(name[0], split):
                    continue
                outcome = _compare(base, curve) if base is not None else _Outcome(reason="the anchor was not measured")
                where = split if name[0] in UNCUT and split else name[0]
                rows.append((dataset, backbone, *name, curve_name(*chosen), *outcome, where))
    return pd.DataFrame(rows, columns=[*COLUMNS, "at_split"])


def find_anchor(good: pd.DataFrame, anchor: str | None) -> Anchor:
    """The anchor's method and variant; see :func:`bd_table`."""
    sizes = Counter(zip(good["method"].map(str), good["variant"].map(str), strict=True))
    for pair in sorted(sizes):
        if curve_name(*pair) == anchor:
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


class _Curve(NamedTuple):
    """A curve cut at the drop that counts, and how many of its points were measured: all, or all but the cut's end."""

    size: Numbers
    accuracy: Numbers
    measured: int


class _Outcome(NamedTuple):
    rate: float = np.nan
    rate_overlap: float = np.nan
    accuracy: float = np.nan
    accuracy_overlap: float = np.nan
    reason: str = ""


def _comparable(split: str, anchor_split: str) -> bool:
    return split == anchor_split or split in UNCUT or anchor_split in ("", *UNCUT)


def _curve(rows: pd.DataFrame, within: float) -> _Curve:
    size, drop = envelope(rows["bytes_mean"].to_numpy(float), rows["drop"].to_numpy(float))
    inside = drop <= within
    measured = int(inside.sum())
    if 0 < measured < len(drop) and within not in drop:
        edge = np.exp(np.interp(within, drop[::-1], np.log(size[::-1])))
        size, drop = np.concatenate([[edge], size[inside]]), np.concatenate([[within], drop[inside]])
    else:
        size, drop = size[inside], drop[inside]
    return _Curve(size, -drop, measured)


def _compare(anchor: _Curve, test: _Curve) -> _Outcome:
    for curve, whose in ((anchor, "the anchor has"), (test, "it has")):
        if curve.measured < MIN_POINTS:
            return _Outcome(reason=f"{whose} {curve.measured} of the {MIN_POINTS} points needed near the baseline")
    shares = _overlap(anchor.accuracy, test.accuracy), _overlap(np.log(anchor.size), np.log(test.size))
    four = (anchor.size, anchor.accuracy, test.size, test.accuracy)
    settings = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}
    rate = float(bd_rate(*four, **settings)) if shares[0] >= MIN_OVERLAP else np.nan
    accuracy = float(bd_psnr(*four, **settings)) if shares[1] >= MIN_OVERLAP else np.nan
    short = [
        f"{word} overlap by {100 * share:.0f} % only"
        for word, share in zip(("accuracies", "bytes"), shares, strict=True)
        if share < MIN_OVERLAP
    ]
    return _Outcome(rate, 100 * shares[0], accuracy, 100 * shares[1], "; ".join(short))


def _overlap(one: Numbers, other: Numbers) -> float:
    both = min(one.max(), other.max()) - max(one.min(), other.min())
    either = max(one.max(), other.max()) - min(one.min(), other.min())
    return max(float(both / either), 0.0) if either > 0 else 0.0

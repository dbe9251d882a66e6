"""Accuracy of a classifier: per-image records, and shares with 95 % intervals."""

import math

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import binomtest
from torch import Tensor

from splitbench.bench.metrics.records import Records
from splitbench.methods.base import MethodError

METRIC = "top1"


def record(scores: Tensor, labels: npt.NDArray[np.int64]) -> Records:
    """Return the records of a batch's scores (B, classes) and labels (B,).

    ``prediction`` is the class of the highest score, the first of equal ones; ``top1`` and ``top5`` are 1 where the
    label is among the highest, else 0. ``top5`` is -1 where fewer than five classes have a score: minus infinity says
    that none was sent.

    Raises:
        MethodError: Scores are not numbers.
    """
    if bool(torch.isnan(scores).any()):
        raise MethodError("scores are no numbers (NaN)")
    highest = scores.argsort(dim=1, descending=True, stable=True)[:, :5]
    classes = highest.cpu().numpy()
    known = (scores.gather(1, highest) != -torch.inf).cpu().numpy()
    hits = (classes == labels[:, None]) & known
    top5 = np.where(known.all(1) & (known.shape[1] == 5), hits.any(1), -1)
    return {
        "prediction": classes[:, 0].astype(np.int32),
        "top1": hits[:, 0].astype(np.int8),
        "top5": top5.astype(np.int8),
    }


def summary(records: Records, baseline: Records) -> dict[str, float | str | None]:
    """Return a cell's accuracy columns, from its records and the uncompressed backbone's on the same images."""
    right, reference = records["top1"] == 1, baseline["top1"] == 1
    low, high = interval(int(right.sum()), len(right))
    drop, drop_low, drop_high = paired_difference(reference, right)
    return {
        "metric": METRIC,
        "accuracy": _percent(right.mean()),
        "accuracy_low": _percent(low),
        "accuracy_high": _percent(high),
        "drop": _percent(drop),
        "drop_low": _percent(drop_low),
        "drop_high": _percent(drop_high),
        "baseline": _percent(reference.mean()),
        "top5": _top5(records),
        "top5_baseline": _top5(baseline),
    }


def _percent(share: float) -> float:
    return 100 * float(share)


def _top5(records: Records) -> float | None:
    return None if (records["top5"] < 0).any() else _percent(records["top5"].mean())


def interval(right: int, images: int) -> tuple[float, float]:
    """Return the 95 % interval of the share ``right / images``.

    Wilson's score interval (J. Am. Stat. Assoc. 22, 1927, 209-212), which keeps its coverage near 0 and 1.
    """
    ends = binomtest(right, images).proportion_ci(0.95, method="wilson")
    return float(ends.low), float(ends.high)


def paired_difference(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return mean(a) - mean(b) on the same images, and its 95 % interval.

    Newcombe's method 10 for paired shares (Statistics in Medicine 17, 1998, 2635-2650): unlike a bootstrap it does not
    claim certainty where a and b happen to agree on every image.
    """
    n = len(a)
    both, only_a, only_b = int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum())
    neither = n - both - only_a - only_b
    share_a, share_b = (both + only_a) / n, (both + only_b) / n
    low_a, high_a = interval(both + only_a, n)
    low_b, high_b = interval(both + only_b, n)
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    cross = float(both * neither - only_a * only_b)
    if cross > 0:
        cross = max(cross - n / 2, 0.0)  # Newcombe's continuity correction of the correlation
    phi = cross / math.sqrt(margins) if margins > 0 else 0.0
    down, up = share_a - low_a, high_b - share_b
    below = math.sqrt(max(0.0, down**2 - 2 * phi * down * up + up**2))
    down, up = high_a - share_a, share_b - low_b
    above = math.sqrt(max(0.0, down**2 - 2 * phi * down * up + up**2))
    difference = (only_a - only_b) / n
    return difference, difference - below, difference + above

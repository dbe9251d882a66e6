"""Paired statistics of two cells on the same images, and Holm's correction over many of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm

from splitbench.bench.metrics.bootstrap import interval

SAMPLES = 10_000
"""Bootstrap samples of a difference between shares."""

Floats = npt.NDArray[np.float64]


class Difference(NamedTuple):
    """a - b in points, its 95 % interval (nan where there is none), and the p-value of no difference."""

    points: float
    low: float
    high: float
    p: float


def difference_of_hits(only_a: int, only_b: int, images: int) -> Difference:
    """Compare the accuracy of two classifiers on the same images.

    The interval is the percentile bootstrap over images. Which images are drawn matters to the difference only through
    the number of those that just one of the two gets right, so these counts are drawn, multinomially: the same
    distribution. Where the two never differ the bootstrap would claim certainty, and there is no interval. The p-value
    is McNemar's exact test: the binomial test over the images that just one of the two gets right.

    Args:
        only_a: the number of images that only a gets right.
        only_b: the number of images that only b gets right.
        images: the number of images.
    """
    discordant = only_a + only_b
    if not discordant:
        return Difference(0.0, np.nan, np.nan, 1.0)
    shares = [only_a / images, only_b / images, (images - discordant) / images]
    drawn = np.random.default_rng(0).multinomial(images, shares, SAMPLES)
    low, high = np.percentile(100 * (drawn[:, 0] - drawn[:, 1]) / images, [2.5, 97.5])
    p = binomtest(only_a, discordant).pvalue
    return Difference(100 * (only_a - only_b) / images, float(low), float(high), float(p))


def difference_of_samples(difference: float, samples: Floats) -> Difference:
    """Compare two numbers of which only the difference in bootstrap samples of the images is known, such as two APs.

    The interval is that of the percentiles, moved to lie around the estimate as the table's intervals are; the p-value
    is Wald's, with the samples' standard deviation as the standard error: counting samples could not give one small
    enough for Holm's correction over many pairs.

    Args:
        difference: a - b, in points.
        samples: the same in each sample (S,); nan where a sample has nothing to find.
    """
    error = float(np.nanstd(samples, ddof=1))
    if error == 0:
        return Difference(difference, np.nan, np.nan, 1.0 if difference == 0 else 0.0)
    low, high = interval(samples, difference)
    return Difference(difference, low, high, float(2 * norm.sf(abs(difference) / error)))


def holm(p: Sequence[float]) -> Floats:
    """Apply Holm's step-down correction: the p-values returned may all be read against the same level.

    Scandinavian Journal of Statistics 6 (1979), 65-70. The tests need not be independent.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0) if len(values) else stepped
    return corrected

"""Average precision in bootstrap samples of the images, from a cell's per-image records alone. Needs no torch."""

import numpy as np
import numpy.typing as npt

from splitbench.bench.metrics.average_precision import Matches, average_precision, sort_matches
from splitbench.bench.metrics.records import Records

SAMPLES = 1000
"""Bootstrap samples of the images."""

_DRAWS_AT_ONCE = 2**22

REQUIRED = ("detections", "labels", "scores", "matched", "ignored", "truths", "truth_labels")
"""The records that average precision follows from."""


def average_precisions(records: Records) -> npt.NDArray[np.float64]:
    """Return average precision, in percent, in bootstrap samples of the images, (SAMPLES,).

    The samples depend on the number of images only, so that those of two cells are pairs.
    """
    images = len(records["detections"])
    draws = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), SAMPLES)
    return 100 * average_precision(matches_in(records), draws)


def image_draws(images: int) -> npt.NDArray[np.uint8]:
    """Return how often each image is in each bootstrap sample, (images, SAMPLES): those of average precision."""
    rng, shares = np.random.default_rng(0), np.full(images, 1 / images)
    draws = np.empty((images, SAMPLES), np.uint8)  # as narrow as can be: 50 MB for 50,000 images
    at_once = max(1, _DRAWS_AT_ONCE // images)
    for first in range(0, SAMPLES, at_once):
        count = min(at_once, SAMPLES - first)
        draws[:, first : first + count] = rng.multinomial(images, shares, count).T
    return draws


def matches_in(records: Records) -> Matches:
    """Return the matches of a cell's detections, from its records."""
    images = len(records["detections"])
    return sort_matches(
        image=np.repeat(np.arange(images), records["detections"]),
        labels=records["labels"],
        scores=records["scores"].astype(np.float64),
        matched=records["matched"],
        ignored=records["ignored"],
        target_image=np.repeat(np.arange(images), records["truths"]),
        target_labels=records["truth_labels"],
        images=images,
    )


def interval(samples: npt.NDArray[np.float64], estimate: float) -> tuple[float, float]:
    """Return the 95 % percentile interval (Efron 1979) of an estimate, moved to lie around the estimate.

    Samples repeat images and miss some categories, which raises average precision on small sets: without being moved,
    the interval could lie beside the estimate.

    Args:
        samples: The metric in bootstrap samples, (S,); NaN where a sample has nothing to find.
        estimate: The metric on all images.
    """
    low, high = np.nanpercentile(samples, [2.5, 97.5]) - np.nanmean(samples)
    return estimate + min(float(low), 0.0), estimate + max(float(high), 0.0)

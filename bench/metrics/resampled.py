"""Average precision in bootstrap samples of the images, from a cell's per-image records alone. Needs no torch."""

import numpy as np
import numpy.typing as npt

from splitbench.bench.metrics.average_precision import Matches, average_precision, matches
from splitbench.bench.metrics.records import Records

SAMPLES = 1000
"""Bootstrap samples of the images."""

NEEDED = ("detections", "labels", "scores", "matched", "ignored", "truths", "truth_labels")
"""The records that average precision follows from."""


def resampled(records: Records) -> npt.NDArray[np.float64]:
    """Average precision, in percent, in bootstrap samples of the images: (SAMPLES,).

    The samples depend on the number of images only, so that those of two cells are pairs.
    """
    images = len(records["detections"])
    draws = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), SAMPLES)
    return 100 * average_precision(found_in(records), draws)


def found_in(records: Records) -> Matches:
    """What average precision follows from, out of a cell's records."""
    images = len(records["detections"])
    return matches(
        np.repeat(np.arange(images), records["detections"]),
        records["labels"],
        records["scores"].astype(np.float64),
        records["matched"],
        records["ignored"],
        np.repeat(np.arange(images), records["truths"]),
        records["truth_labels"],
        images,
    )


def interval(values: npt.NDArray[np.float64], estimate: float) -> tuple[float, float]:
    """95 % interval of an estimate from its values in bootstrap samples: their percentiles, moved to lie around it.

    Samples repeat images and miss some categories, which lifts average precision on small sets: without being moved,
    the interval could lie beside the estimate.
    """
    low, high = np.nanpercentile(values, [2.5, 97.5]) - np.nanmean(values)
    return estimate + min(float(low), 0.0), estimate + max(float(high), 0.0)

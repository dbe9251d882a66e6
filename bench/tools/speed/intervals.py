"""Time to compute a detection cell's interval: average precision in all bootstrap samples, from random matches."""

import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from splitbench.bench.metrics.bootstrap import SAMPLES, average_precisions
from splitbench.bench.metrics.records import Records
from splitbench.bench.tools.speed.measurement import Measurement, time_in_turn

_CATEGORIES = 80
_BOXES = 7.3
"""Boxes per image; COCO's validation set has 36,781 in 5,000 images."""
_DETECTIONS = 100
"""Detections per image, the maximum that COCO's protocol counts."""
_MATCHED = 0.05
"""Share of detections that match a box at the lowest overlap."""
_AIM = 10.0  # seconds of one core


def measure_intervals(images: int, rounds: int) -> Iterator[Measurement]:
    """Measure seconds of one core, with as many categories as COCO and 100 detections in each image."""
    records = random_records(images)
    (seconds,) = time_in_turn([lambda: average_precisions(records)], rounds, time.thread_time)
    title = f"interval of AP: {images} images, {SAMPLES} bootstrap samples"
    yield Measurement(title, "s", seconds, _AIM, below=True)


def random_records(images: int) -> Records:
    """Draw records of detections; some match a box, up to a random overlap, and 1 in 100 is ignored."""
    rng = np.random.default_rng(0)
    count = images * _DETECTIONS
    overlaps = np.where(rng.random(count) < _MATCHED, rng.integers(1, 11, count), 0)
    matched: npt.NDArray[np.int64] = (1 << overlaps) - 1
    truths = rng.poisson(_BOXES, images)
    return {
        "detections": np.full(images, _DETECTIONS),
        "labels": rng.integers(0, _CATEGORIES, count),
        "scores": (rng.random(count) + (overlaps > 0)).astype(np.float32) / 2,
        "matched": matched.astype(np.uint16),
        "ignored": np.where(rng.random(count) < 0.01, 2**10 - 1, 0).astype(np.uint16),
        "truths": truths,
        "truth_labels": rng.integers(0, _CATEGORIES, int(truths.sum())),
    }

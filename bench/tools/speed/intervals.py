"""How long a detection cell's interval takes: average precision in all bootstrap samples, from made-up matches."""

import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from splitbench.bench.metrics.bootstrap import SAMPLES, average_precisions
from splitbench.bench.metrics.records import Records
from splitbench.bench.tools.speed.measured import Measured, in_turn

_CATEGORIES = 80
_WANTED = 7.3
"""Boxes per image; COCO's validation part has 36,781 in 5,000 images."""
_FOUND = 100
"""Detections per image, the most that COCO counts."""
_RIGHT = 0.05
"""The share of them that match a box at the lowest overlap."""
_AIM = 10.0  # seconds of one core


def timed(images: int, rounds: int) -> Iterator[Measured]:
    """Seconds of one core for as many images, as many categories as COCO has, and 100 detections in each image."""
    records = made_up(images)
    (seconds,) = in_turn([lambda: average_precisions(records)], rounds, time.thread_time)
    title = f"interval of AP: {images} images, {SAMPLES} bootstrap samples"
    yield Measured(title, "s", seconds, _AIM, below=True)


def made_up(images: int) -> Records:
    """Records of detections some of which are right, up to an overlap that differs; 1 in 100 is ignored."""
    rng = np.random.default_rng(0)
    count = images * _FOUND
    overlaps = np.where(rng.random(count) < _RIGHT, rng.integers(1, 11, count), 0)
    matched: npt.NDArray[np.int64] = (1 << overlaps) - 1
    truths = rng.poisson(_WANTED, images)
    return {
        "detections": np.full(images, _FOUND),
        "labels": rng.integers(0, _CATEGORIES, count),
        "scores": (rng.random(count) + (overlaps > 0)).astype(np.float32) / 2,
        "matched": matched.astype(np.uint16),
        "ignored": np.where(rng.random(count) < 0.01, 2**10 - 1, 0).astype(np.uint16),
        "truths": truths,
        "truth_labels": rng.integers(0, _CATEGORIES, int(truths.sum())),
    }

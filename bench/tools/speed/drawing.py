"""The rate at which images of the synthetic datasets are rendered, on one core."""

import time
from collections.abc import Iterator

from splitbench.bench.tools.speed.measurement import Measurement, time_in_turn
from splitbench.datasets import synthetic, synthetic_detection
from splitbench.datasets.base import Dataset


def measure_drawing(images: int, rounds: int) -> Iterator[Measurement]:
    """Measure images per second of both datasets; each round draws other images, as datasets cache some."""
    options = synthetic.Options()
    views = {
        "classification": synthetic.DATASET.load(options, "train"),
        "detection": synthetic_detection.DATASET.load(options, "train"),
    }
    indices = iter(range(images * (rounds + 1) * len(views)))

    def draw(view: Dataset) -> None:
        for _ in range(images):
            view.image(next(indices))

    seconds = time_in_turn([lambda view=view: draw(view) for view in views.values()], rounds, time.thread_time)  # type: ignore[misc]
    for name, times in zip(views, seconds, strict=True):
        yield Measurement(f"drawing synthetic images, {name}", "images/s", [images / s for s in times])

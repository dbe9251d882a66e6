"""How fast the synthetic datasets' pictures are drawn, on one core."""

import time
from collections.abc import Iterator

from splitbench.bench.tools.speed.measured import Measured, in_turn
from splitbench.datasets import synthetic, synthetic_detection
from splitbench.datasets.base import Dataset


def timed(images: int, rounds: int) -> Iterator[Measured]:
    """Images of classification and of detection per second, in each round others (some are kept for a second look)."""
    options = synthetic.Options()
    views = {
        "classification": synthetic.DATASET.load(options, "train"),
        "detection": synthetic_detection.DATASET.load(options, "train"),
    }
    indices = iter(range(images * (rounds + 1) * len(views)))

    def draw(view: Dataset) -> None:
        for _ in range(images):
            view.image(next(indices))

    seconds = in_turn([lambda view=view: draw(view) for view in views.values()], rounds, time.thread_time)  # type: ignore[misc]
    for name, taken in zip(views, seconds, strict=True):
        yield Measured(f"drawing synthetic images, {name}", "images/s", [images / s for s in taken])

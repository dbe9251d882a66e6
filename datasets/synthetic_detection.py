"""The synthetic dataset's detection view: the scenes of ``synthetic`` seen whole, with COCO's annotations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from splitbench.datasets import base
from splitbench.datasets.base import Subset
from splitbench.datasets.drawing.render import Rendering, draw
from splitbench.datasets.drawing.scene import SCENE, VERSION
from splitbench.datasets.drawing.shapes import CLASSES
from splitbench.datasets.formats.detection_dataset import Box, Target, target_of
from splitbench.datasets.synthetic import SUBSETS, Options, Scenes

SIDE = SCENE
"""Pixels along each side of an image."""

LEAST_PIXELS = 24
LEAST_PERCENT = 20
"""A thing is annotated when at least this much of it is seen: in pixels, and of what nothing would hide."""


@lru_cache(256)  # an image and its boxes are asked for one after the other, and both take the drawing
def _render(seed: int, subset: int, index: int) -> Rendering:
    return draw(seed, subset, index, close=False)


class SyntheticDetection(Scenes):
    """Images of SIDE x SIDE pixels with boxes around one to six things of twelve classes."""

    task = "detection"
    version = VERSION
    classes = len(CLASSES)
    class_names: Sequence[str] = tuple(CLASSES)
    categories: Sequence[int] = range(1, len(CLASSES) + 1)
    category_names: Mapping[int, str] = dict(enumerate(CLASSES, 1))

    def count_boxes(self) -> Counter[int]:
        """Return how many boxes there are of each category, for which everything is drawn."""
        return Counter(box["category_id"] for index in range(len(self)) for box in self.boxes(index))

    def size(self, index: int) -> tuple[int, int]:
        """SIDE x SIDE."""
        return SIDE, SIDE

    def render(self, index: int) -> Rendering:
        """Pixels, and which labelled thing is seen at which of them."""
        return _render(self.seed, SUBSETS[self.subset], index)

    def image(self, index: int) -> Image.Image:
        """Return the drawn image, RGB, SIDE x SIDE."""
        return Image.fromarray(self.render(index).pixels)

    def boxes(self, index: int) -> list[Box]:
        """COCO's annotations: (left, top, width, height) of what is seen of each thing, and its area."""
        return boxes_of(self.render(index))

    def target(self, index: int) -> Target:
        """Return the boxes as corners (left, top, right, bottom), and their classes, which count from 1."""
        return target_of(self.boxes(index))


def boxes_of(rendering: Rendering) -> list[Box]:
    """Tight boxes around the pixels of each labelled thing of which enough is seen."""
    boxes: list[Box] = []
    for sight in rendering.sights:
        rows, columns = np.nonzero(rendering.owners == sight.owner)
        if len(rows) < LEAST_PIXELS or 100 * len(rows) < LEAST_PERCENT * sight.whole:
            continue
        left, top = int(columns.min()), int(rows.min())
        width, height = int(columns.max()) + 1 - left, int(rows.max()) + 1 - top
        box: Box = {
            "category_id": sight.label + 1,
            "bbox": (float(left), float(top), float(width), float(height)),
            "area": float(len(rows)),
            "iscrowd": 0,
        }
        boxes.append(box)
    return boxes


class SyntheticScenes:
    """Drawn scenes with boxes, for trying everything out."""

    task: ClassVar[str] = "detection"
    Options: ClassVar[type[base.Options]] = Options

    def load(self, options: Any, subset: Subset) -> SyntheticDetection:
        """Return the subset's images; nothing is drawn yet, and nothing can be missing."""
        return SyntheticDetection(options, subset)


DATASET = SyntheticScenes()

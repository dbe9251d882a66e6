"""The embedded dataset's detection view: the scenes of ``embedded`` seen whole, with COCO's annotations."""

from typing import Any, ClassVar, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitbench.datasets import base
from splitbench.datasets.base import Part
from splitbench.datasets.drawing.render import Picture, draw
from splitbench.datasets.drawing.scene import SCENE
from splitbench.datasets.embedded import PARTS, Options, Scenes

SIDE = SCENE
"""Pixels along each side of an image."""

LEAST_PIXELS = 24
LEAST_PERCENT = 20
"""A thing is annotated when at least this much of it is seen: in pixels, and of what nothing would hide."""


class Box(TypedDict):
    """One annotation in COCO's terms; ``category_id`` counts from 1, lengths and ``area`` are in pixels."""

    category_id: int
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int


class Target(TypedDict):
    """One image's annotations as torchvision's detectors want them: corners (N, 4), classes from 1 (N,)."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


class EmbeddedDetection(Scenes):
    """Images of SIDE x SIDE pixels with boxes around one to six things of twelve classes."""

    task = "detection"

    def picture(self, index: int) -> Picture:
        """Pixels, and which labelled thing is seen at which of them."""
        return draw(self.seed, PARTS[self.part], index, close=False)

    def image(self, index: int) -> Image.Image:
        """The drawn picture, RGB, SIDE x SIDE."""
        return Image.fromarray(self.picture(index).pixels)

    def boxes(self, index: int) -> list[Box]:
        """COCO's annotations: (left, top, width, height) of what is seen of each thing, and its area."""
        return boxes_of(self.picture(index))

    def target(self, index: int) -> Target:
        """The boxes as corners (left, top, right, bottom), and their classes."""
        boxes = self.boxes(index)
        corners = [(x, y, x + width, y + height) for x, y, width, height in (box["bbox"] for box in boxes)]
        return {
            "boxes": np.array(corners, dtype=np.float32).reshape(-1, 4),
            "labels": np.array([box["category_id"] for box in boxes], dtype=np.int64),
        }


def boxes_of(picture: Picture) -> list[Box]:
    """Tight boxes around the pixels of each labelled thing of which enough is seen."""
    boxes: list[Box] = []
    for sight in picture.sights:
        rows, columns = np.nonzero(picture.owners == sight.owner)
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


class _Kind:
    task: ClassVar[str] = "detection"
    Options: ClassVar[type[base.Options]] = Options

    def load(self, options: Any, part: Part) -> EmbeddedDetection:
        """The part's images; nothing is drawn yet, and nothing can be missing."""
        return EmbeddedDetection(options, part)


DATASET = _Kind()

"""What datasets for detection share: annotations in COCO's terms, and what else such a dataset provides."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.base import Dataset


class Box(TypedDict):
    """One annotation in COCO's terms: ``bbox`` is left, top, width and height, lengths and ``area`` are in pixels."""

    category_id: int
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int


class Target(TypedDict):
    """One image's boxes to train on: corners left, top, right, bottom (N, 4) and category ids (N,); no crowds."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


class DetectionDataset(Dataset, Protocol):
    """Images with boxes."""

    @property
    def categories(self) -> Sequence[int]:
        """The ids of all categories, whether or not there is a box of each."""
        ...

    def size(self, index: int) -> tuple[int, int]:
        """Return an image's height and width, without decoding it."""
        ...

    def boxes(self, index: int) -> list[Box]:
        """Return an image's annotations, crowds included."""
        ...

    def target(self, index: int) -> Target:
        """Return the same to train on."""
        ...


@runtime_checkable
class NamedCategories(Protocol):
    """A dataset for detection whose categories have names, so that no detector's numbering has to be guessed."""

    @property
    def category_names(self) -> Mapping[int, str]:
        """Category ids to names; those without a name may be missing."""
        ...

    def count_boxes(self) -> Mapping[int, int]:
        """Count boxes by category in the whole set, images that a limit leaves out included."""
        ...


def target_of(boxes: Sequence[Box]) -> Target:
    """Annotations as corners and category ids; crowds are left out, as no single thing is in them."""
    single = [box for box in boxes if not box["iscrowd"]]
    corners = [(x, y, x + width, y + height) for x, y, width, height in (box["bbox"] for box in single)]
    return {
        "boxes": np.array(corners, dtype=np.float32).reshape(-1, 4),
        "labels": np.array([box["category_id"] for box in single], dtype=np.int64),
    }

"""The targets of training images, for losses that need them."""

from typing import Any, cast

import torch
from torch import Tensor

from splitbench.datasets.base import Dataset
from splitbench.datasets.formats.boxes import DetectionDataset

Truth = Any
"""Class indices (B,) for classification; for detection a dict of ``boxes`` and ``labels`` for each image."""


class Truths:
    """Targets by index; each is asked of the data set once."""

    def __init__(self, images: Dataset) -> None:
        self.images = images
        self._known: dict[int, Any] = {}
        self._together = _boxes if images.task == "detection" else _classes

    def __call__(self, index: Tensor, version: Tensor) -> Truth:
        """The targets of the images of these indices (B,), mirrored where ``version`` (B,) is 1."""
        pairs = zip(index.tolist(), version.tolist(), strict=True)
        return self._together([(self._of(int(i)), bool(mirrored)) for i, mirrored in pairs])

    def _of(self, index: int) -> Any:
        if index not in self._known:
            target = self.images.target(index)
            if isinstance(target, dict):
                boxes = torch.as_tensor(target["boxes"], dtype=torch.float32).reshape(-1, 4)
                _, width = cast(DetectionDataset, self.images).size(index)
                target = boxes, torch.as_tensor(target["labels"]), width
            self._known[index] = target
        return self._known[index]


def _classes(chosen: list[tuple[int, bool]]) -> Tensor:
    return torch.tensor([label for label, _ in chosen])


def _boxes(chosen: list[tuple[tuple[Tensor, Tensor, int], bool]]) -> list[dict[str, Tensor]]:
    found = []
    for (boxes, labels, width), mirrored in chosen:
        if mirrored:
            boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
        found.append({"boxes": boxes, "labels": labels})
    return found

"""The trivial split points at the two ends of a backbone: images cross, or what the whole model answers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from splitbench.bench.utils.precision import to_float32

Found = dict[str, Tensor]
"""One image's detections: ``boxes`` (N, 4), ``labels`` (N,), ``scores`` (N,)."""

BOX_ROLES = ("boxes", "labels", "scores")
"""The tensors that cross where boxes are sent, and the fields of :data:`Found`."""

UNUSED = -1.0
"""The score of a row without a box."""


def sizes_of(images: Sequence[Tensor]) -> list[int]:
    """Return the height and width of each image, one after the other."""
    return [int(side) for image in images for side in image.shape[-2:]]


class ImagesHead(nn.Module):
    """Nothing runs on the device: each image is a separate cut, since sizes differ."""

    def forward(self, images: Sequence[Tensor]) -> tuple[Any, ...]:
        """Return one tensor (1, 3, H, W) per image, then the sizes."""
        return (*(image[None] for image in images), *sizes_of(images))


class ImagesTail(nn.Module):
    """The whole detector."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, *crossed: Any) -> list[Found]:
        """Map what :class:`ImagesHead` returned to detections."""
        detections: list[Found] = self.whole([image[0] for image in crossed if isinstance(image, Tensor)])
        return detections


class WholeHead(nn.Module):
    """The whole model runs on the device, and its answer crosses: in float32, in which decoded ranks stay apart."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, pixels: Any) -> tuple[Tensor, ...]:
        """Map pixels to a classifier's scores (B, classes)."""
        return (to_float32(self.whole(pixels)),)


class BoxesHead(WholeHead):
    """The whole detector runs on the device. Of more than ``most`` boxes the likeliest cross."""

    def __init__(self, whole: nn.Module, most: int) -> None:
        super().__init__(whole)
        self.most = most

    def forward(self, images: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map images to boxes (B, most, 4), labels (B, most) and scores (B, most)."""
        rows = [self._padded(detections) for detections in to_float32(self.whole(images))]
        return tuple(torch.stack([row[name] for row in rows]) for name in BOX_ROLES)

    def _padded(self, detections: Found) -> Found:
        if len(detections["scores"]) > self.most:
            kept = detections["scores"].argsort(descending=True, stable=True)[: self.most].sort().values
            detections = {name: detections[name][kept] for name in BOX_ROLES}
        room = self.most - len(detections["scores"])
        return {
            "boxes": nn.functional.pad(detections["boxes"], (0, 0, 0, room)),
            "labels": nn.functional.pad(detections["labels"], (0, room)),
            "scores": nn.functional.pad(detections["scores"], (0, room), value=UNUSED),
        }


class BoxesTail(nn.Module):
    """Nothing is left to run: rows without a box are dropped."""

    def forward(self, boxes: Tensor, labels: Tensor, scores: Tensor) -> list[Found]:
        """Map what :class:`BoxesHead` returned to detections."""
        used = [row >= 0 for row in scores]
        return [
            {"boxes": b[kept], "labels": n[kept], "scores": s[kept]}
            for b, n, s, kept in zip(boxes, labels, scores, used, strict=True)
        ]

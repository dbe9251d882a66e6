"""The training images of one dataset for one backbone, shared by all its trainings."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.training import TrainingError
from splitbench.bench.training.methods.examples import HOST_FIELDS, Examples, FrozenHead, Pictures, of_cuts, of_pictures
from splitbench.bench.utils import progress
from splitbench.bench.utils.devices import to_device
from splitbench.bench.utils.progress import Show
from splitbench.datasets.base import Dataset
from splitbench.datasets.formats.detection_dataset import DetectionDataset

_EXAMPLE_IMAGES, _EXAMPLE_PIXELS = 32, 2_000_000
"""Images in ``example``: fewer where they are large, since models are measured on it."""


class TrainingData:
    """Training images as examples for any split point; those of the last split point stay in memory.

    Args:
        images: The dataset's training images.
        backbone: Makes pixels and batches of them.
        device: Where models run.
        memory: Bytes that images may take, and examples of a split point again.
        show: Shows the loop that decodes images.
        skip_unreadable: Whether another image stands for one that cannot be read.

    Attributes:
        example: A batch of a few images, as the head takes it.
        example_images: How many.
        pixels: Pixels of an image, the mean over the example.

    Raises:
        TrainingError: fewer than two images, or none that can be read.
        ImageError: an image that cannot be read.
    """

    def __init__(
        self,
        images: Dataset,
        backbone: Backbone,
        *,
        device: torch.device,
        memory: int,
        show: Show = progress.bar,
        skip_unreadable: bool = False,
    ) -> None:
        if len(images) < 2:
            raise TrainingError(f"{len(images)} training images: at least two are needed")
        self.images, self.backbone, self.device, self.memory = images, backbone, device, memory
        pictures = Pictures(images, backbone, skip_unreadable)
        in_memory = pictures.in_memory(memory, show)
        self._pictures: TorchDataset[Any] = pictures if in_memory is None else in_memory
        first = self._pictures[0][0]
        most = max(2, _EXAMPLE_PIXELS // (first.shape[-1] * first.shape[-2]))
        rows = [self._pictures[index][0] for index in range(min(_EXAMPLE_IMAGES, most, len(images)))]
        rows = [rows[index] for index in backbone.alike(rows)[0]]
        self.example = to_device(backbone.together(rows), device)
        self.example_images = len(rows)
        self.pixels = sum(x.shape[-1] * x.shape[-2] for x in rows) / len(rows)
        self._one_size = in_memory is not None or self._have_one_size(rows)
        self._targets = _Targets(images)
        self._sizes: dict[int, tuple[Any, ...]] = {}
        self._cuts: tuple[tuple[int, bool], Examples] | None = None

    def _have_one_size(self, rows: list[Tensor]) -> bool:
        if self.images.task == "detection":
            images = cast(DetectionDataset, self.images)
            return len({images.size(index) for index in range(len(images))}) == 1
        return all(x.shape == rows[0].shape for x in rows)

    def pictures(self, flip: bool) -> Examples:
        """Return examples that are images, mirrored at random with ``flip``."""
        return of_pictures(self._pictures, flip)

    def cuts(self, head: FrozenHead, cut: tuple[Tensor, ...], flip: bool) -> Examples:
        """Return examples that are a frozen head's outputs, or images where those would not fit into memory.

        Args:
            head: The frozen head.
            cut: What it makes of ``example``.
            flip: Whether training sees mirrored images, too.
        """
        size = sum(x.nbytes for x in cut) // self.example_images * len(self.images) * (2 if flip else 1)
        if not self._one_size or size > self.memory:
            return self.pictures(flip)
        # By its outputs and not by the head itself: each rate point splits the backbone anew.
        key = (hash(tuple((x.shape, float(x.float().sum())) for x in cut)), flip)
        if self._cuts is None or self._cuts[0] != key:
            self._cuts = None  # two would not fit
            self._sizes.clear()
            examples = of_cuts(self._pictures, self.backbone, head, flip=flip, device=self.device)
            self._cuts = key, examples
        return self._cuts[1]

    @torch.no_grad()
    def sizes(self, head: FrozenHead, batch: int) -> tuple[Any, ...]:
        """Return the sizes that a head sends for a batch of so many images, which all have one size."""
        if not head.sizes:
            return ()
        if batch not in self._sizes:
            pixels = self._pictures[0][0].to(self.device)
            self._sizes[batch] = tuple(head.module(self.inputs([pixels] * batch))[head.tensors :])
        return self._sizes[batch]

    def inputs(self, pixels: Any) -> Any:
        """Return a batch of pixels as the head takes it."""
        return self.backbone.together(list(pixels))

    def targets(self, index: Tensor, version: Tensor) -> Any:
        """Return the targets of images, mirrored where their version is 1, on the device.

        They are class indices (B,) for classification, and a dict of ``boxes`` and ``labels`` per image for detection.
        """
        return to_device(self._targets(index, version), self.device)

    def batches(self, examples: Examples, size: int) -> Iterator[Any]:
        """Yield batches of training examples in random order, varied as in training, always the same."""
        random = torch.Generator().manual_seed(0)
        loader = DataLoader(examples.train, size, shuffle=True, generator=random, collate_fn=examples.collate)
        for batch in loader:
            varied = examples.augment(tuple(batch), random) if examples.augment else tuple(batch)
            yield to_device(varied, self.device, HOST_FIELDS)


class _Targets:
    """Targets by index; boxes are asked of the data set once."""

    def __init__(self, images: Dataset) -> None:
        self.images = images
        self._known: dict[int, Any] = {}
        self._collate = _boxes if images.task == "detection" else _classes

    def __call__(self, index: Tensor, version: Tensor) -> Any:
        pairs = zip(index.tolist(), version.tolist(), strict=True)
        return self._collate([(self._target(int(i)), bool(mirrored)) for i, mirrored in pairs])

    def _target(self, index: int) -> Any:
        if index not in self._known:
            target = self.images.target(index)
            if not isinstance(target, dict):
                return target
            boxes = torch.as_tensor(target["boxes"], dtype=torch.float32).reshape(-1, 4)
            _, width = cast(DetectionDataset, self.images).size(index)
            self._known[index] = boxes, torch.as_tensor(target["labels"]), width
        return self._known[index]


def _classes(targets: list[tuple[int, bool]]) -> Tensor:
    return torch.tensor([label for label, _ in targets])


def _boxes(targets: list[tuple[tuple[Tensor, Tensor, int], bool]]) -> list[dict[str, Tensor]]:
    """Boxes as (left, top, right, bottom) in pixels, mirrored where asked for."""
    images = []
    for (boxes, labels, width), mirrored in targets:
        if mirrored:
            boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
        images.append({"boxes": boxes, "labels": labels})
    return images

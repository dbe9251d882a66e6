"""The training images of one dataset for one backbone, shared by all its trainings."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.training import TrainingError
from splitbench.bench.training.batches import moved
from splitbench.bench.training.methods.examples import STAY, Examples, listed, of_cuts, of_pictures, pictures
from splitbench.bench.training.methods.targets import Truth, Truths
from splitbench.datasets.base import Dataset
from splitbench.datasets.formats.boxes import DetectionDataset

_EXAMPLES, _EXAMPLE_PIXELS = 32, 2_000_000
"""How many pictures an example has: fewer where they are large, since models are measured on it."""


class Pool:
    """Examples in either form; those of the split point that was asked for last are kept.

    Attributes:
        example: A batch of a few training pictures, as the head takes it.
        count: How many pictures it holds.
        pixels: Pixels of a picture, the mean over the example.
    """

    def __init__(
        self,
        images: Dataset,
        backbone: Backbone,
        device: torch.device,
        budget: int,
        progress: bool = True,
        skip_unreadable: bool = False,
    ) -> None:
        if len(images) < 2:
            raise TrainingError(f"{len(images)} training images: at least two are needed")
        self.images, self.backbone, self.device, self.budget, self.progress = images, backbone, device, budget, progress
        self.data = pictures(images, backbone, budget, progress, skip_unreadable)
        first = self.data[0][0]
        most = max(2, _EXAMPLE_PIXELS // (first.shape[-1] * first.shape[-2]))
        rows = [self.data[index][0] for index in range(min(_EXAMPLES, most, len(images)))]
        rows = [rows[place] for place in backbone.alike(rows)[0]]
        self.example = moved(backbone.together(rows), device)
        self.count = len(rows)
        self.pixels = sum(x.shape[-1] * x.shape[-2] for x in rows) / len(rows)
        self.in_memory = isinstance(self.data, TensorDataset)
        self.one_size = self.in_memory or self._one_size(rows)
        self._truths = Truths(images)
        self._sizes: dict[int, tuple[Any, ...]] = {}
        self._kept: tuple[tuple[int, bool], Examples] | None = None

    def _one_size(self, rows: list[Tensor]) -> bool:
        if self.images.task == "detection":
            images = cast(DetectionDataset, self.images)
            return len({images.size(index) for index in range(len(images))}) == 1
        return all(x.shape == rows[0].shape for x in rows)

    def examples(self, head: nn.Module | None, cut: tuple[Tensor, ...], flip: bool) -> Examples:
        """Examples for one split point.

        Args:
            head: The frozen head whose outputs may be kept; None where the head is trained, too.
            cut: What it makes of ``example``.
            flip: Whether training sees mirrored pictures, too.
        """
        size = sum(x.nbytes for x in cut) // self.count * len(self.images) * (2 if flip else 1)
        if head is None or not self.one_size or size > self.budget:
            return of_pictures(self.data, flip)
        # Not by the head itself: each rate point splits the backbone anew.
        key = (hash(tuple((x.shape, float(x.float().sum())) for x in cut)), flip)
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # two would not fit
            self._sizes.clear()
            self._kept = key, of_cuts(self.data, self.backbone, head, len(cut), flip, self.device)
        return self._kept[1]

    @torch.no_grad()
    def sizes(self, head: nn.Module, tensors: int, batch: int) -> tuple[Any, ...]:
        """What a head sends besides the cut for a batch of pictures of the one size: it follows from the size alone."""
        if batch not in self._sizes:
            self._sizes[batch] = tuple(head(self.inputs([self.data[0][0].to(self.device)] * batch))[tensors:])
        return self._sizes[batch]

    def inputs(self, pixels: Any) -> Any:
        """A batch of pixels as the head takes it."""
        return self.backbone.together(list(pixels))

    def truth(self, index: Tensor, version: Tensor) -> Truth:
        """The targets of images, mirrored where their version is 1, on the device."""
        return moved(self._truths(index, version), self.device)

    def loader(self, shown: Examples, size: int) -> Iterator[Any]:
        """Batches of training examples in random order, varied as in training, always the same."""
        random = torch.Generator().manual_seed(0)
        collate = None if shown.cuts else listed
        for batch in DataLoader(shown.train, size, shuffle=True, generator=random, collate_fn=collate):
            varied = shown.augment(tuple(batch), random) if shown.augment else tuple(batch)
            yield moved(varied, self.device, STAY)

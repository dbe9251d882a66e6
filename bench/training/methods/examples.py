"""Training examples: images, or the cuts that a frozen head computes from them, in memory where they fit.

An example is (pixels, index, version), or the tensors of its cut in place of the pixels; version 1 is mirrored. The
index leads to the target, which distillation never asks for. Index and version stay on the host, where the target is.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset, TensorDataset

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.training import Augment, TrainingError
from splitbench.bench.training.batches import Collate
from splitbench.bench.utils import progress
from splitbench.bench.utils.devices import decoding_thread_count, to_device
from splitbench.bench.utils.progress import Show
from splitbench.datasets.base import Dataset, ImageError

HOST_FIELDS = 2
"""Fields at a batch's end that stay on the host: index and version."""
HELD_OUT_FRACTION, MOST_HELD_OUT = 10, 1000
"""A tenth of the training images, at most a thousand, is not trained on: it chooses the best epoch."""
_HEAD_BATCH = 64
_DECODED_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Examples:
    """Training and held-out examples for one split point.

    Attributes:
        train: To train on.
        held_out: To choose the best epoch by.
        augment: Mirrors training examples at random, if any are to be.
        collate: Makes a batch of a list of examples; None where they are stacked.
        head_runs: Where the examples are cuts, how many images the frozen head was run on; 0 where they are images.
    """

    train: TorchDataset[Any]
    held_out: TorchDataset[Any]
    augment: Augment | None
    collate: Collate | None = None
    head_runs: int = 0

    @property
    def are_cuts(self) -> bool:
        """Whether a frozen head's outputs stand for images."""
        return self.head_runs > 0


@dataclass(frozen=True, slots=True)
class FrozenHead:
    """A head whose outputs may stand for images.

    Attributes:
        module: The head.
        tensors: How many of its outputs are the cut's tensors; they come first.
        sizes: Whether sizes follow.
    """

    module: nn.Module
    tensors: int
    sizes: bool


@dataclass(frozen=True, slots=True)
class Pictures(TorchDataset[tuple[Tensor, int, int]]):
    """Images as (pixels, index, 0), decoded when asked for.

    With ``skip_unreadable``, the next readable image stands for one that cannot be read.
    """

    images: Dataset
    backbone: Backbone
    skip_unreadable: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        for step in range(len(self)):
            candidate = (index + step) % len(self)
            try:
                return self.backbone.pixels(self.images.image(candidate)), candidate, 0
            except ImageError:
                if not self.skip_unreadable:
                    raise
        raise TrainingError("no training image can be read")

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int, int]]:
        """Decode several at once, for PyTorch's loaders."""
        with ThreadPoolExecutor(decoding_thread_count()) as pool:
            return list(pool.map(self.__getitem__, indices))

    def in_memory(self, limit: int, show: Show) -> TensorDataset | None:
        """Return all images as tensors, or None where they differ in size or take more than ``limit`` bytes.

        Raises:
            ImageError: an image cannot be read.
            TrainingError: none can be read.
        """
        first = self[0][0]
        if first.nbytes * len(self) > limit:
            return None
        pixels = first.new_empty((len(self), *first.shape))
        indices = torch.empty(len(self), dtype=torch.long)
        parts = (self.__getitems__(part) for part in _parts(range(len(self)), _DECODED_AT_ONCE))
        rows = progress.track(chain.from_iterable(parts), "reading", "images", total=len(self), show=show)
        for row, (image, index, _) in enumerate(rows):
            if image.shape != first.shape:
                return None
            pixels[row], indices[row] = image, index
        return TensorDataset(pixels, indices, torch.zeros(len(self), dtype=torch.long))


def of_pictures(data: TorchDataset[Any], flip: bool) -> Examples:
    """Return examples that are images, mirrored at random with ``flip``."""
    train, held_out = _split(len(data))  # type: ignore[arg-type]
    return Examples(
        train=Subset(data, train),
        held_out=Subset(data, held_out),
        augment=_mirror if flip else None,
        collate=None if isinstance(data, TensorDataset) else _stack_or_list,
    )


@torch.no_grad()
def of_cuts(
    data: TorchDataset[Any], backbone: Backbone, head: FrozenHead, *, flip: bool, device: torch.device
) -> Examples:
    """Return examples that are a frozen head's outputs, which never change.

    Args:
        data: The images.
        backbone: Makes batches of them.
        head: The frozen head.
        flip: Whether training examples have both versions, (N, 2, ...), of which each batch takes one at random.
        device: Where the head runs.
    """
    train, held_out = _split(len(data))  # type: ignore[arg-type]

    def outputs(indices: Sequence[int], versions: int) -> Iterator[list[Tensor]]:
        for part in _parts(indices, _HEAD_BATCH):
            chosen = Subset(data, part)
            rows = chosen.__getitems__([*range(len(chosen))])
            pixels = to_device([pixels for pixels, *_ in rows], device)
            views = [pixels] + [[x.flip(-1) for x in pixels]] * (versions - 1)
            cuts = [head.module(backbone.together(view))[: head.tensors] for view in views]
            index = torch.tensor([int(index) for _, index, _ in rows])
            yield [*(torch.stack(values, 1).cpu() for values in zip(*cuts, strict=True)), index]

    def cuts(indices: Sequence[int], versions: int) -> TensorDataset:
        columns: list[Tensor] = []
        row = 0
        for values in outputs(indices, versions):
            columns = columns or [x.new_empty((len(indices), *x.shape[1:])) for x in values]
            for column, x in zip(columns, values, strict=True):
                column[row : row + len(x)] = x
            row += len(values[-1])
        if versions == 1:
            columns = [*(x[:, 0] for x in columns[:-1]), columns[-1]]
        return TensorDataset(*columns, torch.zeros(len(indices), dtype=torch.long))

    versions = 2 if flip else 1
    return Examples(
        train=cuts(train, versions),
        held_out=cuts(held_out, 1),
        augment=_choose_version if flip else None,
        head_runs=len(train) * versions + len(held_out),
    )


def _parts(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _split(count: int) -> tuple[list[int], list[int]]:
    """Indices of training images and of held-out ones: the same for every rate point."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()
    held_out = max(1, min(MOST_HELD_OUT, count // HELD_OUT_FRACTION))
    return sorted(order[held_out:]), sorted(order[:held_out])


def _choose_version(batch: tuple[Tensor, ...], random: torch.Generator) -> tuple[Tensor, ...]:
    """Take each cut in one of its two versions."""
    *cut, index, version = batch
    version = torch.randint(2, version.shape, generator=random)
    rows = 2 * torch.arange(len(index)) + version
    return *(x.flatten(0, 1).index_select(0, rows) for x in cut), index, version


def _mirror(batch: Any, random: torch.Generator) -> Any:
    """Mirror each image or not; images of several sizes come as a list."""
    pixels, index, version = batch
    version = torch.randint(2, version.shape, generator=random)
    mirrored = [x.flip(-1) if yes else x for x, yes in zip(pixels, version.tolist(), strict=True)]
    return torch.stack(mirrored) if isinstance(pixels, Tensor) else mirrored, index, version


def _stack_or_list(items: Sequence[tuple[Tensor, int, int]]) -> tuple[Tensor | list[Tensor], Tensor, Tensor]:
    """Return a batch of pictures: stacked where all have one size, else a list."""
    pixels, indices, versions = zip(*items, strict=True)
    one_size = all(x.shape == pixels[0].shape for x in pixels)
    return torch.stack(pixels) if one_size else list(pixels), torch.tensor(indices), torch.tensor(versions)

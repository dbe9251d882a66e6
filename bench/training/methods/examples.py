"""Training examples: pictures, or what a frozen head makes of them, in memory where they fit a budget.

An example is (pixels, index, version), or the tensors of its cut in place of the pixels; version 1 is mirrored. The
index leads to the truth, which distillation never asks for. Index and version stay on the host, where it is.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset, TensorDataset

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.training import Augment, TrainingError
from splitbench.bench.training.batches import moved
from splitbench.bench.utils import progress
from splitbench.bench.utils.decode_threads import threads
from splitbench.datasets.base import Dataset, ImageError

STAY = 2
"""Parts at a batch's end that stay on the host: index and version."""
HELD_OUT_SHARE, HELD_OUT_MOST = 10, 1000
"""A tenth of the training images, at most a thousand, is not trained on: the best epoch is chosen by it."""
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Pictures(TorchDataset[tuple[Tensor, int, int]]):
    """(pixels, index, 0), decoded when asked for.

    Where unreadable pictures are to be skipped, the next one that can be read stands for one that cannot.
    """

    images: Dataset
    backbone: Backbone
    skip_unreadable: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        for step in range(len(self)):
            place = (index + step) % len(self)
            try:
                return self.backbone.pixels(self.images.image(place)), place, 0
            except ImageError:
                if not self.skip_unreadable:
                    raise
        raise TrainingError("no training image can be read")

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int, int]]:
        """Many at once: what PyTorch's loaders ask for."""
        with ThreadPoolExecutor(threads()) as pool:
            return list(pool.map(self.__getitem__, indices))


@dataclass(frozen=True, slots=True)
class Examples:
    """Training and held-out examples of one split point. With ``cuts``, a frozen head's outputs stand for pictures."""

    train: TorchDataset[Any]
    held_out: TorchDataset[Any]
    augment: Augment | None
    cuts: bool
    head_runs: int


def pictures(
    images: Dataset, backbone: Backbone, budget: int, show_progress: bool, skip_unreadable: bool = False
) -> TorchDataset[Any]:
    """All pictures as a data set: in memory where all have one size and fit into ``budget`` bytes.

    Raises:
        ImageError: a picture that cannot be read, unless such ones are skipped.
        TrainingError: none can be read.
    """
    lazy = Pictures(images, backbone, skip_unreadable)
    first = lazy[0][0]
    if first.nbytes * len(images) > budget:
        return lazy
    with ThreadPoolExecutor(threads()) as pool:
        found: list[Tensor] = []
        places: list[int] = []
        rows = pool.map(lazy.__getitem__, range(len(images)))
        for pixels, place, _ in progress.track(
            rows, "training images", "images", total=len(images), disable=not show_progress, leave=False
        ):
            if pixels.shape != first.shape:
                pool.shutdown(cancel_futures=True)
                return lazy
            found.append(pixels)
            places.append(place)
    return TensorDataset(torch.stack(found), torch.tensor(places), torch.zeros(len(images), dtype=torch.long))


def parts(count: int) -> tuple[list[int], list[int]]:
    """Indices of the images that are trained on, and of those held out: the same for every rate point."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()
    few = max(1, min(HELD_OUT_MOST, count // HELD_OUT_SHARE))
    return sorted(order[few:]), sorted(order[:few])


def of_pictures(data: TorchDataset[Any], flip: bool) -> Examples:
    """Examples that are pictures."""
    train, held_out = parts(len(data))  # type: ignore[arg-type]
    return Examples(Subset(data, train), Subset(data, held_out), _mirrored if flip else None, False, 0)


@torch.no_grad()
def of_cuts(
    data: TorchDataset[Any], backbone: Backbone, head: nn.Module, tensors: int, flip: bool, device: torch.device
) -> Examples:
    """Examples that are cuts, with mirrored ones beside them if ``flip``: a frozen head's outputs never change."""
    train, held_out = parts(len(data))  # type: ignore[arg-type]
    versions = 2 if flip else 1

    def outputs(indices: Sequence[int], versions: int) -> Iterator[list[Tensor]]:
        for start in range(0, len(indices), _CHUNK):
            chosen = Subset(data, indices[start : start + _CHUNK])
            shown = chosen.__getitems__([*range(len(chosen))])
            rows = moved([pixels for pixels, *_ in shown], device)
            views = [rows] + [[pixels.flip(-1) for pixels in rows]] * (versions - 1)
            cuts = [head(backbone.together(view))[:tensors] for view in views]
            places = torch.tensor([int(place) for _, place, _ in shown])
            yield [*(torch.stack(values, 1).cpu() for values in zip(*cuts, strict=True)), places]

    def kept(indices: Sequence[int], versions: int) -> TensorDataset:
        columns = [torch.cat(column) for column in zip(*outputs(indices, versions), strict=True)]
        if versions == 1:
            columns = [*(x[:, 0] for x in columns[:-1]), columns[-1]]
        return TensorDataset(*columns, torch.zeros(len(indices), dtype=torch.long))

    runs = len(train) * versions + len(held_out)
    return Examples(kept(train, versions), kept(held_out, 1), _one_version if flip else None, True, runs)


def _one_version(batch: tuple[Tensor, ...], random: torch.Generator) -> tuple[Tensor, ...]:
    """Each image in one of its two versions."""
    *cut, index, version = batch
    version = torch.randint(2, version.shape, generator=random)
    rows = 2 * torch.arange(len(index)) + version
    return *(x.flatten(0, 1).index_select(0, rows) for x in cut), index, version


def _mirrored(batch: Any, random: torch.Generator) -> Any:
    """Each picture mirrored or not; pictures of several sizes come as a list."""
    pixels, index, version = batch
    version = torch.randint(2, version.shape, generator=random)
    turned = [x.flip(-1) if yes else x for x, yes in zip(pixels, version.tolist(), strict=True)]
    return torch.stack(turned) if isinstance(pixels, Tensor) else turned, index, version


def listed(items: Sequence[tuple[Tensor, int, int]]) -> tuple[Tensor | list[Tensor], Tensor, Tensor]:
    """A batch of pictures: stacked where all have one size, else a list."""
    pixels, indices, versions = zip(*items, strict=True)
    same = all(x.shape == pixels[0].shape for x in pixels)
    return torch.stack(pixels) if same else list(pixels), torch.tensor(indices), torch.tensor(versions)

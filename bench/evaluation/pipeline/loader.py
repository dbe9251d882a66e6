"""Batches of pixels, decoded ahead of the network by threads."""

from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.utils.devices import decoding_thread_count
from splitbench.datasets.base import Dataset, ImageError
from splitbench.datasets.storage.stored_images import reading_order

_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Batch:
    """The images of one batch.

    Attributes:
        indices: Their indices in the dataset, unreadable images left out, (B,).
        pixels: What ``Backbone.together`` made: a tensor (B, 3, H, W), or a list of tensors (3, H, W) where sizes
            differ; None where no image could be read.
        unreadable: A message for each image that could not be read.
    """

    indices: npt.NDArray[np.int64]
    pixels: Any
    unreadable: tuple[str, ...]


def plan_pass(dataset: Dataset, backbone: Backbone, size: int) -> list[list[int]]:
    """Divide the images of a pass into batches, in the order in which they are read fastest.

    Records are sorted afterwards, so that nothing depends on how images are stored.
    """
    return plan_batches(dataset, backbone, size, order=reading_order(dataset))


def plan_batches(
    dataset: Dataset, backbone: Backbone, size: int, *, most: int | None = None, order: Sequence[int] | None = None
) -> list[list[int]]:
    """Divide all images, or the first few, into batches, so that inputs of different shapes never share a batch.

    Groups of one shape come in the order of their first image, and each keeps the dataset's order.

    Args:
        dataset: The images.
        backbone: Knows the shapes.
        size: Images per batch at most.
        most: Images in all at most; None for all of the dataset.
        order: The order of the images; None for the dataset's.
    """
    groups: dict[Hashable, list[int]] = {}
    for index in (range(len(dataset)) if order is None else order)[:most]:
        groups.setdefault(backbone.group(dataset, index), []).append(index)
    return [group[start : start + size] for group in groups.values() for start in range(0, len(group), size)]


def load(dataset: Dataset, backbone: Backbone, plan: Sequence[Sequence[int]]) -> Iterator[Batch]:
    """Decode and preprocess the images of a plan, batch by batch."""

    def pixels_or_message(index: int) -> Tensor | str:
        try:
            return backbone.pixels(dataset.image(index))
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(decoding_thread_count()) as pool:

        def submit(indices: Sequence[int]) -> list[Future[Tensor | str]]:
            return [pool.submit(pixels_or_message, index) for index in indices]

        pending = [submit(indices) for indices in plan[: _BATCHES_AHEAD + 1]]
        try:
            for number, indices in enumerate(plan):
                results = [future.result() for future in pending.pop(0)]
                yield _batch(backbone, indices, results)
                following = number + _BATCHES_AHEAD + 1
                if following < len(plan):
                    pending.append(submit(plan[following]))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _batch(backbone: Backbone, indices: Sequence[int], results: Sequence[Tensor | str]) -> Batch:
    readable = [(index, result) for index, result in zip(indices, results, strict=True) if isinstance(result, Tensor)]
    return Batch(
        indices=np.array([index for index, _ in readable], np.int64),
        pixels=backbone.together([pixels for _, pixels in readable]) if readable else None,
        unreadable=tuple(result for result in results if isinstance(result, str)),
    )

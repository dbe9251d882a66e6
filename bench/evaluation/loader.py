"""Batches of pixels, decoded ahead of time."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.utils.decode_threads import threads
from splitbench.datasets.base import Dataset, ImageError

_AHEAD = 2  # batches


@dataclass(frozen=True)
class Batch:
    """Images of one batch: their indices in the dataset, their pixels, and those left out, by message.

    ``pixels`` is what ``Backbone.together`` made: a tensor (B, 3, H, W), or a list of tensors (3, H, W) where sizes
    differ; None where no image could be read.
    """

    indices: npt.NDArray[np.int64]
    pixels: Any
    unreadable: tuple[str, ...]


def batches(dataset: Dataset, backbone: Backbone, size: int) -> Iterator[Batch]:
    """All images, at most ``size`` at a time."""
    return decoded(dataset, backbone, chunks(dataset, backbone, size))


def decoded(
    dataset: Dataset,
    backbone: Backbone,
    plan: Sequence[Sequence[int]],
    pixels: Callable[[int], Tensor] | None = None,
) -> Iterator[Batch]:
    """The images of these indices, batch by batch as :func:`chunks` planned them.

    ``pixels`` gives an image's pixels by its index, where they need not be decoded; it raises ImageError.
    """

    def one(index: int) -> Tensor | str:
        try:
            return backbone.pixels(dataset.image(index)) if pixels is None else pixels(index)
        except ImageError as error:
            return str(error)

    def together(indices: Sequence[int], found: list[Tensor | str]) -> Batch:
        good = [(i, p) for i, p in zip(indices, found, strict=True) if isinstance(p, Tensor)]
        return Batch(
            np.array([i for i, _ in good], np.int64),
            backbone.together([p for _, p in good]) if good else None,
            tuple(p for p in found if isinstance(p, str)),
        )

    with ThreadPoolExecutor(threads()) as pool:

        def submit(chunk: Sequence[int]) -> list[Future[Tensor | str]]:
            return [pool.submit(one, i) for i in chunk]

        waiting = [submit(chunk) for chunk in plan[: _AHEAD + 1]]
        try:
            for number, chunk in enumerate(plan):
                futures = waiting.pop(0)
                yield together(chunk, [future.result() for future in futures])
                coming = number + _AHEAD + 1
                if coming < len(plan):
                    waiting.append(submit(plan[coming]))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def chunks(dataset: Dataset, backbone: Backbone, size: int) -> list[list[int]]:
    """The indices of all images, at most ``size`` at a time: in order, but those whose inputs differ in shape apart.

    Groups come in the order of their first image, each in its own order.
    """
    groups: dict[Hashable, list[int]] = {}
    for index in range(len(dataset)):
        groups.setdefault(backbone.group(dataset, index), []).append(index)
    return [group[start : start + size] for group in groups.values() for start in range(0, len(group), size)]

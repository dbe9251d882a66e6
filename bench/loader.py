"""Batches of pixels, decoded ahead of time by threads: Pillow releases the interpreter lock while it decodes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitbench.bench.preprocessing import Preprocessing
from splitbench.datasets.base import Dataset, ImageError

_THREADS = 2
_AHEAD = 2  # batches


@dataclass(frozen=True)
class Batch:
    """Images of one batch: their indices in the dataset, pixels (uint8, (B, 3, H, W)) and those left out, by message.

    Where no image could be read, ``pixels`` is None.
    """

    indices: npt.NDArray[np.int64]
    pixels: Tensor | None
    unreadable: tuple[str, ...]


def batches(dataset: Dataset, preprocessing: Preprocessing, size: int) -> Iterator[Batch]:
    """All images in order, ``size`` at a time."""

    def one(index: int) -> Tensor | str:
        try:
            return preprocessing.pixels(dataset.image(index))
        except ImageError as error:
            return str(error)

    def together(indices: Sequence[int], pixels: list[Tensor | str]) -> Batch:
        good = [(i, p) for i, p in zip(indices, pixels, strict=True) if isinstance(p, Tensor)]
        return Batch(
            np.array([i for i, _ in good], np.int64),
            torch.stack([p for _, p in good]) if good else None,
            tuple(p for p in pixels if isinstance(p, str)),
        )

    starts = list(range(0, len(dataset), size))
    with ThreadPoolExecutor(_THREADS) as pool:

        def submit(start: int) -> list[Future[Tensor | str]]:
            return [pool.submit(one, i) for i in range(start, min(start + size, len(dataset)))]

        waiting = [submit(start) for start in starts[: _AHEAD + 1]]
        try:
            for number, start in enumerate(starts):
                futures = waiting.pop(0)
                yield together(range(start, start + len(futures)), [future.result() for future in futures])
                coming = number + _AHEAD + 1
                if coming < len(starts):
                    waiting.append(submit(starts[coming]))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

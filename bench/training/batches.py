"""Batches of a data set on a device, and each process's share of them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler, Subset, TensorDataset

from splitbench.bench.utils.devices import to_device

_BATCHES_AHEAD = 2

Collate = Callable[[list[Any]], Any]
"""Makes a batch of a list of items."""
Augment = Callable[[Any, torch.Generator], Any]
"""Varies a batch before it is moved to the device, with random numbers from the generator only."""


class BatchShare(NamedTuple):
    """One process's share of a batch.

    Attributes:
        content: The share, on the device.
        images: How many of the batch's images count for this process. Where there are fewer images than processes, some
            get an image that does not count, so that all take the same steps.
        batch_images: Images of the batch, of all processes.
    """

    content: Any
    images: int
    batch_images: int


class Batches:
    """The batches of one epoch after the other, in the same order of images however many processes there are.

    Data in memory is indexed by whole batches, which is much faster than item by item: a ``TensorDataset``, and a
    ``Subset`` of one. Other data that is read by whole batches is read by threads, two batches ahead.

    Args:
        data: A map-style data set, not empty.
        size: Images per batch and process.
        device: Where tensors go, however nested in tuples, lists and dicts.
        collate: Makes a batch of a list of items; where None, numbers and tensors are stacked.
        order: Shuffles, anew in every epoch; where None, images come in the data's order.
        rank: This process's number.
        world_size: The number of processes.
        transform: Applied to each batch before it is moved to the device, one after the other.
        host_fields: How many fields at a batch's end are not moved.
    """

    def __init__(
        self,
        data: Dataset[Any],
        size: int,
        device: torch.device,
        *,
        collate: Collate | None = None,
        order: torch.Generator | None = None,
        rank: int = 0,
        world_size: int = 1,
        transform: Callable[[Any], Any] | None = None,
        host_fields: int = 0,
    ) -> None:
        self.images: int = len(data)  # type: ignore[arg-type]
        self.size, self.device, self.rank, self.world_size = size, device, rank, world_size
        self.transform, self.host_fields = transform, host_fields
        self._order, sampler = order, self._sampler(order)
        # A loader draws a seed for workers, though it has none, and must not take it from the caller's random numbers.
        generator = order or torch.Generator()
        self._stacked = collate is None
        self._ahead: _Ahead | None = None
        self._loader: DataLoader[Any]
        if collate is None and type(_unwrapped(data)) is TensorDataset:
            self._loader = DataLoader(_Rows(data), None, sampler=sampler, collate_fn=_identity, generator=generator)
        else:
            if hasattr(_unwrapped(data), "__getitems__"):  # a batch at once, as images are decoded
                data = self._ahead = _Ahead(data)
            self._loader = DataLoader(data, batch_sampler=sampler, collate_fn=collate, generator=generator)

    def _sampler(self, order: torch.Generator | None) -> "_Shares":
        indices = range(self.images)
        images = RandomSampler(indices, generator=order) if order else indices
        return _Shares(BatchSampler(images, self.size * self.world_size, False), self.rank, self.world_size)

    def __len__(self) -> int:
        return -(-self.images // (self.size * self.world_size))

    def __iter__(self) -> Iterator[BatchShare]:
        batches = iter(self._loader)  # has drawn its seed
        if self._ahead is None:
            yield from self._shares(batches)
            return
        self._ahead.begin(self._sampler(None if self._order is None else self._order.clone_state()))
        try:
            yield from self._shares(batches)
        finally:
            self._ahead.end()

    def _shares(self, batches: Iterator[Any]) -> Iterator[BatchShare]:
        left = self.images
        for batch in batches:
            batch_images = min(left, self.size * self.world_size)
            left -= batch_images
            content = tuple(batch) if self._stacked and isinstance(batch, list) else batch
            if self.transform is not None:
                content = self.transform(content)
            images = len(range(self.rank, batch_images, self.world_size))
            yield BatchShare(to_device(content, self.device, self.host_fields), images, batch_images)


class _Ahead(Dataset[Any]):
    """A data set whose next batches are read by threads while the one before is in use.

    What is read ahead follows from a copy of the order's random numbers: that order is used up as if nothing were.
    """

    def __init__(self, data: Any) -> None:
        self.data = data
        self._coming: Iterator[list[int]] = iter(())
        self._pending: deque[tuple[list[int], Future[list[Any]]]] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return len(self.data)

    def begin(self, batches: Iterable[list[int]]) -> None:
        """Begin to read the batches of an epoch."""
        self.end()
        self._coming, self._pool = iter(batches), ThreadPoolExecutor(_BATCHES_AHEAD)
        for _ in range(_BATCHES_AHEAD):
            self._read_next(self._pool)

    def end(self) -> None:
        """Give up what was read and not asked for."""
        self._pending.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def __getitems__(self, indices: list[int]) -> list[Any]:
        while self._pending and self._pool is not None:
            expected, reading = self._pending.popleft()
            self._read_next(self._pool)
            if expected == indices:
                return reading.result()
        return self._read(indices)

    def _read(self, indices: list[int]) -> list[Any]:
        items: list[Any] = self.data.__getitems__(indices)
        return items

    def _read_next(self, pool: ThreadPoolExecutor) -> None:
        indices = next(self._coming, None)
        if indices is not None:
            self._pending.append((indices, pool.submit(self._read, indices)))


class _Shares(Sampler[list[int]]):
    """Every ``world_size``-th index of each batch, or its first where there is none left."""

    def __init__(self, batches: BatchSampler, rank: int, world_size: int) -> None:
        self.batches, self.rank, self.world_size = batches, rank, world_size

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch[self.rank :: self.world_size] or batch[:1]


class _Rows(Dataset[tuple[Tensor, ...]]):
    """A ``TensorDataset``, or a ``Subset`` of one, that is indexed by lists."""

    def __init__(self, data: Any) -> None:
        subsets: list[Tensor] = []
        while type(data) is Subset:
            subsets.append(torch.as_tensor(data.indices))
            data = data.dataset
        self.tensors: tuple[Tensor, ...] = data.tensors
        self.rows = torch.arange(len(data))
        for subset in reversed(subsets):
            self.rows = self.rows[subset]

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, ...]:
        rows = self.rows[torch.tensor(indices)]
        # Many times faster than tensor[rows], which copies element by element.
        return tuple(tensor.index_select(0, rows.to(tensor.device)) for tensor in self.tensors)


def _unwrapped(data: Any) -> Any:
    while type(data) is Subset:
        data = data.dataset
    return data


def _identity(batch: Sequence[Any]) -> Sequence[Any]:
    return batch

"""Batches of a data set on a device, and each process's share of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler, Subset, TensorDataset

Collate = Callable[[list[Any]], Any]


class Share(NamedTuple):
    """One process's share of a batch.

    ``images`` is how many of the batch's ``whole`` number of images count for this process. Where there are fewer
    images than processes, some get an image that does not count, so that all take the same steps.
    """

    content: Any
    images: int
    whole: int


class Batches:
    """The batches of one pass after the other; the order of images is that of one process, however many there are.

    Data in memory is indexed by whole batches, which is much faster than item by item: a ``TensorDataset``, and a
    ``Subset`` of one.

    Args:
        data: A map-style data set, not empty.
        size: Images per batch and process.
        device: Where tensors go, however nested in tuples, lists and dicts.
        collate: Makes a batch of a list of items; where None, numbers and tensors are stacked.
        order: Shuffles, anew in every pass; where None, the data's own order.
        rank: This process's number.
        world: The number of processes.
        vary: Changes each batch before it is moved, one after the other.
        stay: How many parts at a batch's end are not moved.
    """

    def __init__(
        self,
        data: Dataset[Any],
        size: int,
        device: torch.device,
        collate: Collate | None = None,
        order: torch.Generator | None = None,
        rank: int = 0,
        world: int = 1,
        vary: Callable[[Any], Any] | None = None,
        stay: int = 0,
    ) -> None:
        self.count, self.size, self.device, self.rank, self.world = len(data), size, device, rank, world  # type: ignore[arg-type]
        self.vary, self.stay = vary, stay
        indices = range(self.count)
        whole = BatchSampler(RandomSampler(indices, generator=order) if order else indices, size * world, False)
        sampler = _Shares(whole, rank, world)
        # A loader draws a seed for workers, though it has none, and must not take it from the caller's random numbers.
        random = order or torch.Generator()
        self.stacked = collate is None
        self.loader: DataLoader[Any]
        if collate is None and type(_bare(data)) is TensorDataset:
            self.loader = DataLoader(_Rows(data), None, sampler=sampler, collate_fn=_as_it_is, generator=random)
        else:
            self.loader = DataLoader(data, batch_sampler=sampler, collate_fn=collate, generator=random)

    def __len__(self) -> int:
        return -(-self.count // (self.size * self.world))

    def __iter__(self) -> Iterator[Share]:
        left = self.count
        for batch in self.loader:
            whole = min(left, self.size * self.world)
            left -= whole
            content = tuple(batch) if self.stacked and isinstance(batch, list) else batch
            if self.vary is not None:
                content = self.vary(content)
            yield Share(moved(content, self.device, self.stay), len(range(self.rank, whole, self.world)), whole)


class _Shares(Sampler[list[int]]):
    """Every so-many-th index of each batch."""

    def __init__(self, batches: BatchSampler, rank: int, world: int) -> None:
        self.batches, self.rank, self.world = batches, rank, world

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch[self.rank :: self.world] or batch[:1]


class _Rows(Dataset[tuple[Tensor, ...]]):
    """A ``TensorDataset``, or a ``Subset`` of one, that is indexed by lists."""

    def __init__(self, data: Any) -> None:
        rows: list[Tensor] = []
        while type(data) is Subset:
            rows.append(torch.as_tensor(data.indices))
            data = data.dataset
        self.tensors: tuple[Tensor, ...] = data.tensors
        self.rows = torch.arange(len(data))
        for chosen in reversed(rows):
            self.rows = self.rows[chosen]

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, ...]:
        rows = self.rows[torch.tensor(indices)]
        # Many times faster than tensor[rows], which copies element by element.
        return tuple(tensor.index_select(0, rows.to(tensor.device)) for tensor in self.tensors)


def moved(batch: Any, device: torch.device, stay: int = 0) -> Any:
    """A batch with its tensors on ``device``, however nested in tuples, lists and dicts.

    Of a tuple, so many parts at the end stay where they are.
    """
    if stay > 0:
        return *moved(batch[:-stay], device), *batch[-stay:]
    if isinstance(batch, Tensor):
        # From memory that is not pinned, a copy waits until the GPU has done all that was queued before.
        pinned = batch.pin_memory() if device.type == "cuda" and batch.device.type == "cpu" else batch
        return pinned.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: moved(part, device) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(part, device) for part in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(moved(part, device) for part in batch)
    return batch


def _bare(data: Any) -> Any:
    while type(data) is Subset:
        data = data.dataset
    return data


def _as_it_is(batch: Sequence[Any]) -> Sequence[Any]:
    return batch

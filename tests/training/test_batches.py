"""Batches: the order, the shares of several processes, and data in memory."""

import threading
from typing import Any, NamedTuple

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from splitbench.bench.training.batches import Batches
from splitbench.bench.utils.devices import to_device

CPU = torch.device("cpu")


class NumberedItems(Dataset[Any]):
    """Gives items one by one."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.tensor([index, 2 * index]), index


def tensors(count):
    result = torch.arange(count)
    return TensorDataset(torch.stack([result, 2 * result], 1), result)


def nested(kind, count):
    """``count`` items of more, in another order."""
    return Subset(Subset(kind(3 * count), range(count, 3 * count)), list(range(count, 2 * count)))


@pytest.mark.parametrize("kind", [NumberedItems, tensors])
@pytest.mark.parametrize("make", [lambda kind, count: kind(count), nested], ids=["whole", "subset"])
@pytest.mark.parametrize("count", [12, 13])
def test_all_kinds_of_data_come_in_a_loaders_order(kind, make, count):
    expected = DataLoader(make(NumberedItems, count), 4, shuffle=True, generator=torch.Generator().manual_seed(5))
    given = Batches(make(kind, count), 4, CPU, order=torch.Generator().manual_seed(5))
    for _ in range(2):
        passed = list(given)
        assert len(passed) == len(given)
        for share, (points, numbers) in zip(passed, expected, strict=True):
            assert isinstance(share.content, tuple)
            assert torch.equal(share.content[0], points) and torch.equal(share.content[1], numbers)
            assert share.images == share.batch_images == len(numbers)


class Reads(TorchFunctionMode):
    """Notes the rows that are read from tensors, and how many reads there are."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.index_select:
            self.rows.append(args[2].tolist())
        elif function is torch.Tensor.__getitem__ and args[0].dtype is torch.int64 and isinstance(args[1], int):
            raise AssertionError("read item by item")
        return function(*args, **(kwargs or {}))


def test_data_in_memory_is_read_in_whole_batches():
    with Reads() as reads:
        list(Batches(tensors(10), 4, CPU))
    batches = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert reads.rows == [rows for rows in batches for _ in range(2)]  # inputs and targets


class WholeBatches(NumberedItems):
    """Gives a batch of items at once, as images are decoded; ``begun`` has those that were asked for."""

    def __init__(self, count, slow=None):
        super().__init__(count)
        self.begun, self.slow = [], slow

    def __getitems__(self, indices):
        self.begun.append(indices)
        if self.slow is not None:
            self.slow(indices)
        return [self[index] for index in indices]


def stacked(items):
    points, numbers = zip(*items, strict=True)
    return torch.stack(points), torch.tensor(numbers)


@pytest.mark.parametrize("count", [12, 13])
@pytest.mark.parametrize("world", [1, 2])
def test_reading_ahead_changes_neither_order_nor_random_numbers(count, world):
    def varied(data):
        order = torch.Generator().manual_seed(5)

        def vary(batch):
            return *batch, torch.rand(3, generator=order)

        batches = Batches(data, 4, CPU, collate=stacked, order=order, transform=vary, rank=world - 1, world_size=world)
        return [[x.tolist() for x in share.content] for _ in range(3) for share in batches], order.get_state().tolist()

    ahead = WholeBatches(count)
    assert varied(ahead) == varied(NumberedItems(count))
    assert len(ahead.begun) == 3 * len(Batches(ahead, 4, CPU, collate=stacked, world_size=world))  # each is read once


def test_the_next_batches_are_read_while_one_is_in_use():
    third = threading.Event()
    data = WholeBatches(40, slow=lambda indices: third.set() if 8 in indices else None)
    batches: Any = iter(Batches(data, 4, CPU, collate=stacked))
    assert next(batches).content[1].tolist() == [0, 1, 2, 3]
    assert third.wait(10)  # nobody has asked for the second
    batches.close()
    assert len(data.begun) <= 4


def test_what_fails_while_it_is_read_ahead_fails_where_it_is_used():
    def fail(indices):
        if 4 in indices:
            raise ValueError("no image")

    batches = iter(Batches(WholeBatches(12, slow=fail), 4, CPU, collate=stacked))
    assert next(batches).content[1].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="no image"):
        next(batches)


@pytest.mark.parametrize("count", [12, 13, 15])
def test_processes_share_each_batch_of_one_process(count):
    item = Batches(NumberedItems(count), 6, CPU, order=torch.Generator().manual_seed(5))
    three = [
        Batches(NumberedItems(count), 2, CPU, order=torch.Generator().manual_seed(5), rank=i, world_size=3)
        for i in range(3)
    ]
    for whole, *shares in zip(item, *three, strict=True):
        counted = [int(n) for share in shares for n in share.content[1][: share.images]]
        assert sorted(counted) == sorted(whole.content[1].tolist())
        assert all(len(share.content[1]) >= 1 for share in shares)
        assert {share.batch_images for share in shares} == {whole.images}


def test_a_batch_is_transformed_before_it_is_moved_and_its_last_fields_may_stay():
    devices = []

    def vary(batch):
        devices.append(batch[0].device.type)
        return batch[0], batch[1] + 7

    (share,) = Batches(tensors(3), 4, torch.device("meta"), transform=vary, host_fields=1)
    assert devices == ["cpu"] and share.content[0].is_meta and share.content[1].tolist() == [7, 8, 9]


class NamedPair(NamedTuple):
    item: torch.Tensor
    other: int


def test_tensors_are_moved_however_nested():
    tensor = torch.zeros(2)
    batch = ([tensor, (tensor, "name")], {"boxes": [tensor], "pair": NamedPair(tensor, 3)})
    images, targets = to_device(batch, torch.device("meta"))
    assert images[0].is_meta and images[1][0].is_meta and targets["boxes"][0].is_meta
    assert images[1][1] == "name"
    assert isinstance(targets["pair"], NamedPair) and targets["pair"].item.is_meta and targets["pair"].other == 3

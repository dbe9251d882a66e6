"""Batches: the order, the shares of several processes, and data in memory."""

from typing import Any, NamedTuple

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from splitbench.bench.training import batches
from splitbench.bench.training.batches import Batches, moved

CPU = torch.device("cpu")


class Items(Dataset[Any]):
    """Gives items one by one."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.tensor([index, 2 * index]), index


def tensors(count):
    found = torch.arange(count)
    return TensorDataset(torch.stack([found, 2 * found], 1), found)


def nested(kind, count):
    """``count`` items of more, in another order."""
    return Subset(Subset(kind(3 * count), range(count, 3 * count)), list(range(count, 2 * count)))


@pytest.mark.parametrize("kind", [Items, tensors])
@pytest.mark.parametrize("make", [lambda kind, count: kind(count), nested], ids=["whole", "subset"])
@pytest.mark.parametrize("count", [12, 13])
def test_all_kinds_of_data_come_in_a_loaders_order(kind, make, count):
    expected = DataLoader(make(Items, count), 4, shuffle=True, generator=torch.Generator().manual_seed(5))
    given = Batches(make(kind, count), 4, CPU, order=torch.Generator().manual_seed(5))
    for _ in range(2):
        passed = list(given)
        assert len(passed) == len(given)
        for share, (points, numbers) in zip(passed, expected, strict=True):
            assert isinstance(share.content, tuple)
            assert torch.equal(share.content[0], points) and torch.equal(share.content[1], numbers)
            assert share.images == share.whole == len(numbers)


def test_data_in_memory_is_asked_for_whole_batches_only(monkeypatch):
    asked, usual = [], batches._Rows.__getitem__

    def watched(rows, indices):
        asked.append(indices)
        return usual(rows, indices)

    monkeypatch.setattr(batches._Rows, "__getitem__", watched)
    list(Batches(tensors(10), 4, CPU))
    assert asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("count", [12, 13, 15])
def test_processes_share_each_batch_of_one_process(count):
    one = Batches(Items(count), 6, CPU, order=torch.Generator().manual_seed(5))
    three = [Batches(Items(count), 2, CPU, order=torch.Generator().manual_seed(5), rank=i, world=3) for i in range(3)]
    for whole, *shares in zip(one, *three, strict=True):
        counted = [int(n) for share in shares for n in share.content[1][: share.images]]
        assert sorted(counted) == sorted(whole.content[1].tolist())
        assert all(len(share.content[1]) >= 1 for share in shares)
        assert {share.whole for share in shares} == {whole.images}


def test_a_batch_is_varied_before_it_is_moved_and_its_end_may_stay():
    met = []

    def vary(batch):
        met.append(batch[0].device.type)
        return batch[0], batch[1] + 7

    (share,) = Batches(tensors(3), 4, torch.device("meta"), vary=vary, stay=1)
    assert met == ["cpu"] and share.content[0].is_meta and share.content[1].tolist() == [7, 8, 9]


class Pair(NamedTuple):
    one: torch.Tensor
    other: int


def test_tensors_are_moved_however_nested():
    tensor = torch.zeros(2)
    batch = ([tensor, (tensor, "name")], {"boxes": [tensor], "pair": Pair(tensor, 3)})
    images, targets = moved(batch, torch.device("meta"))
    assert images[0].is_meta and images[1][0].is_meta and targets["boxes"][0].is_meta
    assert images[1][1] == "name"
    assert isinstance(targets["pair"], Pair) and targets["pair"].one.is_meta and targets["pair"].other == 3

"""Models that look at values or sizes: cut where that is right for every image, refused where it is not."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from splitbench.bench.split import same, split
from splitbench.bench.tools.support.support import support_table
from splitbench.bench.utils.errors import UserError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class DependsOnTheImage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return x if x.mean() > 0 else -x


def test_a_model_that_looks_at_values_cannot_be_cut():
    with pytest.raises(UserError, match="DependsOnTheImage cannot be cut"):
        split(DependsOnTheImage(), "layer", IMAGES)
    (row,) = support_table(["mine"], lambda _: DependsOnTheImage())
    assert (row.exact, row.how) == ("no", "")
    assert "DependsOnTheImage" in row.reason


class HasAPartThatLooksAtValues(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.part, self.last = nn.Conv2d(3, 3, 1), DependsOnTheImage(), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x[:, :, 1:-1, 1:-1] + self.last(self.part(x))


def test_a_part_that_cannot_be_traced_is_kept_whole():
    model = HasAPartThatLooksAtValues().eval()
    for at, sent in (("first", ("first",)), ("part", ("first", "part")), ("last", ("first", "last"))):
        parts = split(model, at, IMAGES)
        head, tail = parts.sides
        assert parts.how == "module"
        assert parts.roles == sent
        for x in (IMAGES, -IMAGES, IMAGES[:1]):
            assert same(tail(*head(x)), model(x))
    with pytest.raises(UserError, match="no split point"):
        split(model, "part.layer", IMAGES)


class Remembers(nn.Module):
    """Keeps a table on itself, and passes a size on with a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.table: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        x, size = self.flat(self.first(x))
        if self.table is None or self.table.shape[0] != x.shape[-1]:
            self.table = torch.arange(x.shape[-1], device=x.device) / 7
        return self.last((x + self.table).unflatten(2, size))

    def flat(self, x: Tensor) -> tuple[Tensor, list[int]]:
        return x.flatten(2), [x.shape[2], x.shape[3]]


def test_what_a_model_remembers_stays_real():
    model = Remembers().eval()
    head, tail = split(model, "add", IMAGES).sides
    assert type(model.table) is Tensor
    assert same(tail(*head(IMAGES)), model(IMAGES))
    model = Remembers().eval()
    head, tail = split(model, "first", IMAGES).sides
    assert same(tail(*head(IMAGES)), model(IMAGES))


class DependsOnTheSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        if x.shape[-1] % 3:
            x = F.pad(x, (0, 3 - x.shape[-1] % 3))
        return x.reshape(x.shape[0], -1, 3)


def test_another_way_through_the_model_is_never_taken_for_the_traced_one():
    model = DependsOnTheSize()
    head, tail = split(model, "layer", IMAGES).sides
    also = torch.randn(1, 3, 35, 35)
    assert same(tail(*head(also)), model(also))
    with pytest.raises(UserError, match="split it with an example of the size"):
        tail(*head(torch.randn(1, 3, 33, 33)))


class DependsOnASizeInTheTail(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        even = math.ceil(x.shape[-1] / 2) * 2
        return F.pad(x, (0, 1)) if even != x.shape[-1] else x


def test_the_tail_looks_at_sizes_that_only_it_knows():
    model = DependsOnASizeInTheTail().eval()
    head, tail = split(model, "first", IMAGES).sides
    for side, good in ((32, True), (36, True), (34, False)):
        x = torch.randn(1, 3, side, side)
        if good:
            assert same(tail(*head(x)), model(x))
        else:
            with pytest.raises(UserError, match="split it with an example of the size"):
                tail(*head(x))

"""What models do between their layers: keep tables, return nothing beside a tensor, count rows as images."""

import pytest
import torch
from torch import Tensor, nn

from splitbench.bench.split import same, split

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class KeepsATable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.tables = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), dict[int, Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if not self.tables:
            self.tables[0] = self.first.bias[:, None, None] * 2
        return self.second(x + self.tables[0])


def test_a_table_that_the_model_keeps_is_none_of_the_traces():
    model = KeepsATable().eval()
    head, tail = split(model, "first", IMAGES).sides
    assert all(type(table) is Tensor for table in model.tables.values())
    assert same(tail(*head(IMAGES)), model(IMAGES))


class AttendsWithoutTellingHow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend, self.last = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :1].flatten(1)[:, :32].unflatten(1, (8, 4))
        x, weights = self.attend(x, x, x, need_weights=False)
        return self.last(x if weights is None else weights)


def test_nothing_is_no_tensor_that_could_cross():
    model = AttendsWithoutTellingHow().eval()
    parts = split(model, "attend", IMAGES)
    head, tail = parts.sides
    assert len(parts.specs) == 1
    assert same(tail(*head(IMAGES)), model(IMAGES))


class ReadsRows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.first(x.permute(0, 2, 3, 1).flatten(0, 1))
        return self.second(rows).unflatten(0, (x.shape[0], -1))


@pytest.mark.parametrize("side", [5, 9])
def test_rows_of_an_image_stay_together_at_any_size(side):
    model = ReadsRows().eval()
    head, tail = split(model, "first", torch.randn(2, 3, side, 6)).sides
    for images, height in ((1, 5), (3, 1), (4, 7)):
        x = torch.randn(images, 3, height, 6)
        cut = head(x)
        assert cut[0].shape[0] == images
        assert same(tail(*cut), model(x))

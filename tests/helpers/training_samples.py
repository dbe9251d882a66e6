"""Small data and networks that train in a moment."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from splitbench.bench import training
from splitbench.bench.training import Recipe
from splitbench.bench.utils import progress


def blobs(count: int = 256, seed: int = 0) -> TensorDataset:
    """Three classes of points in the plane that lines separate, nearly."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=random)
    centres = torch.tensor([[2.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])
    return TensorDataset(centres[labels] + torch.randn(count, 2, generator=random), labels)


def network(norm: bool = True, dropout: float = 0.0) -> nn.Sequential:
    """A classifier of the plane, with the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        middle = nn.BatchNorm1d(16) if norm else nn.LayerNorm(16)
        return nn.Sequential(nn.Linear(2, 16), middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def recipe(**changes: Any) -> Recipe:
    """A short one, some of it changed."""
    return Recipe(**({"epochs": 4, "batch_size": 32, "learning_rate": 0.02, "best": "accuracy"} | changes))


def jitter(batch: Any, random: torch.Generator) -> Any:
    """An augmentation."""
    inputs, labels = batch
    return inputs + 0.1 * torch.randn(inputs.shape, generator=random), labels


def fit(model: Any = None, step: Any = None, images: int = 256, options: Any = None, **changes: Any) -> Any:
    """Train a network on blobs; gives it and the report."""
    model = model or network()
    step = step or training.classify()
    options = {"show": progress.silent} | (options or {})
    return model, training.train(model, step, blobs(images), blobs(seed=1), recipe(**changes), **options)


def same(one: Any, other: Any) -> bool:
    """Whether two models have the same weights, bit for bit."""
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def timeless(history: Any) -> Any:
    """A history without the seconds, which are never the same."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Writing a file beyond so many bytes fails, as on a full disk, in this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

"""How far apart two results may lie that are not computed alike, by what they are.

Libraries choose their kernels by the processor, the size of a batch and the number of threads, and kernels round sums
differently. What is computed in one process, in batches of one size, is compared bit for bit: head and tail with the
whole model, what is decoded with what was encoded, a resumed run with one that was not stopped. So is what is computed
in whole numbers: drawn images and the coders. All other comparisons take one of these tolerances.
"""

from typing import Any

import pytest
import torch

NUMBERS = {"rtol": 1e-6, "atol": 1e-6}
"""Elementwise operations on numbers near one, the same on both sides but for their order: some units in the last
place."""

ACTIVATIONS = {"rtol": 1e-3, "atol": 1e-4}
"""What a network gives: float32 sums of some thousand products, layer upon layer."""

LOSSES = 1e-4
"""Relative. A mean over a batch's activations."""

WEIGHTS = {"rtol": 1e-3, "atol": 2e-4}
"""After some twenty steps of training. A step moves a weight by a learning rate of 1e-2 or less, and the gradients
that it follows are as close as activations are."""

AVERAGE_PRECISION = 0.1
"""In points, over a hundred photographs or more: a box or two change places, or are suppressed."""


def close(one: torch.Tensor, other: torch.Tensor, tolerance: dict[str, float]) -> bool:
    """Whether two tensors are as close as the tolerance, one of the above, says."""
    return torch.allclose(one.float(), other.float(), **tolerance)


def accuracy(points: float, images: int) -> Any:
    """A published accuracy in percent: one image in 1,000, and one at least, may be a tie that rounding decides."""
    return pytest.approx(points, abs=100 * max(1, images / 1000) / images + 0.005)

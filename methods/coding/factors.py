"""Tensors as matrices of channels by places, and their approximations of low rank."""

import torch
from torch import Tensor

from splitbench.methods.base import TensorSpec
from splitbench.methods.coding.layout import channel_axis

_SPARE = 8


def as_matrix(x: Tensor, spec: TensorSpec) -> Tensor:
    """Return one image's tensor, of the spec's shape, as (C, N): channels by places. A single number is 1 x 1."""
    return x.movedim(channel_axis(spec), 0).reshape(_channels(spec), -1) if spec.shape else x.reshape(1, 1)


def from_matrix(matrix: Tensor, spec: TensorSpec) -> Tensor:
    """Return the inverse of :func:`as_matrix`."""
    if not spec.shape:
        return matrix.reshape(())
    axis = channel_axis(spec)
    rest = spec.shape[:axis] + spec.shape[axis + 1 :]
    return matrix.reshape(_channels(spec), *rest).movedim(0, axis)


def _channels(spec: TensorSpec) -> int:
    return spec.shape[channel_axis(spec)]


def factorize(matrix: Tensor, rank: int, iterations: int) -> tuple[Tensor, Tensor]:
    """Approximate a matrix (C, N) by ``left.T @ right``, of (rank, C) and (rank, N), the strongest component first.

    By subspace iteration from fixed random vectors, ``_SPARE`` more than the rank, with so many ``iterations`` after
    the first product (Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011, algorithm
    4.4). Components beyond the matrix's own rank are 0.
    """
    rows, columns = matrix.shape
    left, right = matrix.new_zeros(rank, rows), matrix.new_zeros(rank, columns)
    kept, width = min(rank, rows, columns), min(rank + _SPARE, rows, columns)
    largest = matrix.abs().max() if kept else 0.0
    if not largest:
        return left, right
    matrix = matrix / largest  # squares of squares stay within float32
    start = torch.randn(columns, width, generator=torch.Generator().manual_seed(0)).to(matrix)
    basis = torch.linalg.qr(matrix @ start).Q
    for _ in range(iterations):
        basis = torch.linalg.qr(matrix @ (matrix.T @ basis)).Q
    along = basis.T @ matrix
    squares, turn = torch.linalg.eigh(along @ along.T)
    squares, turn = squares.flip(0)[:kept], turn.flip(1)[:, :kept]
    root = squares.clamp_min(1e-20).pow(0.25)[:, None]  # of each singular value
    even = largest**0.5
    left[:kept] = (basis @ turn).T * root * even
    right[:kept] = turn.T @ along / root * even
    return left, right

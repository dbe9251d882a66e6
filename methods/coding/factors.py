"""Tensors as matrices of channels by places, and their approximations of low rank."""

import math

import torch
from torch import Tensor

_SPARE = 8


def matrix_shape(shape: tuple[int, ...], axis: int) -> tuple[int, int]:
    """Return the shape (C, N) of one image's tensor as a matrix, channels by places; a single number is 1 x 1."""
    channels = shape[axis] if shape else 1
    return channels, math.prod(shape[:axis] + shape[axis + 1 :])


def as_matrix(x: Tensor, axis: int) -> Tensor:
    """Return one image's tensor with channels at ``axis`` as (C, N)."""
    shape = matrix_shape(tuple(x.shape), axis)
    return (x.movedim(axis, 0) if x.dim() else x).reshape(shape)


def from_matrix(matrix: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    """Return the inverse of :func:`as_matrix` for a tensor of this shape."""
    if not shape:
        return matrix.reshape(())
    return matrix.reshape(len(matrix), *shape[:axis], *shape[axis + 1 :]).movedim(0, axis)


def factorize(matrix: Tensor, rank: int, iterations: int) -> tuple[Tensor, Tensor]:
    """Approximate a matrix (C, N) by ``left.T @ right``, of (rank, C) and (rank, N), the strongest component first.

    By subspace iteration from fixed random vectors, ``_SPARE`` more than the rank, with so many ``iterations`` after
    the first product (Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011, algorithm
    4.4). Components beyond the matrix's rank are 0.
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

"""Retrained float16 weights as differences from the weights they began with: small integers, which compress better.

A difference counts how many float16 values lie between two values, so that nothing is lost: the values are numbered in
their order (both zeros, infinities and NaNs included), and numbers are subtracted modulo 2^16.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_OF = "|"
"""Stands between a tensor's name and that of the tensor which it is a difference from; in no name of PyTorch's."""


def subtract(weights: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with float16 tensors replaced by differences from the nearest of ``base`` with their shape.

    Such a tensor is called ``NAME|NAME IN BASE`` and is int16, with an even number for a positive difference and an odd
    one for a negative. Tensors of other types, or of shapes that ``base`` has not, are kept.
    """
    kept = {}
    for name, tensor in weights.items():
        alike = [key for key, value in base.items() if (value.shape, value.dtype) == (tensor.shape, torch.float16)]
        if tensor.dtype != torch.float16 or not alike:
            kept[name] = tensor
            continue
        differences = {key: _folded(_number(tensor) - _number(base[key])) for key in alike}
        nearest = min(alike, key=lambda key: float(np.median(differences[key].view(np.uint16))))
        kept[f"{name}{_OF}{nearest}"] = torch.from_numpy(differences[nearest])
    return kept


def add(differences: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that :func:`subtract` was given. Raises KeyError where ``base`` is another."""
    weights = {}
    for name, tensor in differences.items():
        name, _, origin = name.partition(_OF)
        weights[name] = _value(_unfolded(tensor.numpy()) + _number(base[origin])) if origin else tensor
    return weights


def _number(values: Tensor) -> NDArray[np.int16]:
    """Number float16 values in their order: -1 is negative zero, 0 is zero, 1 the least positive value."""
    bits: NDArray[np.int16] = values.contiguous().view(torch.int16).numpy()
    return np.where(bits < 0, ~(bits & 0x7FFF), bits)


def _value(numbers: NDArray[np.int16]) -> Tensor:
    """Return the float16 values with these numbers."""
    bits = np.where(numbers < 0, ~numbers | np.int16(-0x8000), numbers)
    return torch.from_numpy(bits).view(torch.float16)


def _folded(differences: NDArray[np.int16]) -> NDArray[np.int16]:
    """Map 0, -1, 1, -2, 2 ... to 0, 1, 2, 3, 4 ...: the first byte of small differences is then 0."""
    return (differences << 1) ^ (differences >> 15)


def _unfolded(folded: NDArray[np.int16]) -> NDArray[np.int16]:
    return ((folded.view(np.uint16) >> 1).view(np.int16)) ^ -(folded & 1)

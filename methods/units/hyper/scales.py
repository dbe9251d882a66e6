"""The scale of every symbol from a side latent, the same on every machine.

Both sides must come to the same scales, or all symbols behind the first difference are lost, and floating point sums
differ with processor, library and order of summation: CompressAI's streams decode to noise on some other machines (its
issue 279). The synthesis therefore computes with integers, as Balle, Johnston and Minnen propose ("Integer networks for
data compression with latent-variable models", ICLR 2019): when training has ended, weights are rounded to multiples of
2^-10 and stored as integers. Unlike theirs, training does not know of that rounding.

    hidden       h = max(W z + b, 0)                  in units of 2^-10, below 2^31, as |z| <= 2^11 and |W| < 2^15
    logarithm    l = log(scale / 0.11) = V h + c      in units of 2^-20, below 2^49
    scale        number floor(8 l + 1/2)

Convolutions in float64 compute that: all sums of such integers are exact, in whatever order. The analysis may differ
in its last bits from machine to machine, since its rounded result is sent.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from splitbench.methods.units.coders import Stored
from splitbench.methods.units.hyper.hyperprior import LEAST_SCALE, SCALES, SCALES_PER_E, Hyperprior

_BITS = 10
_SHIFT = 2 * _BITS - SCALES_PER_E.bit_length() + 1
_LARGEST_SIDE = 2**11


def integers(hyperprior: Hyperprior) -> dict[str, Tensor]:
    """Return the weights of the synthesis as integers."""
    weights = hyperprior.state_dict()

    def fixed(values: Tensor, bits: int, dtype: torch.dtype, largest: int) -> Tensor:
        rounded: Tensor = (values.double() * 2**bits).round().clamp(-largest, largest)
        return rounded.to(dtype)

    return {
        "widen": fixed(weights["widen.weight"], _BITS, torch.int16, 2**15 - 1),
        "widen_bias": fixed(weights["widen.bias"], _BITS, torch.int32, 2**30),
        "grow": fixed(weights["grow.weight"], _BITS, torch.int16, 2**15 - 1),
        "grow_bias": fixed(weights["grow.bias"] - math.log(LEAST_SCALE), 2 * _BITS, torch.int32, 2**30),
    }


class Scales:
    """The synthesis of one tensor, of the weights of :func:`integers`."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored

    @property
    def _strides(self) -> list[int]:
        return [(k + 1) // 2 for k in self.stored["grow"].shape[2:]]

    @cached_property
    def _weights(self) -> list[Tensor]:
        return [self.stored[name].to("cpu", torch.float64) for name in ("widen", "widen_bias", "grow", "grow_bias")]

    def side_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Return height and width of the side latent of symbols of this height and width."""
        height, width = (-(-n // stride) for n, stride in zip(size, self._strides, strict=True))
        return height, width

    def numbers(self, side: Tensor, size: Sequence[int]) -> Tensor:
        """Return each symbol's number of a scale, (B, C, *size), 0 to ``SCALES`` - 1, of a side latent (B, c, H, W)."""
        widen, widen_bias, grow, grow_bias = self._weights
        steps = self._strides
        hidden = F.conv2d(side.cpu().clamp(-_LARGEST_SIDE, _LARGEST_SIDE).double(), widen, widen_bias)
        logarithm: Tensor = F.conv_transpose2d(
            hidden.round().relu(),  # only fast algorithms of some libraries leave something to round
            grow,
            grow_bias,
            stride=steps,
            padding=[k // 2 for k in grow.shape[2:]],
            output_padding=[n - step * (m - 1) - 1 for n, m, step in zip(size, side.shape[2:], steps, strict=True)],
            groups=len(grow),
        )
        number: Tensor = (logarithm.round().long() + 2 ** (_SHIFT - 1)) >> _SHIFT
        return number.clamp(0, SCALES - 1)


@torch.no_grad()
def side_latent(analysis: nn.Module, symbols: Tensor) -> Tensor:
    """Return the side latent, int32 (B, c, H, W), of symbols (B, C, H, W)."""
    device = next(analysis.parameters()).device
    with torch.autocast(device.type, enabled=False):
        side: Tensor = analysis(symbols.to(device, torch.float32))
    return side.round().clamp(-_LARGEST_SIDE, _LARGEST_SIDE).int()

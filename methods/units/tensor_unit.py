"""The unit for one tensor of a cut: that of Datta et al. (ICPR 2022, arXiv 2208.11596), as its authors released it.

    encoder   depthwise 3 x 3 at a stride, batch norm, ReLU, 1 x 1 from C to c channels, batch norm, ReLU
    quantizer symbol = round(latent / step); straight-through gradient to the decoder
    decoder   1 x 1 from c to C, batch norm, ReLU, transposed depthwise at the same stride, batch norm, ReLU

The decoder's depthwise kernel is 5 x 5 at stride 4, where 3 x 3 would leave gaps. The last ReLU is there where the
tensor has no negative values. Tokens (B, N, C) get the same unit along their one axis; a vector gets 1 x 1 kernels.

The rate is that of a learned density per channel (``density.py``), in training with uniform noise in place of rounding.
Rounding stays on multiples of the step, so that the many zeros after a ReLU stay one symbol.
"""

import copy
import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from splitbench.methods.base import MethodError, TensorSpec
from splitbench.methods.coding.layout import channel_axis, channels_first, restored
from splitbench.methods.units.density import Density
from splitbench.methods.units.last_norm import fit_norm

_CONVOLUTIONS = {1: (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)}
_BELOW = 64
_DENSITY_SCALE = 4.0  # of the density before training, in steps


class TensorUnit(nn.Module):
    """Encoder, density and decoder for tensors of one shape, the sizes of whose spatial axes may vary.

    Args:
        spec: The tensor: (C,), (N, C) or (C, H, W), in whatever order its axis of channels says.
        channels: Of the latent; where None, a quarter of C, at least two.
        stride: Along each spatial axis.
        step: The quantizer's step, or ``learned`` for one per channel that is trained.

    Raises:
        MethodError: a tensor of another number of axes.
    """

    on_device: ClassVar[tuple[str, ...]] = ("encoder", "log_step")
    on_server: ClassVar[tuple[str, ...]] = ("widen", "grow", "last", "floor", "log_step")
    """Of the state, what each side needs for coding."""

    rate: ClassVar[str] = "density"
    """The module that only training needs, for the rate."""

    floor: Tensor

    def __init__(self, spec: TensorSpec, channels: int | None, stride: int, step: float | Literal["learned"]) -> None:
        super().__init__()
        shape = spec.shape
        if not 1 <= len(shape) <= 3:
            raise MethodError(f"a unit takes vectors, tokens and feature maps, not a tensor of shape {shape}")
        self.axis = channel_axis(spec)
        width = shape[self.axis]
        self.channels = channels or max(2, width // 4)
        self.stride = 1 if len(shape) == 1 else stride
        self.axes = max(1, len(shape) - 1)
        self.add_layers(width, 1 if len(shape) == 1 else 3)
        self.register_buffer("floor", torch.full((), -torch.inf))
        self.add_steps(step)

    def add_layers(self, width: int, kernel: int) -> None:
        """Make encoder, density and decoder for tensors of so many channels; the kernels' size is along each axis."""
        conv, transposed, norm = _CONVOLUTIONS[self.axes]
        self.kernel_back = 5 if self.stride == 4 else kernel
        self.encoder = nn.Sequential(
            conv(width, width, kernel, self.stride, kernel // 2, groups=width, bias=False),
            norm(width),
            nn.ReLU(),
            conv(width, self.channels, 1, bias=False),
            norm(self.channels),
            nn.ReLU(),
        )
        self.add_rate()
        self.widen = nn.Sequential(conv(self.channels, width, 1, bias=False), norm(width), nn.ReLU())
        self.grow = transposed(
            width, width, self.kernel_back, self.stride, self.kernel_back // 2, groups=width, bias=False
        )
        self.last = norm(width)

    def add_rate(self) -> None:
        """Make what the rate is estimated by in training."""
        self.density = Density(self.channels, _DENSITY_SCALE)

    def add_steps(self, step: float | Literal["learned"]) -> None:
        """Make the parameters of the quantizer's steps."""
        first = 1.0 if step == "learned" else step
        log_step = torch.full((1, self.channels, *[1] * self.axes), math.log(first))
        self.log_step = nn.Parameter(log_step, requires_grad=step == "learned")

    def steps(self) -> Tensor:
        """Return the quantizer's steps, (1, c, ...)."""
        return self.log_step.exp()

    def begin(self, x: Tensor) -> None:
        """Fit the decoder to x, (B, *shape): mean and deviation by channel, and whether any is < 0."""
        fit_norm(self.last, self.floor, x, self.axis)

    def parameters_without_decay(self) -> Iterator[nn.Parameter]:
        """Yield the density's parameters, which weight decay would narrow, and the quantizer's steps."""
        yield from self.density.parameters()
        yield self.log_step

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction of x, (B, *shape), and the estimated bits of each image, (B,)."""
        latent = self.latent(x)
        symbols = latent + (latent.round() - latent).detach()
        with torch.autocast(latent.device.type, enabled=False):  # half precision loses the tails of densities
            bits = self.bits(latent.float(), symbols.float())
        return self.decoded(symbols, tuple(x.shape[1:])), bits

    def bits(self, latent: Tensor, symbols: Tensor) -> Tensor:
        """Return the estimated bits of each image, (B,), of latents (B, c, ...) and, with their gradient, symbols."""
        bits: Tensor = -self.density(latent, self.density_scale()).log2().flatten(1).sum(1)
        if not self.training:  # no symbol is below 0, and the tables spend nothing on what the density has there
            below = self.masses(-_BELOW, -1).sum(1)
            bits = bits + (1 - below).log2().sum().float() * latent[0, 0].numel()
        return bits

    def density_scale(self) -> Tensor | None:
        """Return what latents are multiplied by before their density is looked up, (B or 1, c, ...); None is 1."""
        return None

    def levels(self, symbols: Tensor) -> Tensor:
        """Return the values that symbols (B, c, *smaller) stand for."""
        return symbols * self.steps()

    def without_rate(self) -> "TensorUnit":
        """Return what coding needs: the same modules and parameters, but those of :meth:`add_rate`."""
        unit = copy.copy(self)
        unit._modules = {name: module for name, module in self._modules.items() if name != self.rate}
        return unit

    def latent(self, x: Tensor) -> Tensor:
        """Return latents (B, c, *smaller) of x, (B, *shape), in units of the step; none is negative."""
        latent: Tensor = self.encoder(channels_first(x, self.axis)) / self.steps()
        return latent

    def decoded(self, symbols: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return the tensor (B, *shape) that symbols (B, c, *smaller) decode to."""
        sizes = channels_first(torch.empty(1, *shape, device="meta"), self.axis).shape[2:]
        wide = self.widen(self.levels(symbols))
        values = self.last(self.grow(wide, output_size=list(sizes)))
        return restored(torch.maximum(values, self.floor), self.axis, len(shape))

    def latent_sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the latent's shape, (c, *smaller), for a tensor of this shape."""
        sizes = channels_first(torch.empty(1, *shape, device="meta"), self.axis).shape[2:]
        return self.channels, *(-(-size // self.stride) for size in sizes)

    @torch.no_grad()
    def masses(self, lowest: int, highest: int) -> Tensor:
        """Return the probabilities of symbols ``lowest`` to ``highest``, (c, highest - lowest + 1), float64."""
        symbols = torch.arange(lowest, highest + 1, device=self.floor.device).float()
        scale = self.density_scale()
        by_channel = None if scale is None else scale.reshape(self.channels, 1, 1)
        return self.density.likelihood(symbols.expand(self.channels, 1, -1), by_channel)[:, 0].double()

"""A convolutional encoder from the image to a small map, and the decoder from there to the cut.

After Matsubara et al. ("Supervised Compression for Resource-Constrained Edge Computing Systems", WACV 2022), for any
cut of one tensor:

    encoder   5 x 5 at stride 2 to ``width`` channels, between; 5 x 5 at stride 2 to half as many, between, as often as
              halving brings the image to the cut's size; 1 x 1 to ``channels``, batch norm, ReLU
    decoder   3 x 3 from ``channels`` to 2 C, back; 1 x 1 to C, back; 3 x 3 to C, batch norm, at the cut's size

``between`` and ``back`` are what a method puts between convolutions. The encoder's output is never negative, as a
coder of latents takes it. The decoder's last norm is fitted to the cut before training, and values below 0 are cut off
where the cut has none. Sizes that are no power of two apart are averaged or repeated to the cut's. Tokens (N, C) are
made of a map of the image's shape, those that are left over (class tokens) of its mean; a vector is the map's mean.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from splitbench.methods.base import Context, Cut, MethodError, NewHead, TensorSpec
from splitbench.methods.coding.layout import channel_axis, channels_first, restored
from splitbench.methods.units.last_norm import fit_norm

Between = Callable[[int], nn.Module]
"""Makes what stands between two convolutions of so many channels."""

_MOST_HALVINGS = 5
_PADDED = 32
"""Detectors pad images that differ in size to multiples of so many pixels."""


class ConvolutionalHead(NewHead):
    """A new head for the cut of a context.

    Args:
        context: Of the backbone.
        channels: Of what crosses.
        width: Channels after the encoder's first convolution.
        stride: By how much smaller than the cut what crosses is, along each axis: 1, 2 or 4.
        between: Made between the encoder's convolutions.
        back: Made between the decoder's.

    Attributes:
        sent: What crosses, of one image.

    Raises:
        MethodError: Several tensors cross, or whole numbers, or the split point is not inside the network; or images
            differ in size, and the cut's size would not follow from that of what is sent.
    """

    decoder: "_Decoder"

    def __init__(
        self, context: Context, *, channels: int, width: int, stride: int, between: Between, back: Between
    ) -> None:
        super().__init__()
        image, spec = _image_and_cut(context)
        places = _places(spec, image)
        halvings = min(round(math.log2(math.sqrt(math.prod(image[1:]) / math.prod(places)))), _MOST_HALVINGS)
        halvings = max(0, halvings) + int(math.log2(stride))
        if spec.axis is not None and stride > 1 and 2**halvings > _PADDED:
            raise MethodError(
                f"images may differ in size here, and {2**halvings} pixels to one of what is sent would not say how "
                "large the cut was: choose a smaller `stride`, or split earlier"
            )
        self.encoder = _encoder(image[0], width, channels, halvings, between)
        shape = (channels, *(-(-side // 2**halvings) for side in image[1:]))
        self.sent = TensorSpec(shape, torch.float32, "latent", axis=0)
        # Of images that vary in size, the cut's varies in the same proportion.
        growth = places[0] / shape[1], places[1] / shape[2]
        self.decoder = _Decoder(spec, channels, growth, places, back)

    def begin(self, cut: Cut) -> None:
        """See the base class."""
        self.decoder.begin(cut[0])


def _image_and_cut(context: Context) -> tuple[tuple[int, ...], TensorSpec]:
    if context.image is None:
        raise MethodError("a new head replaces layers in front of a split inside the network, which this is not")
    if len(context.specs) != 1:
        raise MethodError(
            f"a new head makes one tensor, and {len(context.specs)} cross here: split where a single one does"
        )
    (spec,) = context.specs
    if not spec.dtype.is_floating_point or not 1 <= len(spec.shape) <= 3:
        raise MethodError(f"a new head makes vectors, tokens and feature maps, not {spec.dtype} of {spec.shape}")
    return context.image, spec


def _places(spec: TensorSpec, image: Sequence[int]) -> tuple[int, int]:
    """Return height and width of the map that a tensor is made of: tokens are laid out in the image's shape."""
    if len(spec.shape) == 1:
        return 1, 1
    if len(spec.shape) == 2:
        tokens = spec.shape[0]
        height = max(1, math.isqrt(tokens * image[1] // image[2]))
        return height, max(1, tokens // height)
    height, width = channels_first(torch.empty(1, *spec.shape, device="meta"), channel_axis(spec)).shape[2:]
    return height, width


def _encoder(inputs: int, width: int, channels: int, halvings: int, between: Between) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(halvings):
        outputs = width if number == 0 else max(1, width // 2)
        layers += [nn.Conv2d(inputs, outputs, 5, 2, 2, bias=False), between(outputs)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())


class _Decoder(nn.Module):
    """What crossed, (B, c, h, w), to the cut's tensor."""

    floor: Tensor

    def __init__(
        self, spec: TensorSpec, channels: int, growth: tuple[float, float], places: tuple[int, int], back: Between
    ) -> None:
        super().__init__()
        self.axis, self.axes, self.growth = channel_axis(spec), len(spec.shape), growth
        width = spec.shape[self.axis]
        self.first = nn.Sequential(nn.Conv2d(channels, 2 * width, 3, padding=1, bias=False), back(2 * width))
        self.then = nn.Sequential(
            nn.Conv2d(2 * width, width, 1, bias=False), back(width), nn.Conv2d(width, width, 3, padding=1, bias=False)
        )
        rest = spec.shape[0] - math.prod(places) if self.axes == 2 else 0
        self.others = nn.Linear(width, rest * width) if rest else None
        self.last = (nn.BatchNorm2d if self.axes == 3 else nn.BatchNorm1d)(width)
        self.register_buffer("floor", torch.full((), -torch.inf))

    def begin(self, x: Tensor) -> None:
        """Fit to x, (B, *shape): mean and deviation by channel, and whether any is < 0."""
        fit_norm(self.last, self.floor, x, self.axis)

    def forward(self, sent: Tensor) -> Tensor:
        """(B, c, h, w) to (B, *shape)."""
        wide = self.first(sent)
        height, width = (max(1, round(side * by)) for side, by in zip(sent.shape[2:], self.growth, strict=True))
        if wide.shape[2:] != (height, width):
            wide = F.adaptive_avg_pool2d(wide, (height, width))
        values = self.then(wide)
        if self.axes < 3:
            values = values.flatten(2)
        if self.others is not None:
            others = self.others(values.mean(2)).reshape(len(values), values.shape[1], -1)
            values = torch.cat([others, values], 2)
        return restored(torch.maximum(self.last(values), self.floor), self.axis, self.axes)

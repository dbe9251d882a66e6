"""A backbone split at one point, and what crosses there: encoded, and decoded from nothing but the bytes."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.utils.precision import coding, halved, narrowed, widened
from splitbench.bench.utils.text import format_count
from splitbench.methods.base import Bitstream, Codec, Cut, MethodError, Specs, TensorSpec

_SIZE = struct.Struct("<HH")  # an image's height and width
_LARGEST = 2**16 - 1


@dataclass(frozen=True)
class Place:
    """The halves, the specs of one example's cut, and how the backbone was split.

    ``sized``: images differ in size, and the tail needs to know each one's. Every bitstream then begins with the
    image's height and width, 2 bytes each, counted as framing. ``apart``: tensors differ in size even between images
    of one batch, so that each image is a cut of its own. ``half``: the network runs in half precision by choice.
    """

    head: nn.Module
    tail: nn.Module
    specs: Specs
    how: str
    sized: bool = False
    apart: bool = False
    half: bool = False

    def cut(self, values: tuple[Any, ...]) -> tuple[Cut, tuple[Any, ...]]:
        """What a head returns, as the cut and the integers, which depend on the images' sizes only."""
        tensors = len(self.specs)
        return self._given(values[:tensors]), values[tensors:]

    def cuts(self, values: tuple[Any, ...]) -> tuple[list[Cut], tuple[Any, ...]]:
        """The same where each image may be a cut of its own."""
        parts, numbers = self.parts(values)
        return [self._given(part) for part in parts], numbers

    def parts(self, values: tuple[Any, ...]) -> tuple[list[Sequence[Tensor]], tuple[Any, ...]]:
        """The tensors of each cut as the head returned them, and the integers."""
        step = len(self.specs)
        if not self.apart:
            return [values[:step]], values[step:]
        tensors = [x for x in values if isinstance(x, Tensor)]
        return [tensors[i : i + step] for i in range(0, len(tensors), step)], values[len(tensors) :]

    def _given(self, tensors: Sequence[Tensor]) -> Cut:
        """What a codec is given: float32 where the network computes in half precision by choice.

        It is its own: a codec that writes into a cut must not change what others are given.
        """
        given = widened(tuple(tensors)) if self.half else tensors
        return tuple(x.clone() if x is own else x for x, own in zip(given, tensors, strict=True))

    def specs_of(self, cut: Cut) -> Specs:
        """What both sides know of a cut: it follows from the network and the image's size."""
        return specs_of(cut, [spec.role for spec in self.specs], self.sized)

    def transfer(self, codec: Codec, values: tuple[Any, ...]) -> tuple[list[Bitstream], tuple[Any, ...]]:
        """Encode what a head returned into one bitstream per image, and decode it from these: the tail's arguments.

        Raises:
            MethodError: the codec cannot code the cut or gives back another, or an image is larger than its two header
                fields can tell.
        """
        cuts, numbers = self.cuts(values)
        streams: list[Bitstream] = []
        decoded: list[Tensor] = []
        with coding():
            for cut in cuts:
                coded = encode(codec, cut)
                decoded += decode(codec, [stream.data for stream in coded], self.specs_of(cut))
                streams += coded
        if self.sized:
            sides = numbers[: 2 * len(streams)]
            streams = [_with_size(stream, *sides[2 * i : 2 * i + 2]) for i, stream in enumerate(streams)]
            sent = [side for stream in streams for side in _SIZE.unpack_from(stream.data)]
            numbers = (*sent, *numbers[len(sent) :])
        return streams, narrowed((*decoded, *numbers), values) if self.half else (*decoded, *numbers)


def encode(codec: Codec, cut: Cut) -> list[Bitstream]:
    """One bitstream for each image of a cut. Raises MethodError where the codec cannot, or gives fewer or more."""
    streams = codec.encode(cut)
    if len(streams) != len(cut[0]):
        told = format_count(len(streams), "bitstream"), format_count(len(cut[0]), "image")
        raise MethodError(f"the codec gave {told[0]} for {told[1]}")
    return streams


def decode(codec: Codec, streams: Sequence[bytes], specs: Specs) -> Cut:
    """The cut that bitstreams decode to. Raises MethodError where it is not what a tail must be given."""
    decoded = codec.decode(streams, specs)
    found = [(tuple(x.shape), x.dtype) for x in decoded]
    wanted = [((len(streams), *spec.shape), spec.dtype) for spec in specs]
    if found != wanted:
        told, due = (", ".join(f"{shape} of {dtype}" for shape, dtype in some) for some in (found, wanted))
        raise MethodError(f"the codec decoded {told} instead of {due}")
    return decoded


def received(values: tuple[Any, ...], device: torch.device) -> tuple[Any, ...]:
    """What was decoded, on the device where the tail runs."""
    return tuple(x.to(device) if isinstance(x, Tensor) else x for x in values)


def _with_size(stream: Bitstream, height: int, width: int) -> Bitstream:
    if max(height, width) > _LARGEST:
        raise MethodError(f"an image of {height} x {width} pixels is too large: sides go up to {_LARGEST}")
    return Bitstream(_SIZE.pack(height, width) + stream.data, stream.side, stream.framing + _SIZE.size)


def specs_of(cut: Cut, roles: Sequence[str], sized: bool) -> Specs:
    """The specs of a cut's tensors. Where pictures differ in size, maps have their channels first."""
    return tuple(
        TensorSpec(tuple(x.shape[1:]), x.dtype, role, 0 if sized and x.dim() == 4 else None)
        for x, role in zip(cut, roles, strict=True)
    )


def place_of(backbone: Backbone, at: str, example: Any) -> Place:
    """The backbone split at ``at``, tried on a batch of one image's pixels. Raises UserError for a bad name."""
    head, tail = backbone.split(at, example)
    values = head(example)
    sized, apart = bool(getattr(head, "sized", False)), bool(getattr(head, "apart", False))
    half = halved()
    cut = values[: cast(int, head.cut_tensors)]
    specs = specs_of(widened(cut) if half else cut, cast(tuple[str, ...], head.roles), sized)
    return Place(head, tail, specs, str(head.how), sized, apart, half)

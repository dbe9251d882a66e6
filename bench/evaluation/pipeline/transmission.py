"""What a split sends: a cut is encoded, and decoded from nothing but the bytes."""

import struct
import threading
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from splitbench.bench.evaluation import returned
from splitbench.bench.split import SplitModel
from splitbench.bench.utils.precision import codec_precision, like_precision
from splitbench.bench.utils.text import format_count
from splitbench.methods.base import Bitstream, Codec, Cut, MethodError, Prefix, Specs

_SIZE = struct.Struct("<HH")
"""An image's height and width: sent in front of its bitstream where images differ in size, and counted as framing."""

_MAX_SIDE = 2**16 - 1


class Encodings:
    """The bitstreams of what a head returned: encoded once for all codecs that send first layers of the same ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: list[tuple[Codec, int, list[Bitstream]]] = []

    def of(self, codec: Codec, number: int, cut: Cut) -> list[Bitstream]:
        """Return a codec's bitstreams of a cut, which is the one of this number. Raises what :func:`encode` raises."""
        if not isinstance(codec, Prefix):
            return encode(codec, cut)
        with self._lock:
            for other, at, streams in self._made:
                if other is codec.codec and at == number:
                    return codec.of(streams)
            streams = encode(codec.codec, cut)
            self._made.append((codec.codec, number, streams))
        return codec.of(streams)


def transmit(
    split: SplitModel, codec: Codec, values: tuple[Any, ...], encodings: Encodings | None = None
) -> tuple[list[Bitstream], tuple[Any, ...]]:
    """Encode what a head returned into one bitstream per image, and decode these into the tail's arguments.

    Args:
        split: The split that the head belongs to.
        codec: Encodes and decodes.
        values: What the head returned.
        encodings: What is encoded of the same values for other rate points, too.

    Raises:
        MethodError: The codec cannot encode the cut or decodes something else, or an image is too large for the two
            fields of its header.
    """
    cuts, numbers = split.cuts(values)
    streams: list[Bitstream] = []
    decoded: list[Tensor] = []
    encodings = encodings or Encodings()
    with codec_precision():
        for number, cut in enumerate(cuts):
            encoded = encodings.of(codec, number, cut)
            decoded += decode(codec, [stream.data for stream in encoded], split.specs_of(cut))
            streams += encoded
    if split.sends_sizes:
        sides = numbers[: 2 * len(streams)]
        streams = [_with_size(stream, *sides[2 * i : 2 * i + 2]) for i, stream in enumerate(streams)]
        sent = [side for stream in streams for side in _SIZE.unpack_from(stream.data)]
        numbers = (*sent, *numbers[len(sent) :])
    arguments = (*decoded, *numbers)
    return streams, like_precision(arguments, values) if split.half_precision else arguments


def encode(codec: Codec, cut: Cut) -> list[Bitstream]:
    """Encode a cut into one bitstream per image. Raises MethodError where the codec returns fewer or more."""
    streams = returned.streams(codec, codec.encode(cut))
    if len(streams) != len(cut[0]):
        counts = format_count(len(streams), "bitstream"), format_count(len(cut[0]), "image")
        raise MethodError(f"the codec gave {counts[0]} for {counts[1]}")
    return streams


def decode(codec: Codec, streams: Sequence[bytes], specs: Specs) -> Cut:
    """Decode bitstreams into a cut. Raises MethodError where it does not have the shapes and types of the specs."""
    decoded = returned.cut(codec, codec.decode(streams, specs))
    actual = [(tuple(x.shape), x.dtype) for x in decoded]
    expected = [((len(streams), *spec.shape), spec.dtype) for spec in specs]
    if actual != expected:
        texts = [", ".join(f"{shape} of {dtype}" for shape, dtype in kinds) for kinds in (actual, expected)]
        raise MethodError(f"the codec decoded {texts[0]} instead of {texts[1]}")
    return decoded


def _with_size(stream: Bitstream, height: int, width: int) -> Bitstream:
    if max(height, width) > _MAX_SIDE:
        raise MethodError(f"an image of {height} x {width} pixels is too large: sides go up to {_MAX_SIDE}")
    return Bitstream(_SIZE.pack(height, width) + stream.data, stream.side, stream.framing + _SIZE.size)

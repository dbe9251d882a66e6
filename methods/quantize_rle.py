"""quantize-rle: linear quantization, then zero-run-length coding. No training.

Follows the idea of Carra and Neglia (GLOBECOM 2023, hal-04762856): after a ReLU most elements of a cut are zero, so
quantizing linearly to b bits and coding the runs of zeros compresses without retraining, at next to no device cost.
The code has three steps per image and tensor:

1. *Range*. Per tensor or per channel, from the image itself (``range: image``; sent with it) or fitted once on
   calibration images (``range: calibrated``; stored on both sides, not sent). ``clip: mse`` narrows it to the share of
   the full range that quantizes with the least squared error, ``clip: model`` to what a model of its distribution
   expects to (``coding/quantization/laplace_clip.py``); ``clip: none`` takes the full range.
2. *Quantization* to b bits with an exact zero (``coding/quantization/linear.py``), to the nearest level or with a dead
   zone (``rounding``); symbol 0 is the zero point.
3. *Zero-run-length coding* of the symbols in memory order (channel by channel, row by row;
   ``coding/runs/zero_runs.py``; channels that come last, as a transformer's do, are brought to the front where they
   have separate ranges):
   runs of zeros as Rice codes; the literals between them in b bits (``literals: fixed``) or as Rice codes as well,
   since small levels are the more frequent (``literals: rice``). ``literals: huffman`` is stronger and not the paper's:
   runs and literals by Huffman codes that are fitted to the image and sent (``coding/runs/huffman_runs.py``).

Bitstream of one image: for each tensor of the cut, in order,

    ranges        2 or 4 bytes per group     side information; absent with ``range: calibrated``
    mode          1 byte                     framing
    parameters    1 byte, or code lengths    side information; absent where all symbols are packed plainly
    symbols       the rest                   payload, to the next full byte

No lengths are sent: the number of symbols is known from the network, and each part shows where it ends.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from splitbench.methods import base
from splitbench.methods.base import Bitstream, BitstreamError, Context, Cut, Deployment, Specs, TensorSpec
from splitbench.methods.coding.channels import channels_in_front
from splitbench.methods.coding.quantization import linear, quantizer
from splitbench.methods.coding.quantization.quantizer import Quantizer
from splitbench.methods.coding.runs import huffman_runs, zero_runs, zero_runs_decoder, zero_runs_tensor


class Settings(quantizer.Settings):
    """``literals``: what lies between runs of zeros is coded in ``bits`` bits each, or as Rice codes.

    ``huffman``: runs and what lies between them have Huffman codes, which are sent.
    """

    literals: Literal["fixed", "rice", "huffman"] = "rice"


class QuantizeRLE:
    """Linear quantization and zero-run-length coding."""

    summary: ClassVar[str] = "linear quantization + zero-run-length coding, no training"
    version: ClassVar[int] = 2
    knob: ClassVar[str] = "bits"
    rates: ClassVar[tuple[Any, ...]] = (1, 2, 3, 4, 5, 6, 7, 8)
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = None
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Calibration images, for calibrated ranges."""
        return frozenset({"calibration"} if settings.range == "calibrated" else ())

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Fit the ranges where they are calibrated. Raises MethodError where calibration images are missing."""
        fit = partial(_deploy, settings)
        return channels_in_front(fit, context) if settings.granularity == "channel" else fit(context)


def _deploy(settings: Any, context: Context) -> Deployment:
    fitted = Quantizer.fit(settings, context)
    stored = fitted.stored()
    return Deployment(context.head, _Codec(settings, fitted), context.tail, stored, stored)


class _Codec:
    def __init__(self, settings: Settings, quantizer: Quantizer) -> None:
        self.settings = settings
        self.quantizer = quantizer

    def encode(self, cut: Cut) -> list[Bitstream]:
        streams = [Bitstream(b"")] * len(cut[0])
        for index, x in enumerate(cut):
            coded = self._encode_tensor(x, index)
            streams = [
                Bitstream(a.data + b.data, a.side + b.side, a.framing + b.framing)
                for a, b in zip(streams, coded, strict=True)
            ]
        return streams

    def _encode_tensor(self, x: Tensor, index: int) -> list[Bitstream]:
        ends = self.quantizer.ends_of(x, index)
        symbols = linear.fold(self.quantizer.levels(x, ends), ends, self.settings.top).flatten(1)
        return [
            Bitstream(side + code, len(side) + header, zero_runs.FRAMING_BYTES)
            for side, (code, header) in zip(self.quantizer.sent(ends, len(x)), self._codes(symbols), strict=True)
        ]

    def _codes(self, symbols: Tensor) -> list[tuple[bytes, int]]:
        """Return the code of each row, and how many of its bytes are side information."""
        bits, literals = self.settings.top.bit_length(), self.settings.literals
        if literals == "huffman":
            return huffman_runs.encode_rows(symbols.cpu().numpy(), bits)
        if symbols.device.type == "cpu":
            codes = zero_runs.encode_rows(symbols.numpy(), bits, literals == "rice")
        else:
            codes = zero_runs_tensor.encode_rows(symbols, bits, literals == "rice")
        return [(code, zero_runs.side_bytes(code)) for code in codes]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        left = [memoryview(data) for data in streams]
        tensors = tuple(self._decode_tensor(left, index, spec) for index, spec in enumerate(specs))
        for data in left:
            if len(data) > 0:
                raise BitstreamError(f"damaged bitstream: {len(data)} bytes too many")
        return tensors

    def _decode_tensor(self, left: list[memoryview], index: int, spec: TensorSpec) -> Tensor:
        """One tensor of every image, taken from the beginning of what is left of its bitstream."""
        top, shape = self.settings.top, self.quantizer.groups(spec, len(left))
        symbols = np.empty((len(left), spec.elements), np.uint8)
        low, high = [torch.zeros(0, shape[1])], [torch.zeros(0, shape[1])]
        decode = (huffman_runs if self.settings.literals == "huffman" else zero_runs_decoder).decode
        for image, data in enumerate(left):
            ends, data = self.quantizer.received(data, index, shape[1])
            low.append(ends.low)
            high.append(ends.high)
            symbols[image], used = decode(data, spec.elements, top.bit_length())
            left[image] = data[used:]
        ends = linear.Range(torch.cat(low), torch.cat(high))
        if top & (top + 1) and symbols.size and symbols.max() > top:  # other than 2**bits - 1
            raise BitstreamError("damaged bitstream: a symbol is no level of the quantizer")
        levels = linear.unfold(torch.from_numpy(symbols).reshape(shape), ends, top)
        return self.quantizer.values(levels, ends, spec)


METHOD = QuantizeRLE()

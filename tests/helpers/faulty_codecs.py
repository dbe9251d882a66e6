"""A codec that does what it must, and such as break one rule each."""

import numpy as np
import torch

from splitbench.methods.base import Bitstream, BitstreamError, MethodError


class SoundCodec:
    """Every value as float32, values that are no numbers refused."""

    def encode(self, cut):
        flat = torch.cat([x.flatten(1) for x in cut], 1).float()
        if not bool(torch.isfinite(flat).all()):
            raise MethodError("no finite number")
        return [Bitstream(row.numpy().tobytes()) for row in flat]

    def decode(self, streams, specs):
        sizes = [spec.elements for spec in specs]
        if any(len(data) != 4 * sum(sizes) for data in streams):
            raise BitstreamError("damaged bitstream: wrong length")
        flat = torch.tensor(np.frombuffer(b"".join(streams), np.float32)).reshape(len(streams), sum(sizes))
        if not bool(torch.isfinite(flat).all()):
            raise BitstreamError("damaged bitstream: no finite number")
        return tuple(x.reshape(-1, *spec.shape) for x, spec in zip(flat.split(sizes, 1), specs, strict=True))


class Changing(SoundCodec):
    def encode(self, cut):
        streams = super().encode(cut)
        cut[0].add_(1)
        return streams


class TooFew(SoundCodec):
    def encode(self, cut):
        return super().encode(cut)[:1]


class TooMuchSide(SoundCodec):
    def encode(self, cut):
        return [Bitstream(stream.data, side=10**6) for stream in super().encode(cut)]


class Halving(SoundCodec):
    def decode(self, streams, specs):
        return tuple(x[..., ::2] for x in super().decode(streams, specs))


class OfTheBatch(SoundCodec):
    def encode(self, cut):
        return [Bitstream(s.data[:-1] + bytes([len(cut[0])])) for s in super().encode(cut)]


class TakesNaN(SoundCodec):
    def encode(self, cut):
        return super().encode(tuple(x.nan_to_num() for x in cut))


class Trusting(SoundCodec):
    def decode(self, streams, specs):
        for data in streams:
            if data[:2] == b"\xff\xff":
                raise KeyError("no such table")
        return super().decode(streams, specs)


class Hiding(SoundCodec):
    def __init__(self):
        self.table = torch.zeros(100)


class Loading(SoundCodec):
    def encode(self, cut):
        self.network = torch.nn.Linear(4, 4)
        return super().encode(cut)

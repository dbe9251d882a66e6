"""Range coding of symbols with a table for each scale, where side latents say which scale each symbol has.

One range coder runs through an image: the side latents of all tensors, with a table per channel; then the symbols of
all tensors, each tensor scale by scale. The side latents count as side information: as many bytes as they would take
alone.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from splitbench.methods.coding.context.neighbours import Maps
from splitbench.methods.coding.entropy.probability_tables import Tables
from splitbench.methods.coding.entropy.range_coder import RangeCoder, finished, range_encoder
from splitbench.methods.coding.entropy.range_decoder import RangeDecoder
from splitbench.methods.coding.entropy.range_stream import words_of
from splitbench.methods.units.coders import Stored
from splitbench.methods.units.hyper.scales import Scales, side_latent

_SIDE_TABLES = ("side_frequencies", "side_lengths", "side_lowest")


class HyperCoder:
    """Codes the symbols of all tensors of one image.

    Args:
        analyses: Of each tensor; they are on the device alone, and decoding never uses them.
        stored: Of each tensor, what ``ScaleCounts.to_tensors`` returned.
    """

    def __init__(self, analyses: Sequence[nn.Module], stored: Sequence[Stored]) -> None:
        self.analyses = analyses
        self.tensors = [_Tensor(tables) for tables in stored]
        self.side = RangeCoder([tensor.side for tensor in self.tensors])
        self.latent = RangeCoder([table for tensor in self.tensors for table in tensor.tables])

    def encode(self, symbols: Sequence[Maps]) -> bytes:
        """Return the bytes of one image."""
        return self.encode_with_side(symbols)[0]

    def encode_with_side(self, symbols: Sequence[Maps]) -> tuple[bytes, int]:
        """Return the bytes of one image, and how many of them are the side latents'."""
        sides, rows = [], []
        for analysis, tensor, maps in zip(self.analyses, self.tensors, symbols, strict=True):
            sides.append(side := side_latent(analysis, torch.from_numpy(maps)[None])[0].cpu().numpy())
            order, counts = tensor.by_scale(side, maps.shape)
            rows += np.split(maps.reshape(1, -1)[:, order], np.cumsum(counts)[:-1], 1)
        sides = [side.reshape(len(side), -1) for side in sides]
        encoder = range_encoder()
        self.side.put(encoder, sides)
        self.latent.put(encoder, rows)
        data = finished(encoder)
        return data, min(len(data), len(self.side.encode(sides)))

    def decode(self, data: bytes | memoryview, shapes: Sequence[tuple[int, int, int]]) -> list[Maps]:
        """Return the symbols of tensors of these shapes. Raises BitstreamError for damaged bytes."""
        decoder = RangeDecoder(words_of(data))
        side_shapes = [tensor.side_shape(shape) for tensor, shape in zip(self.tensors, shapes, strict=True)]
        sides = self.side.take(decoder, [(channels, height * width) for channels, height, width in side_shapes])
        places = [
            tensor.by_scale(side.reshape(side_shape), shape)
            for tensor, side, side_shape, shape in zip(self.tensors, sides, side_shapes, shapes, strict=True)
        ]
        rows = iter(self.latent.take(decoder, [(1, int(n)) for _, counts in places for n in counts]))
        decoder.check_end()
        images = [np.empty(shape, np.int32) for shape in shapes]
        for maps, (order, counts) in zip(images, places, strict=True):
            maps.reshape(-1)[order] = np.concatenate([next(rows)[0] for _ in counts])
        return images


class _Tensor:
    """What both sides store of one tensor."""

    def __init__(self, stored: Stored) -> None:
        self.scales, self.first = Scales(stored), int(stored["first"])
        self.side = Tables.from_tensors({name.removeprefix("side_"): stored[name] for name in _SIDE_TABLES})
        self.tables = Tables.from_tensors(stored).by_group()

    def side_shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return the side latent's shape for symbols of this one."""
        return self.side.groups, *self.scales.side_size(shape[1:])

    def by_scale(self, side: Maps, shape: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the places of symbols of this shape in the order of their tables, and how many each table has."""
        numbers = self.scales.numbers(torch.from_numpy(side)[None], shape[1:]).flatten()
        table = (numbers - self.first).clamp(0, len(self.tables) - 1).numpy()
        return table.argsort(kind="stable"), np.bincount(table, minlength=len(self.tables))

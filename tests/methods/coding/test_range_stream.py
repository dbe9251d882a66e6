"""Streams of range coders end in one way: bytes behind them are refused, or are a longer stream of other symbols."""

import numpy as np
import pytest
import torch

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.context.context_coder import ContextCoder
from splitbench.methods.coding.context.context_tables import ContextCounts
from splitbench.methods.coding.entropy.counts import Counts
from splitbench.methods.coding.entropy.range_coder import RangeCoder
from splitbench.methods.coding.mixing import mixing_model
from splitbench.methods.coding.mixing.mixing_coder import MixingCoder


class ByChannel:
    """The coder of rows as one of maps."""

    def __init__(self, coder):
        self.coder = coder

    def encode(self, symbols):
        return self.coder.encode([maps.reshape(len(maps), -1) for maps in symbols])

    def decode(self, data, shapes):
        rows = self.coder.decode(data, [(c, height * width) for c, height, width in shapes])
        return [symbols.reshape(shape) for symbols, shape in zip(rows, shapes, strict=True)]


def channels(images):
    counts = Counts(len(images[0]), -7, 7)
    for maps in images:
        counts.add(torch.from_numpy(maps.reshape(len(maps), -1)))
    return ByChannel(RangeCoder([counts.tables()]))


def context(images):
    counts = ContextCounts(len(images[0]), -7, 7)
    return ContextCoder([counts.fit(counts.classes(images), images)])


def mixing(images):
    return MixingCoder([mixing_model.fit(images)])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("fit", [channels, context, mixing])
def test_what_is_accepted_is_what_the_encoder_writes(fit, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, 3).tolist())
    coder = fit([rng.integers(0, rng.integers(1, 7), shape).astype(np.int32) for _ in range(3)])
    symbols = rng.integers(0, 6, shape).astype(np.int32) * (seed % 3 > 0)
    if seed % 4 == 3:
        symbols[rng.random(shape) < 0.2] = np.iinfo(np.int32).max
    stream = coder.encode([symbols])
    assert np.array_equal(coder.decode(stream, [shape])[0], symbols)
    longer = [stream + rng.bytes(count) for count in range(1, 9) for _ in range(10)]
    for data in [*longer, *(stream[:end] for end in range(len(stream)))]:
        try:
            (decoded,) = coder.decode(data, [shape])
        except BitstreamError:
            continue
        assert coder.encode([decoded]) == data
        assert not np.array_equal(decoded, symbols)

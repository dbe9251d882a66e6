"""Every decoder that takes bytes from elsewhere, each with some bitstreams that are whole, to be damaged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from splitbench.bench.tools.conformance import decodes
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import BitstreamError
from splitbench.methods.coding.entropy.huffman import HuffmanCoder
from splitbench.methods.coding.entropy.probability_tables import Tables
from splitbench.methods.coding.entropy.range_coder import RangeCoder
from splitbench.methods.coding.quantization import linear, ranges
from splitbench.methods.coding.runs import huffman_runs, zero_runs, zero_runs_decoder
from tests.helpers.method_samples import cases, deployed

_SHAPES = [(3, 70), (3, 11)]


@dataclass(frozen=True)
class DecoderTarget:
    """``accepts`` decodes bytes and returns whether they were taken for a bitstream; what it raises is a fault."""

    name: str
    streams: Sequence[bytes]
    accepts: Callable[[bytes], bool]


def of_method(method: str) -> Iterator[DecoderTarget]:
    """A method's decoders: for all settings with named choices, at the lowest and the highest rate."""
    for case in cases():
        name, chosen, rates = case.values
        if name == method:
            for rate in dict.fromkeys(rates):
                deployment, cut, specs = deployed(name, chosen, rate)
                streams = [stream.data for stream in deployment.codec.encode(cut)]
                accepts = partial(decodes, deployment.codec, specs=specs)
                yield DecoderTarget(f"{case.id} {rate}", streams, accepts)


def of_coders() -> Iterator[DecoderTarget]:
    """The coders that methods share, by themselves."""
    rng = np.random.default_rng(0)
    pmf = rng.random((3, 40)) ** 8 + 1e-9
    symbols = [np.minimum(rng.geometric(0.2, shape), 60).astype(np.int32) - 1 for shape in _SHAPES]
    symbols[0][0, :3] = (2**31 - 1, -(2**31), 1000)  # escapes
    for build, groups in ((RangeCoder, 3), (HuffmanCoder, 1)):
        coder = build([Tables.from_pmf(pmf[:groups], 0, 0.01)] * len(_SHAPES))

        def decoded(data: bytes, coder: RangeCoder | HuffmanCoder = coder) -> list[tuple[int, ...]]:
            return [x.shape for x in coder.decode(data, _SHAPES)]

        yield DecoderTarget(build.__name__, [coder.encode(symbols)], _accepting(decoded, _SHAPES))
    few = np.where(rng.random(500) < 0.7, 0, rng.integers(0, 16, 500)).astype(np.uint8)
    runs = [code for rice in (True, False) for code in zero_runs.encode_rows(np.stack([few, few[::-1]]), 4, rice)]
    yield DecoderTarget(
        "zero_runs", runs, _accepting(lambda data: zero_runs_decoder.decode(memoryview(data), 500, 4)[0].shape, (500,))
    )
    more = np.where(rng.random(2000) < 0.7, 0, np.minimum(rng.geometric(0.7, 2000), 15)).astype(np.uint8)
    yield DecoderTarget(
        "huffman_runs",
        [code for code, _ in huffman_runs.encode_rows(np.stack([more, more[::-1]]), 4)],
        _accepting(lambda data: huffman_runs.decode(memoryview(data), 2000, 4)[0].shape, (2000,)),
    )
    ends = ranges.rounded(linear.Range(-torch.rand(2, 5), torch.rand(2, 5)))
    yield DecoderTarget(
        "ranges",
        ranges.to_bytes(ends),
        _accepting(lambda data: tuple(ranges.from_bytes(memoryview(data), 5)[0].low.shape), (1, 5)),
    )


def _accepting(decode: Callable[[bytes], object], expected: object) -> Callable[[bytes], bool]:
    def accepts(data: bytes) -> bool:
        try:
            result = decode(data)
        except BitstreamError:
            return False
        if result != expected:
            raise AssertionError(f"decoded to {result} instead of {expected}")
        return True

    return accepts


def targets(name: str) -> list[DecoderTarget]:
    """The targets of a method, or of ``coding``."""
    return list(of_coders() if name == "coding" else of_method(name))


NAMES = (*METHODS.names(), "coding")

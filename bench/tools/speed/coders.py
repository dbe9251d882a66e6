"""Coders against others on the same symbols, in seconds of one core."""

import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from splitbench.bench.tools.speed.measured import Measured, UnavailableError, in_turn, ratios
from splitbench.bench.utils.errors import UserError
from splitbench.methods.coding import zero_runs, zero_runs_decoder
from splitbench.methods.coding.entropy import RangeCoder
from splitbench.methods.coding.tables import Tables

_BITS = 4
_ZEROS = (0.0, 0.5, 0.9)
_IMAGES = 4  # so many share the symbols
_AIM = 150.0  # Msymbol/s at 50 % zeros
_AHEAD = 4.0  # of CompressAI
_SIDE = 28  # of a latent's channels

_Coder = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def zero_runs_compared(count: int, rounds: int) -> Iterator[Measured]:
    """Symbols of 4 bits whose literals are the more frequent the smaller, as those of feature maps are."""
    rng = np.random.default_rng(0)
    literals = np.minimum(rng.geometric(0.4, count), 2**_BITS - 1)
    for share in _ZEROS:
        rows = np.where(rng.random(count) < share, 0, literals).astype(np.uint8).reshape(_IMAGES, -1)
        names, coders = ["quantize-rle", "zlib-1", "zstd-3"], [_own(rows.shape[1]), _zlib(), _zstd()]
        sent = [encode(rows) for encode, _ in coders]
        for step in (0, 1):
            given = [rows] * len(coders) if step == 0 else sent
            calls = [partial(coder[step], data) for coder, data in zip(coders, given, strict=True)]
            own, *others = in_turn(calls, rounds, time.thread_time)
            title = f"quantize-rle, {100 * share:.0f} % zeros, {('encode', 'decode')[step]}"
            speeds = [count / seconds / 1e6 for seconds in own]
            yield Measured(title, "Msymbol/s", speeds, _AIM if share == 0.5 else None)
            for name, seconds in zip(names[1:], others, strict=True):
                yield Measured(f"{title}: against {name}", "times", ratios(seconds, own), 1.0)


def _own(size: int) -> _Coder:
    def decode(streams: list[bytes]) -> None:
        for data in streams:
            zero_runs_decoder.decode(memoryview(data), size, _BITS)

    return lambda rows: zero_runs.encode_rows(rows, _BITS), decode


def _zlib() -> _Coder:
    return (
        lambda rows: [zlib.compress(row.tobytes(), 1) for row in rows],
        lambda streams: [zlib.decompress(data) for data in streams],
    )


def _zstd() -> _Coder:
    try:
        import zstandard
    except ImportError:
        raise UserError("the benchmark compares with zstd: pip install zstandard") from None
    compressor, decompressor = zstandard.ZstdCompressor(3), zstandard.ZstdDecompressor()
    return (
        lambda rows: [compressor.compress(row.tobytes()) for row in rows],
        lambda streams: [decompressor.decompress(data) for data in streams],
    )


@torch.no_grad()
def range_compared(channels: int, rounds: int) -> Iterator[Measured]:
    """A latent of Gaussian channels: rounding and range coding, with tables that CompressAI made of its density.

    Raises:
        UnavailableError: CompressAI is not installed, as on Python 3.13 and later.
    """
    try:
        from compressai.entropy_models import EntropyBottleneck
    except ImportError:
        raise UnavailableError(
            "range coding is compared with CompressAI's, which is not installed (there are no wheels for Python 3.13)"
        ) from None

    torch.manual_seed(0)
    theirs = EntropyBottleneck(channels).eval()
    theirs.quantiles[:, 0, 0], theirs.quantiles[:, 0, 2] = -12, 12
    theirs.update(force=True)
    rows = [np.diff(row[:n]) for row, n in zip(theirs._quantized_cdf.numpy(), theirs._cdf_length.numpy(), strict=True)]
    tables = Tables(
        np.concatenate([row[:-1] for row in rows]).astype(np.uint16),
        np.array([len(row) - 1 for row in rows], np.uint16),
        theirs._offset.numpy().astype(np.int32),
    )
    coder = RangeCoder([tables])
    spread = 0.2 + 2 * torch.rand(channels)[None, :, None, None]
    latent = spread * torch.randn(_IMAGES, channels, _SIDE, _SIDE)
    medians = theirs._get_medians().reshape(1, channels, 1, 1)

    def encode() -> list[bytes]:
        symbols = torch.round(latent - medians).int().flatten(2).numpy()
        return [coder.encode([image]) for image in symbols]

    def decode() -> torch.Tensor:
        shape = [(channels, _SIDE * _SIDE)]
        symbols = np.stack([coder.decode(data, shape)[0] for data in own])
        values: torch.Tensor = torch.from_numpy(symbols).reshape(latent.shape) + medians
        return values

    own, other = encode(), theirs.compress(latent)
    if not torch.equal(decode(), theirs.decompress(other, latent.shape[-2:])):
        raise RuntimeError("range coding and CompressAI decode to different latents")
    calls = [
        (encode, lambda: theirs.compress(latent)),
        (decode, lambda: theirs.decompress(other, latent.shape[-2:])),
    ]
    for step, pair in zip(("encode", "decode"), calls, strict=True):
        mine, compressai = in_turn(pair, rounds, time.thread_time)
        speeds = [latent.numel() / seconds / 1e6 for seconds in mine]
        yield Measured(f"range coding, {step}", "Msymbol/s", speeds)
        yield Measured(f"range coding, {step}: against CompressAI", "times", ratios(compressai, mine), _AHEAD)
    share = sum(map(len, own)) / sum(map(len, other))
    yield Measured("range coding: bytes against CompressAI's", "of them", [share], 1.0, below=True)

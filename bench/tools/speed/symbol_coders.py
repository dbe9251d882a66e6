"""Entropy coders against others on the same symbols, in CPU time of one core."""

import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from splitbench.bench.tools.speed.measurement import Measurement, UnavailableError, ratios, time_in_turn
from splitbench.bench.utils.errors import UserError
from splitbench.methods.coding.entropy.probability_tables import Tables
from splitbench.methods.coding.entropy.range_coder import RangeCoder
from splitbench.methods.coding.runs import zero_runs, zero_runs_decoder

_BITS = 4
_ZEROS = (0.0, 0.5, 0.9)
_IMAGES = 4  # among which the symbols are divided
_AIM = 150.0  # Msymbol/s at 50 % zeros
_RANGE_AIM = 4.0  # times as fast as CompressAI
_SIDE = 28  # of a latent's channels

_Coder = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def measure_zero_runs(count: int, rounds: int) -> Iterator[Measurement]:
    """Measure quantize-rle's coder on 4-bit symbols; small literals are more frequent, as in feature maps."""
    rng = np.random.default_rng(0)
    literals = np.minimum(rng.geometric(0.4, count), 2**_BITS - 1)
    for share in _ZEROS:
        rows = np.where(rng.random(count) < share, 0, literals).astype(np.uint8).reshape(_IMAGES, -1)
        names, coders = ["quantize-rle", "zlib-1", "zstd-3"], [_zero_runs(rows.shape[1]), _zlib(), _zstd()]
        sent = [encode(rows) for encode, _ in coders]
        for step in (0, 1):
            inputs = [rows] * len(coders) if step == 0 else sent
            calls = [partial(coder[step], data) for coder, data in zip(coders, inputs, strict=True)]
            ours, *others = time_in_turn(calls, rounds, time.thread_time)
            title = f"quantize-rle, {100 * share:.0f} % zeros, {('encode', 'decode')[step]}"
            speeds = [count / seconds / 1e6 for seconds in ours]
            yield Measurement(title, "Msymbol/s", speeds, _AIM if share == 0.5 else None)
            for name, seconds in zip(names[1:], others, strict=True):
                yield Measurement(f"{title}: against {name}", "times", ratios(seconds, ours), 1.0)


def _zero_runs(size: int) -> _Coder:
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
def measure_range_coder(channels: int, rounds: int) -> Iterator[Measurement]:
    """Measure rounding and range coding of a latent with Gaussian channels, with tables made by CompressAI.

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
        symbols = np.stack([coder.decode(data, shape)[0] for data in ours])
        values: torch.Tensor = torch.from_numpy(symbols).reshape(latent.shape) + medians
        return values

    ours, other = encode(), theirs.compress(latent)
    if not torch.equal(decode(), theirs.decompress(other, latent.shape[-2:])):
        raise RuntimeError("range coding and CompressAI decode to different latents")
    calls = [
        (encode, lambda: theirs.compress(latent)),
        (decode, lambda: theirs.decompress(other, latent.shape[-2:])),
    ]
    for step, pair in zip(("encode", "decode"), calls, strict=True):
        ours_seconds, theirs_seconds = time_in_turn(pair, rounds, time.thread_time)
        speeds = [latent.numel() / seconds / 1e6 for seconds in ours_seconds]
        yield Measurement(f"range coding, {step}", "Msymbol/s", speeds)
        yield Measurement(
            f"range coding, {step}: against CompressAI",
            "times",
            ratios(theirs_seconds, ours_seconds),
            _RANGE_AIM,
        )
    share = sum(map(len, ours)) / sum(map(len, other))
    yield Measurement("range coding: bytes against CompressAI's", "of them", [share], 1.0, below=True)

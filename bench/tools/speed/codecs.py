"""Codecs of the methods that need no training, from a cut to bytes and back, against zlib in CPU time of all cores."""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor, nn

from splitbench.bench.tools.speed.measurement import Measurement, ratios, time_in_turn
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import Codec, Context, TensorSpec

_BITS = 3
_QUALITY = 40
_IMAGES = 4
_SIDE = 28
_COARSE = 7  # side of the coarse grid that the maps are interpolated from
_ZLIB = "quantize-lossless zlib"


@torch.no_grad()
def measure_codecs(count: int, rounds: int) -> Iterator[Measurement]:
    """Measure every codec on a cut of about ``count`` smooth values, 50 % of them zeros, as after a ReLU."""
    channels = max(1, count // (_IMAGES * _SIDE**2))
    cut, calibration = _maps(0, channels), _maps(1, channels)
    specs = (TensorSpec(tuple(cut.shape[1:]), cut.dtype),)
    context = Context(nn.Identity(), nn.Identity(), specs, calibration=lambda: [(calibration,)])
    codecs = dict(_codecs(context))
    sent = {name: [stream.data for stream in codec.encode((cut,))] for name, codec in codecs.items()}
    encoding = time_in_turn([partial(codec.encode, (cut,)) for codec in codecs.values()], rounds, time.process_time)
    decoding = time_in_turn(
        [partial(codec.decode, sent[name], specs) for name, codec in codecs.items()], rounds, time.process_time
    )
    baseline = list(codecs).index(_ZLIB)
    sizes = {name: sum(map(len, streams)) for name, streams in sent.items()}
    for name, encode, decode in zip(codecs, encoding, decoding, strict=True):
        for step, seconds, zlib in (("encode", encode, encoding[baseline]), ("decode", decode, decoding[baseline])):
            yield Measurement(f"{name}, {step}", "Msymbol/s", [cut.numel() / s / 1e6 for s in seconds])
            yield Measurement(f"{name}, {step}: against zlib", "times", ratios(zlib, seconds))
        yield Measurement(f"{name}: bytes against zlib's", "of them", [sizes[name] / sizes[_ZLIB]])


def _maps(seed: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(_IMAGES, channels, _COARSE, _COARSE, generator=generator)
    fine = torch.randn(_IMAGES, channels, _SIDE, _SIDE, generator=generator)
    return (nn.functional.interpolate(coarse, (_SIDE, _SIDE), mode="bilinear") + 0.3 * fine).relu()


def _codecs(context: Context) -> Iterator[tuple[str, Codec]]:
    """Yield every codec, by method and named choice, but those whose package is missing."""
    choices: list[tuple[str, str, Mapping[str, Any]]] = [
        ("quantize-rle", "literals", {"bits": _BITS}),
        ("quantize-lossless", "coder", {"bits": _BITS}),
        ("quantize-entropy", "coder", {"bits": _BITS}),
        ("quantize-context", "model", {"bits": _BITS}),
        ("feature-image", "format", {"quality": _QUALITY}),
    ]
    for name, setting, values in choices:
        method = METHODS.get(name)
        for choice in get_args(method.Settings.model_fields[setting].annotation):
            try:
                settings = method.Settings.model_validate({**values, setting: choice})
            except ValueError:
                continue
            yield f"{name} {choice}", method.deploy(settings, context).codec

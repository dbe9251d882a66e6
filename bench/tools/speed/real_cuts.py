"""Coders of equal levels on a real network's cuts: bytes of decodable streams, ideal code lengths, and times.

    python -m splitbench.bench.tools.speed.real_cuts ../shared/realdata

takes ResNet-50 of the pack of real weights and photographs (CONTRIBUTING.md, "Real input"). Ranges are each image's
and tables come from photographs of the other set. Every stream is decoded, and must yield the levels of quantize-rle.
"""

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Protocol, runtime_checkable

import torch

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.evaluation.pipeline.loader import load, plan_batches
from splitbench.bench.run.planning.sources import Sources, open_backbone, open_dataset
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.tools.speed.measurement import ratios, time_in_turn
from splitbench.bench.utils.plugins import METHODS
from splitbench.datasets.base import Dataset
from splitbench.methods.base import Codec, Context, Cut, Specs

_SPLITS, _BITS = ("layer1", "layer2", "layer3", "layer4"), (3, 4)
_SWEEP: dict[str, Any] = {
    "datasets": [
        {
            "name": "imagenet",
            "root": "val650",
            "limit": 16,
            "preprocessing": {"resize": None},
            "calibration": {"root": "val120", "limit": 40, "exclude": ["ILSVRC2012_val_00000347"]},
        }
    ],
    "backbones": [{"name": "torchvision/resnet50", "weights": "resnet50_pqf.safetensors", "splits": [*_SPLITS]}],
    "methods": [{"name": "quantize-rle", "bits": [*_BITS]}],
}
_RLE, _BASELINE = "quantize-rle", "quantize-entropy"
_CODERS: dict[str, tuple[str, dict[str, str]]] = {
    _RLE: ("quantize-rle", {}),
    "quantize-rle, Huffman": ("quantize-rle", {"literals": "huffman"}),
    "zlib": ("quantize-lossless", {"coder": "zlib"}),
    "zstd": ("quantize-lossless", {"coder": "zstd"}),
    "xz": ("quantize-lossless", {"coder": "xz"}),
    "WebP": ("quantize-lossless", {"coder": "webp"}),
    _BASELINE: ("quantize-entropy", {"range": "image"}),
    "quantize-context": ("quantize-context", {"range": "image"}),
    "quantize-context, mixing": ("quantize-context", {"range": "image", "model": "mixing"}),
}
_BATCH = 8
_TIMED = 2  # images, whose coding is timed
_ROUNDS = 3
_KB = 1024


@runtime_checkable
class _Modelled(Protocol):
    """A codec that knows what its model's probabilities come to."""

    def ideal_bits(self, cut: Cut) -> list[float]: ...


@torch.no_grad()
def table(pack: Path) -> Iterator[str]:
    """Yield the lines of a table in Markdown, as they are measured."""
    sweep, sources = Sweep.model_validate(_SWEEP), Sources(pack / "imagenet", pack / "weights")
    (dataset,), (network,) = sweep.datasets, sweep.backbones
    backbone = open_backbone(network, dataset, sources)
    evaluated = _pixels(open_dataset(dataset, sources, "evaluation"), backbone)
    calibrating = _pixels(open_dataset(dataset, sources, "calibration"), backbone)
    yield "| cut | bits | coder | KB per image | ideal KB | against quantize-rle | encode | decode |"
    yield "|---|---|---|---|---|---|---|---|"
    for at in _SPLITS:
        model = backbone.split(at, evaluated[0])
        cuts, calibration = ([model.head(pixels) for pixels in batches] for batches in (evaluated, calibrating))
        context = Context(model.head, model.tail, model.specs, calibration=lambda: calibration)  # noqa: B023
        for bits in _BITS:
            yield from (f"| {at} | {bits} | {line} |" for line in _lines(cuts, bits, context))


def _pixels(dataset: Dataset, backbone: Backbone) -> list[Any]:
    return [batch.pixels for batch in load(dataset, backbone, plan_batches(dataset, backbone, _BATCH))]


def _lines(cuts: list[Cut], bits: int, context: Context) -> Iterator[str]:
    """Yield a line for every coder: bytes of all images, and times of a few in those of quantize-entropy."""
    codecs = {name: _codec(*chosen, bits, context) for name, chosen in _CODERS.items()}
    sizes = {name: _size(codec, codecs[_RLE], cuts, context.specs) for name, codec in codecs.items()}
    timed = tuple(x[:_TIMED] for x in cuts[0])
    sent = {name: [stream.data for stream in codec.encode(timed)] for name, codec in codecs.items()}
    encoding = [partial(codec.encode, timed) for codec in codecs.values()]
    decoding = [partial(codec.decode, sent[name], context.specs) for name, codec in codecs.items()]
    slower = [_against_baseline(time_in_turn(calls, _ROUNDS, time.process_time)) for calls in (encoding, decoding)]
    for name, encode, decode in zip(codecs, *slower, strict=True):
        size, ideal = sizes[name]
        saved = f"{100 * (size / sizes[_RLE][0] - 1):+.0f} %"
        yield f"{name} | {size:.2f} | {'' if ideal is None else f'{ideal:.2f}'} | {saved} | {encode:.2f} | {decode:.2f}"


def _codec(method: str, chosen: dict[str, str], bits: int, context: Context) -> Codec:
    family = METHODS.get(method)
    return family.deploy(family.Settings.model_validate({"bits": bits, **chosen}), context).codec


def _size(codec: Codec, reference: Codec, cuts: list[Cut], specs: Specs) -> tuple[float, float | None]:
    """Return the KB of an image's stream, and of its symbols by the probabilities of the codec's model.

    Raises:
        RuntimeError: it does not decode to what ``reference`` does.
    """
    streams, bits = 0, 0.0
    for cut in cuts:
        sent = [stream.data for stream in codec.encode(cut)]
        expected = reference.decode([stream.data for stream in reference.encode(cut)], specs)
        if not all(map(torch.equal, codec.decode(sent, specs), expected)):
            raise RuntimeError("two coders of the same levels decode to different cuts")
        streams += sum(map(len, sent))
        bits += sum(codec.ideal_bits(cut)) if isinstance(codec, _Modelled) else 0
    images = sum(len(cut[0]) for cut in cuts)
    return streams / images / _KB, bits / 8 / images / _KB if isinstance(codec, _Modelled) else None


def _against_baseline(seconds: list[list[float]]) -> list[float]:
    baseline = seconds[list(_CODERS).index(_BASELINE)]
    return [median(ratios(times, baseline)) for times in seconds]


if __name__ == "__main__":
    for line in table(Path(sys.argv[1])):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

"""Checks of every cell's codec: a few images are encoded singly and in a batch, and decoded by an untouched copy.

An image's bytes must not depend on the other images of its batch, and decoding must need nothing but the bytes.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from splitbench.bench.evaluation.pipeline.transmission import decode, encode
from splitbench.bench.utils.errors import format_error
from splitbench.bench.utils.log import LOG
from splitbench.methods.base import Codec, Cut, MethodError, Specs

IMAGES = 4
_TOLERANCE = 1e-3
"""Of the largest value: an encoder or decoder that is a network rounds differently in batches of other sizes."""


def check(codec: Codec, cuts: Sequence[Cut], specs_of: Callable[[Cut], Specs]) -> None:
    """Check a codec on cuts of one image each; those with the shapes of the first are used.

    Raises:
        MethodError: Most images have other bytes in a batch than singly, or an image decodes to something else when it
            is decoded singly, in reverse order, by a copy of the codec that did not encode it.
    """
    shapes = [[x.shape for x in cut] for cut in cuts]
    singles = [cut for cut, shape in zip(cuts, shapes, strict=True) if shape == shapes[0]][:IMAGES]
    decoder = _copied(codec)
    batch = tuple(torch.cat(tensors) for tensors in zip(*singles, strict=True))
    specs = specs_of(batch)
    data = [stream.data for stream in encode(codec, batch)]
    single_data = [encode(codec, cut)[0].data for cut in singles]
    if 2 * sum(a != b for a, b in zip(data, single_data, strict=True)) > len(data):
        raise MethodError("an image's bytes depend on the others of its batch: code every image by itself")
    decoded = decode(codec, data, specs)
    for index in reversed(range(len(data))):
        for x, y in zip(decode(decoder, data[index : index + 1], specs), decoded, strict=True):
            if not _close(x[0], y[index]):
                raise MethodError(
                    "what an image decodes to depends on more than its bytes: decode must be given all by them"
                )


def _copied(codec: Codec) -> Codec:
    """Copy a codec. Attributes that cannot be copied, such as a library's objects, are shared, as the log says."""
    with suppress(Exception):
        return copy.deepcopy(codec)
    result = copy.copy(codec)
    for name, value in vars(result).items():
        try:
            vars(result)[name] = copy.deepcopy(value)
        except Exception as error:
            LOG.warning(
                "%s.%s cannot be copied (%s): decoding is checked with the object that encoded",
                *(type(codec).__name__, name, format_error(error)),
            )
    return result


def _close(x: Tensor, y: Tensor) -> bool:
    x, y = x.detach().double(), y.detach().double().to(x.device)
    finite = y[torch.isfinite(y)].abs()
    scale = float(finite.max()) if len(finite) else 0.0
    return torch.allclose(x, y, rtol=0.0, atol=_TOLERANCE * scale, equal_nan=True)

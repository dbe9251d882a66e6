"""A few images of every cell are coded alone and in company: what a codec makes of one must not depend on the others.

Nor may decoding need what is not in the bytes: a copy of the codec decodes that has seen nothing of the images.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from splitbench.bench.backbones.split_model import decode, encode
from splitbench.methods.base import Codec, Cut, MethodError, Specs

IMAGES = 4
_CLOSE = 1e-3
"""Of the largest value. An encoder or decoder that is a network rounds otherwise in batches of other sizes."""


def check(codec: Codec, cuts: Sequence[Cut], specs_of: Callable[[Cut], Specs]) -> None:
    """Code images whose cuts, of one image each, are of one shape.

    Raises:
        MethodError: most images have other bytes in a batch than alone, or one decodes to something else alone, behind
            the others and by a codec that did not encode it.
    """
    shapes = [[x.shape for x in cut] for cut in cuts]
    alike = [cut for cut, shape in zip(cuts, shapes, strict=True) if shape == shapes[0]][:IMAGES]
    server = _copied(codec)
    together = tuple(torch.cat(parts) for parts in zip(*alike, strict=True))
    specs = specs_of(together)
    data = [stream.data for stream in encode(codec, together)]
    alone = [encode(codec, cut)[0].data for cut in alike]
    if 2 * sum(one != other for one, other in zip(data, alone, strict=True)) > len(data):
        raise MethodError("an image's bytes depend on the others of its batch: code every image by itself")
    decoded = decode(codec, data, specs)
    for index in reversed(range(len(data))):
        for x, y in zip(decode(server, data[index : index + 1], specs), decoded, strict=True):
            if not _near(x[0], y[index]):
                raise MethodError(
                    "what an image decodes to depends on more than its bytes: decode must be given all by them"
                )


def _copied(codec: Codec) -> Codec:
    try:
        return copy.deepcopy(codec)
    except Exception:  # it holds what cannot be copied: a library's own object, say
        return codec


def _near(x: Tensor, y: Tensor) -> bool:
    x, y = x.detach().double(), y.detach().double().to(x.device)
    finite = y[torch.isfinite(y)].abs()
    scale = float(finite.max()) if len(finite) else 0.0
    return torch.allclose(x, y, rtol=0.0, atol=_CLOSE * scale, equal_nan=True)

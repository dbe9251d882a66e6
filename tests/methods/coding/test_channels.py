"""Ranges of each channel's own, wherever a cut has its channels."""

import pytest
import torch

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import Context, TensorSpec

SCALES = torch.tensor([100.0, 1.0, 0.01])


@pytest.mark.parametrize("chosen", ["image", "calibrated"])
@pytest.mark.parametrize("name", ["quantize-rle", "quantize-entropy"])
@pytest.mark.parametrize("shape", [(3,), (7, 3), (5, 5, 3), (3, 4, 6)])
def test_each_channel_has_its_own_range(name, chosen, shape):
    generator = torch.Generator().manual_seed(0)
    axis = 1 if shape[0] == 3 else len(shape)
    scales = SCALES.reshape([3 if i == axis else 1 for i in range(len(shape) + 1)])
    cut = (torch.rand(4, *shape, generator=generator) * scales, torch.rand(4, generator=generator))
    specs = tuple(TensorSpec(tuple(x.shape[1:]), x.dtype) for x in cut)
    method = METHODS.get(name)
    settings = method.Settings.model_validate({"bits": 6, "granularity": "channel", "range": chosen})
    context = Context(torch.nn.Identity(), torch.nn.Identity(), specs, lambda: [cut])
    codec = method.deploy(settings, context).codec
    streams = codec.encode(cut)
    decoded = codec.decode([stream.data for stream in streams], specs)
    assert ((decoded[0] - cut[0]).abs() <= 0.01 * scales).all()
    assert (decoded[1] - cut[1]).abs().max() <= 0.01
    if chosen == "image":
        assert all(stream.side >= 2 * 3 + 2 for stream in streams)

"""One test for every method that is there: what the harness relies on, over all settings with named choices."""

import itertools
import random
from typing import Literal, get_args, get_origin

import pytest
import torch
from torch import nn

from splitbench import methods
from splitbench.bench.preprocessing import Normalize
from splitbench.methods import BitstreamError, Context, TensorSpec

CLASSES = 12


class Smallest(nn.Module):
    """A network with everything that a method may meet: pixels, feature maps after a ReLU, scores."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.normalize = Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 6, 3, 2, 1)
        self.fc = nn.Linear(6, CLASSES)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3

    def head(self, pixels):
        return self.conv2(self.conv1(self.normalize(pixels)).relu()).relu()

    def tail(self, cut):
        return self.fc(cut.mean((2, 3)))


class Part(nn.Module):
    def __init__(self, model, call, tuple_out):
        super().__init__()
        self.model, self.call, self.tuple_out = model, call, tuple_out

    def forward(self, *x):
        out = self.call(*x)
        return (out,) if self.tuple_out and not isinstance(out, tuple) else out


def place(at):
    """Head, tail and cut of four pictures at ``input``, ``middle`` or ``output``; two tensors cross in the middle."""
    model = Smallest().eval()
    whole = lambda x: model.tail(model.head(x))  # noqa: E731
    same = lambda x: x  # noqa: E731
    both = lambda x: (model.head(x), model.head(x).mean((2, 3)) - 0.1)  # noqa: E731
    join = lambda x, mean: model.tail(x) + model.fc(mean)  # noqa: E731
    head, tail = {"input": (same, whole), "middle": (both, join), "output": (whole, same)}[at]
    smooth = torch.randint(0, 256, (4, 3, 6, 7), generator=torch.Generator().manual_seed(1)).float()
    pixels = nn.functional.interpolate(smooth, (37, 45), mode="bilinear").to(torch.uint8)
    with torch.no_grad():
        front, back = Part(model, head, True), Part(model, tail, False)
        return front, back, front(pixels)


def cases():
    for name in methods.names():
        method = methods.get(name)
        choices = {
            key: get_args(field.annotation)
            for key, field in method.Settings.model_fields.items()
            if get_origin(field.annotation) is Literal and key != method.knob
        }
        for values in itertools.product(*choices.values()):
            chosen = dict(zip(choices, values, strict=True))
            rates = [r for r in method.rates if _valid(method, chosen | {method.knob: r})]
            if rates:
                label = " ".join([name, *map(str, values)])
                yield pytest.param(name, chosen, (rates[0], rates[-1]), id=label)


def _valid(method, values):
    try:
        method.Settings.model_validate(values)
    except ValueError:
        return False
    return True


def deployed(name, chosen, rate):
    method = methods.get(name)
    head, tail, cut = place(method.only_at or "middle")
    specs = tuple(TensorSpec(tuple(x.shape[1:]), x.dtype, "role") for x in cut)
    settings = method.Settings.model_validate(chosen | {method.knob: rate})
    context = Context(head, tail, specs, lambda: [tuple(x.flip(-1) for x in cut)])
    return method.deploy(settings, context), cut, specs


@pytest.mark.parametrize(("name", "chosen", "rates"), cases())
def test_conforms(name, chosen, rates):
    for rate in rates:
        deployment, cut, specs = deployed(name, chosen, rate)
        codec = deployment.codec
        before = [x.clone() for x in cut]
        streams = codec.encode(cut)
        assert all(torch.equal(x, y) for x, y in zip(cut, before, strict=True)), "encode changes the cut"

        assert len(streams) == len(cut[0])
        for stream in streams:
            assert isinstance(stream.data, bytes)
            assert stream.payload + stream.side + stream.framing == len(stream.data)
            assert min(stream.payload, stream.side, stream.framing) >= 0

        data = [stream.data for stream in streams]
        decoded = codec.decode(data, specs)
        assert [(tuple(x.shape[1:]), x.dtype) for x in decoded] == [(spec.shape, spec.dtype) for spec in specs]
        assert not torch.isnan(deployment.tail(*decoded)).any()

        # An image's bytes do not depend on the others of its batch, and decoding needs nothing but bytes and tables.
        other = deployed(name, chosen, rate)[0].codec
        for index in range(len(data)):
            alone = tuple(x[index : index + 1] for x in cut)
            assert other.encode(alone)[0].data == data[index]
            for x, y in zip(other.decode(data[index : index + 1], specs), decoded, strict=True):
                assert torch.equal(x[0], y[index])

        nothing = tuple(x[:0] for x in cut)
        assert codec.encode(nothing) == []
        assert [len(x) for x in codec.decode([], specs)] == [0] * len(specs)


@pytest.mark.parametrize(("name", "chosen", "rates"), cases())
def test_refuses_or_survives_damaged_bytes(name, chosen, rates):
    deployment, cut, specs = deployed(name, chosen, rates[-1])
    (whole,) = deployment.codec.encode(tuple(x[:1] for x in cut))
    rng = random.Random(0)
    size = len(whole.data)
    garbage = [b"", b"\0", b"\xff" * size, rng.randbytes(size), whole.data[: size // 2], whole.data + b"\0"]
    for _ in range(100):
        flipped = bytearray(whole.data)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        garbage.append(bytes(flipped))
    for data in garbage:
        try:
            decoded = deployment.codec.decode([data], specs)
        except BitstreamError:
            continue
        assert [tuple(x.shape) for x in decoded] == [(1, *spec.shape) for spec in specs]


@pytest.mark.parametrize("name", methods.names())
def test_says_what_it_is(name):
    method = methods.get(name)
    assert method.summary and "\n" not in method.summary
    assert method.version >= 1
    assert method.knob in method.Settings.model_fields
    assert method.only_at in (None, "input", "output")
    for rate in method.rates:
        settings = method.Settings.model_validate({method.knob: rate})
        assert method.needs(settings) <= {"calibration", "train"}

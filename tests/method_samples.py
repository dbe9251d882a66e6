"""Every method's rate points on a network of a few layers: for the tests that run over all registered methods."""

import itertools
import math
from dataclasses import replace
from typing import Literal, get_args, get_origin

import pytest
import torch
from torch import nn

from splitbench import methods
from splitbench.bench.preprocessing import Normalize
from splitbench.methods import Context, Learned, TensorSpec

CLASSES = 12
MANY = 24


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


def found_boxes(pixels):
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(4, 7, 2, generator=generator) * 300
    boxes = torch.cat([corners, corners + torch.rand(4, 7, 2, generator=generator) * 200], 2)
    labels = torch.randint(1, 91, (4, 7), generator=generator)
    scores = torch.rand(4, 7, generator=generator)
    scores[1], scores[2, 3:] = -1.0, -1.0
    return boxes[: len(pixels)], labels[: len(pixels)], scores[: len(pixels)]


def place(at):
    """Head, tail and cut of four pictures at ``input``, ``middle`` or ``output``; two tensors cross in the middle.

    At ``boxes``, a detector's output crosses: room for seven boxes, of which some are used.
    """
    model = Smallest().eval()
    whole = lambda x: model.tail(model.head(x))  # noqa: E731
    same = lambda x: x  # noqa: E731
    both = lambda x: (model.head(x), model.head(x).mean((2, 3)) - 0.1)  # noqa: E731
    join = lambda x, mean: model.tail(x) + model.fc(mean)  # noqa: E731
    sums = lambda *found: sum(x.flatten(1).sum(1) for x in found)  # noqa: E731
    ends = {"input": (same, whole), "middle": (both, join), "output": (whole, same), "boxes": (found_boxes, sums)}
    head, tail = ends[at]
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
        for chosen in _combinations(choices):
            rates = [r for r in method.rates if _valid(method, chosen | {method.knob: r})]
            if rates:
                label = " ".join([name, *map(str, chosen.values())])
                yield pytest.param(name, chosen, (rates[0], rates[-1]), id=label)


def _combinations(choices):
    """All combinations; where those are many, the first of each with every other choice in turn."""
    if math.prod(map(len, choices.values())) <= MANY:
        for values in itertools.product(*choices.values()):
            yield dict(zip(choices, values, strict=True))
        return
    first = {name: values[0] for name, values in choices.items()}
    yield first
    for name, values in choices.items():
        for value in values[1:]:
            yield first | {name: value}


def _valid(method, values):
    try:
        method.Settings.model_validate(values)
    except ValueError:
        return False
    return True


def deployed(name, chosen, rate, device="cpu"):
    """The rate point, cuts to try it on, and their specs; what a network gives is on ``device``."""
    method = methods.get(name)
    head, tail, cut = place("boxes" if method.tasks == ("detection",) else method.only_at or "middle")
    head, tail, cut = head.to(device), tail.to(device), tuple(x.to(device) for x in cut)
    specs = tuple(TensorSpec(tuple(x.shape[1:]), x.dtype, "role") for x in cut)
    settings = method.Settings.model_validate(chosen | {method.knob: rate})
    context = Context(head, tail, specs, lambda: [tuple(x.flip(-1) for x in cut)])
    if "train" in method.needs(settings):
        context = replace(context, learned=lambda: learned(method, settings, context, cut))
    return method.deploy(settings, context), cut, specs


def learned(method, settings, context, cut):
    """What a few steps of training leave: enough for statistics and tables that are no longer those of the start."""
    learning = method.learn(settings, context)
    unit = learning.unit.to(cut[0].device).train()
    unit.begin(cut)
    optimizer = torch.optim.Adam([p for p in unit.parameters() if p.requires_grad], 1e-2)
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(5):
            decoded, bits = unit(*cut)
            loss = bits.mean() / 1000 + sum(nn.functional.mse_loss(x, y) for x, y in zip(decoded, cut, strict=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    unit.finish([cut])
    return Learned(context.head, unit.requires_grad_(False), context.tail)

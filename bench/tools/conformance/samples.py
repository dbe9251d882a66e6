"""A method's rate points on a network of a few layers that has everything a method may meet."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import torch
from torch import Tensor, nn

from splitbench.bench.backbones.preprocessing import Normalize
from splitbench.bench.evaluation import returned
from splitbench.methods.base import (
    Context,
    Cut,
    Deployment,
    Learned,
    LearningMethod,
    Method,
    MethodError,
    Settings,
    Specs,
    TensorSpec,
)

CLASSES = 12
IMAGES = 4
_MANY = 24
_STEPS = 5


@dataclass(frozen=True)
class Case:
    """One combination of a method's named choices, and the knob's first and last value."""

    chosen: Mapping[str, Any]
    rates: tuple[Any, Any]

    def __str__(self) -> str:
        return " ".join(map(str, self.chosen.values()))


@dataclass(frozen=True)
class Sample:
    """A rate point: its deployment, a cut of four images, and the cut's specs."""

    deployment: Deployment
    cut: Cut
    specs: Specs


def cases(method: Method) -> list[Case]:
    """Return the combinations of a method's named choices that its settings accept."""
    choices: dict[str, Sequence[Any]] = {
        key: names
        for key, field in method.Settings.model_fields.items()
        if key != method.knob and (names := _names(field.annotation))
    }
    accepted = []
    for chosen in _combinations(choices):
        rates = [rate for rate in method.rates if _valid(method, chosen | {method.knob: rate})]
        if rates:
            accepted.append(Case(chosen, (rates[0], rates[-1])))
    return accepted


def deployed(
    method: Method, chosen: Mapping[str, Any], rate: Any, device: torch.device | str = "cpu", *, at: str | None = None
) -> Sample:
    """Deploy a rate point at a place of the network (see :func:`places`; by default the first that the method accepts).

    Cuts are on ``device``; learning methods are trained for a few steps. Raises what the method raises.
    """
    if at is None:
        *others, at = places(method)
        for other in others:
            with suppress(MethodError):
                return deployed(method, chosen, rate, device, at=other)
    head, tail, pixels = _place(at)
    head, tail, pixels = head.to(device), tail.to(device), pixels.to(device)
    with torch.no_grad():
        cut: Cut = tuple(x.to(device) for x in head(pixels))
    settings = method.Settings.model_validate({**chosen, method.knob: rate})
    context = Context(
        head=head,
        tail=tail,
        specs=_specs(cut),
        calibration=lambda: [tuple(x.flip(-1) for x in cut)],
        calibration_by=lambda other: [other(pixels.flip(-1))],
        image=tuple(pixels.shape[1:]),
    )
    if "train" in method.needs(settings):
        context = replace(context, learned=lambda: _learned(method, settings, context, pixels))
    with torch.no_grad():
        deployment = returned.deployment(method, method.deploy(settings, context))
        if deployment.head is not head and "train" in method.needs(settings):  # a new one, which sends something else
            cut = deployment.head(pixels)
    return Sample(deployment, cut, _specs(cut))


def _specs(cut: Cut) -> Specs:
    return tuple(TensorSpec(tuple(x.shape[1:]), x.dtype, "role") for x in cut)


def places(method: Method) -> tuple[str, ...]:
    """Return the places to try a method at, until one is accepted; at ``middle`` a feature map and a vector cross."""
    if method.tasks == ("detection",) and method.only_at == "output":
        return ("boxes",)
    return (method.only_at,) if method.only_at else ("middle", "map")


class _Smallest(nn.Module):
    """Normalization, two convolutions and a linear layer, with random weights that are always the same."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.normalize = Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 6, 3, 2, 1)
        self.fc = nn.Linear(6, CLASSES)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3

    def head(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.conv2(self.conv1(self.normalize(pixels)).relu()).relu()
        return features

    def tail(self, features: Tensor) -> Tensor:
        scores: Tensor = self.fc(features.mean((2, 3)))
        return scores


class _Part(nn.Module):
    """A function of the network as a module; a head's output is a tuple."""

    def __init__(self, model: nn.Module, call: Callable[..., Any], tuple_out: bool) -> None:
        super().__init__()
        self.model, self.call, self.tuple_out = model, call, tuple_out

    def forward(self, *x: Tensor) -> Any:
        out = self.call(*x)
        return (out,) if self.tuple_out and not isinstance(out, tuple) else out


def _random_boxes(pixels: Tensor) -> Cut:
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(IMAGES, 7, 2, generator=generator) * 300
    boxes = torch.cat([corners, corners + torch.rand(IMAGES, 7, 2, generator=generator) * 200], 2)
    labels = torch.randint(1, 91, (IMAGES, 7), generator=generator)
    scores = torch.rand(IMAGES, 7, generator=generator)
    scores[1], scores[2, 3:] = -1.0, -1.0
    return boxes[: len(pixels)], labels[: len(pixels)], scores[: len(pixels)]


class _NewHead(nn.Module):
    """A new encoder behind the network's normalization."""

    def __init__(self, normalize: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.normalize, self.encoder = normalize, encoder

    def forward(self, pixels: Tensor) -> Cut:
        return (self.encoder(self.normalize(pixels)),)


def _place(at: str) -> tuple["_Part", "_Part", Tensor]:
    """Return head and tail at ``input``, ``middle``, ``map``, ``output`` or ``boxes``, and four images.

    Two tensors cross in the middle, and only the first of them at ``map``. At ``boxes``, a detector's output crosses:
    up to seven boxes per image, padded.
    """
    model = _Smallest().eval()
    ends: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        "input": (lambda x: x, lambda x: model.tail(model.head(x))),
        "middle": (
            lambda x: (model.head(x), model.head(x).mean((2, 3)) - 0.1),
            lambda x, mean: model.tail(x) + model.fc(mean),
        ),
        "map": (model.head, model.tail),
        "output": (lambda x: model.tail(model.head(x)), lambda x: x),
        "boxes": (_random_boxes, lambda *boxes: torch.stack([x.flatten(1).sum(1) for x in boxes]).sum(0)),
    }
    head, tail = ends[at]
    smooth = torch.randint(0, 256, (IMAGES, 3, 6, 7), generator=torch.Generator().manual_seed(1)).float()
    pixels = nn.functional.interpolate(smooth, (37, 45), mode="bilinear").to(torch.uint8)
    return _Part(model, head, True), _Part(model, tail, False), pixels


def _names(annotation: Any) -> tuple[Any, ...]:
    """Return the choices that a setting names, whatever other values it takes."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return sum(map(_names, get_args(annotation)), ()) if get_origin(annotation) in (Union, UnionType) else ()


def _combinations(choices: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield all combinations; where there are too many, only those that differ from the first in one choice."""
    if math.prod(map(len, choices.values())) <= _MANY:
        for values in itertools.product(*choices.values()):
            yield dict(zip(choices, values, strict=True))
        return
    first = {name: options[0] for name, options in choices.items()}
    yield first
    for name, options in choices.items():
        for option in options[1:]:
            yield first | {name: option}


def _valid(method: Method, values: Mapping[str, Any]) -> bool:
    try:
        method.Settings.model_validate(values)
    except ValueError:
        return False
    return True


def _learned(method: Method, settings: Settings, context: Context, pixels: Tensor) -> Learned:
    """Train for a few steps: enough to move statistics and tables away from their initial values."""
    if not isinstance(method, LearningMethod):
        raise MethodError("it needs training images, but has no `learn`")
    learning = method.learn(settings.for_training(), context)
    unit, new = learning.unit.to(pixels.device).train(), learning.new_head
    cut: Cut = context.head(pixels)
    head, tail = context.head, context.tail
    trained = nn.ModuleList([unit])
    if new is not None:
        trained.append(new.to(pixels.device).train())
        new.begin(cut)
        normalize: nn.Module = context.head.model.normalize  # type: ignore[union-attr,assignment]
        head, tail = _NewHead(normalize, new.encoder), nn.Sequential(new.decoder, context.tail)
    unit.begin(head(pixels))
    optimizer = torch.optim.Adam([p for p in trained.parameters() if p.requires_grad], 1e-2)
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(_STEPS):
            decoded, bits = unit(*(cut if new is None else head(pixels)))
            decoded = decoded if new is None else (new.decoder(*decoded),)
            errors = [nn.functional.mse_loss(x, y) for x, y in zip(decoded, cut, strict=True)]
            loss = bits.mean() / 1000 + torch.stack(errors).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    trained.eval().requires_grad_(False)
    with torch.no_grad():
        unit.finish([head(pixels)])
    return Learned(head, unit, tail)

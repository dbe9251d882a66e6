"""Which models can be cut, how, and why not."""

import fnmatch
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from splitbench.bench.errors import UserError, nearest
from splitbench.bench.split import Halves, default_example, same, split
from splitbench.bench.split.detection import default_images, is_detector, small_images
from splitbench.bench.split.facts import evaluating
from splitbench.bench.split.points import SplitPoint, auto_points, split_points


@dataclass(frozen=True, slots=True)
class Support:
    """One row of the support table.

    ``how``: how the model is cut (``fx``, ``module``), empty where it cannot be; ``points``: split points listed;
    ``exact``: the halves give the model's output bit for bit, at batch sizes 1, 2 and 4, at every split point tried;
    ``sizes``: the halves of the default input size also run at another one (``yes``), though the model itself does
    (``no``), or it does not (``model has one size``); ``reason``: in a sentence, why something is not so.
    """

    model: str
    how: str
    points: int
    exact: bool
    sizes: str
    reason: str


def support_table(names: Iterable[str], build: Callable[[str], nn.Module] | None = None) -> Iterator[Support]:
    """Cut each model at some of its stage boundaries and inside a block, and say what came of it.

    Args:
        names: ``torchvision/NAME`` or ``timm/NAME``.
        build: Makes a model of a name. Default: random weights.

    Yields:
        One row per name, as soon as it is known. Never raises for a model that cannot be cut.
    """
    for name in names:
        try:
            yield support(name, (build or random_model)(name))
        except UserError as error:
            yield Support(name, "", 0, False, "", str(error))


def matching(patterns: Iterable[str]) -> list[str]:
    """Names of models by shell patterns (``torchvision/*``, ``timm/convnext*``); what is no pattern stays as it is."""
    known = [f"torchvision/{name}" for name in torchvision.models.list_models()]
    known += [f"timm/{name}" for name in timm.list_models()]
    names: list[str] = []
    for pattern in patterns:
        names += fnmatch.filter(known, pattern) or [pattern]
    return list(dict.fromkeys(names))


def random_model(name: str) -> nn.Module:
    """A model of that name with random weights, always the same, in eval mode.

    Raises:
        UserError: Unknown name.
    """
    source, _, short = name.partition("/")
    known = torchvision.models.list_models() if source == "torchvision" else timm.list_models()
    if short not in known:
        raise UserError(f"unknown model {name!r}{nearest(short, known)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if source == "timm":
            return timm.create_model(short, pretrained=False).eval()  # type: ignore[no-any-return]
        more: dict[str, Any] = {"init_weights": False} if short in {"googlenet", "inception_v3"} else {}
        if short in torchvision.models.list_models(module=torchvision.models.detection):
            more = {"weights_backbone": None}
        return torchvision.models.get_model(short, weights=None, **more).eval()  # type: ignore[no-any-return]


def support(name: str, model: nn.Module) -> Support:
    """The row of one model."""
    example: Any = default_images(model) if is_detector(model) else default_example(model)
    with small_images(model) if is_detector(model) else nullcontext():
        points = split_points(model, example)
    exact, sizes, how, reason = True, "", "", ""
    for at in places_to_try(points):
        try:
            built = split(model, at, example)  # checks the example's own batch size, 2
        except UserError as error:
            exact, reason = False, str(error)
            continue
        how = str(built.head.how)
        if not is_detector(model):
            with torch.no_grad(), evaluating(model):
                exact = exact and all(_equal(model, built, x) for x in (example[:1], torch.cat([example, example])))
                sizes = sizes if sizes == "no" else _other_size(model, built, example)
    reason = reason or ("" if points else "no split point") or ("" if exact else "other at batch size 1 or 4")
    return Support(name, how, len(points), exact and bool(points), sizes, reason)


def _equal(model: nn.Module, built: Halves, batch: Tensor) -> bool:
    return same(built.tail(*built.head(batch)), model(batch))


def places_to_try(points: Sequence[SplitPoint]) -> list[str]:
    """Two split points: a stage boundary in the middle of a model, and a point early in it."""
    stages = [p.name for p in auto_points(points)]
    return list(dict.fromkeys([*(p.name for p in points[len(points) // 4 :][:1]), *stages[len(stages) // 2 :][:1]]))


def _other_size(model: nn.Module, built: Halves, example: Tensor) -> str:
    larger = nn.functional.interpolate(example[:1], size=[side + 32 for side in example.shape[-2:]])
    try:
        expected = model(larger)
    except Exception:  # a model may stumble over another size in any way
        return "model has one size"
    try:
        return "yes" if same(built.tail(*built.head(larger)), expected) else "no"
    except Exception:
        return "no"


def slowdown(model: nn.Module, at: str, example: Any, runs: int = 15) -> float:
    """How much longer head and tail take than the model: the median ratio of paired runs, turn by turn.

    Args:
        model: The model, in eval mode.
        at: Where to split it.
        example: The input to time with.
        runs: Pairs of runs.

    Returns:
        A ratio: 1 is as fast, 1.1 takes a tenth longer.

    Raises:
        UserError: The model cannot be cut there.
    """
    head, tail = split(model, at, example)
    ratios = []
    with torch.no_grad():
        for _ in range(runs):
            start = time.perf_counter()
            model(example)
            middle = time.perf_counter()
            tail(*head(example))
            ratios.append((time.perf_counter() - middle) / (middle - start))
    return median(ratios)

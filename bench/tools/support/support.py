"""Test which models can be split, how, and why not."""

import fnmatch
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import timm
import torch
import torchvision
from timm.layers import get_notrace_modules
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from splitbench.bench.split import SplitModel, default_example, same, split
from splitbench.bench.split.detectors import default_images, is_torchvisions, small_images
from splitbench.bench.split.points import SplitPoint, auto_points, split_points
from splitbench.bench.split.tracing.facts import evaluating
from splitbench.bench.utils.errors import UserError, nearest

SIDE, LARGER = 128, 160
"""Sides of the images that a model is tried on where it takes images of any size."""

_BOXES = 10  # detections of an untrained detector
_MODEL_DOES_NOT = "the model does not"


@dataclass(frozen=True, slots=True)
class Support:
    """One row of the support table.

    Attributes:
        model: Its name.
        family: The library's module that defines it.
        how: How it is split, ``fx`` or ``module``; empty where it cannot be.
        points: Number of its split points.
        tried: The split points that were tried: a stage boundary, and a layer inside a block.
        tensors: Number of tensors in each cut.
        exact: Whether head and tail reproduce the model's output bit for bit at all of them, for 1 image and for 4.
        sizes: Sides of the images at which they do; two where the model accepts two (a model whose control flow
            differs at the second is split again).
        trains: Whether they do so in train mode, too.
        seconds: CPU time of a split, its check included.
        gmacs: MACs of the whole model in 10^9, for an image of its usual size; empty for detectors, which take any.
        mparameters: Parameters of the whole model in 10^6.
        reason: Why any of this fails.
    """

    model: str
    family: str = ""
    how: str = ""
    points: int = 0
    tried: str = ""
    tensors: str = ""
    exact: str = "no"
    sizes: str = ""
    trains: str = ""
    seconds: str = ""
    gmacs: str = ""
    mparameters: str = ""
    reason: str = ""


def support_table(names: Iterable[str], build: Callable[[str], nn.Module] | None = None) -> Iterator[Support]:
    """Split each model at a stage boundary and inside a block.

    Args:
        names: ``torchvision/NAME`` or ``timm/NAME``.
        build: Builds the model of a name. Default: with random weights.

    Yields:
        One row per name, as soon as it is measured. Never raises for a model that cannot be split.
    """
    for name in names:
        try:
            yield support(name, (build or random_model)(name))
        except Exception as error:  # a model's code can raise anything, which must not end the table
            yield Support(name, reason=_format_reason(error))
        gc.collect()  # a trace refers to its model in cycles


def matching(patterns: Iterable[str]) -> list[str]:
    """Expand shell patterns (``torchvision/*``, ``timm/convnext*``) to names of models; other names stay."""
    known = [f"torchvision/{name}" for name in torchvision.models.list_models()]
    known += [f"timm/{name}" for name in timm.list_models()]
    names: list[str] = []
    for pattern in patterns:
        names += fnmatch.filter(known, pattern) or [pattern]
    return list(dict.fromkeys(names))


def random_model(name: str) -> nn.Module:
    """Build a model with random weights, always the same, in eval mode.

    Raises:
        UserError: Unknown name.
    """
    source, _, short = name.partition("/")
    known = torchvision.models.list_models() if source == "torchvision" else timm.list_models()
    if short not in known:
        lists = "`timm.list_models()` and `torchvision.models.list_models()` list the names"
        raise UserError(f"unknown model {name!r}{nearest(short, known) or f': {lists}'}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if source == "timm":
            return timm.create_model(short, pretrained=False).eval()  # type: ignore[no-any-return]
        more: dict[str, Any] = {"init_weights": False} if short in {"googlenet", "inception_v3"} else {}
        if short in torchvision.models.list_models(module=torchvision.models.detection):
            more = {"weights_backbone": None}
        return torchvision.models.get_model(short, weights=None, **more).eval()  # type: ignore[no-any-return]


def family(name: str) -> str:
    """Return the module of torchvision or timm that defines a model (``resnet``, ``vision_transformer``), or ``""``."""
    source, _, short = name.partition("/")
    if source == "timm" and timm.is_model(short):
        module = str(timm.model_entrypoint(short).__module__)
    elif source == "torchvision" and short in torchvision.models.list_models():
        module = torchvision.models.get_model_builder(short).__module__
    else:
        module = ""
    return module.rpartition(".")[2]


def support(name: str, model: nn.Module) -> Support:
    """Return the row of one model. Raises UserError where it cannot be traced."""
    with evaluating(model), torch.no_grad(), small_images(model) if is_torchvisions(model) else nullcontext():
        points = split_points(model, default_images(model) if is_torchvisions(model) else default_example(model))
        inputs = _inputs(model)
        expected = [model(x) for x in inputs]
        if is_torchvisions(model) and not all(len(detections["boxes"]) for detections in expected[0]):
            raise UserError("it detects nothing in noise, so its head and tail cannot be checked")
        tried, built, seconds, reasons = points_to_try(model, points), list[SplitModel](), 0.0, list[str]()
        for at in tried:
            started = time.process_time()
            try:
                parts = split(model, at, inputs[0])
            except UserError as error:
                reasons.append(_format_reason(error))
                continue
            seconds = max(seconds, time.process_time() - started)
            built.append(parts)
        sizes = [x.shape[-1] for x in inputs] if not is_torchvisions(model) else []
        for x, output in zip(inputs[1:], expected[1:], strict=True):  # on the first one `split` has compared them
            reasons += filter(None, (_difference(model, parts, x, output) for parts in built))
        trains = _trains(model, built[0], inputs[1][:2]) if built else ""
        if trains == _MODEL_DOES_NOT and not is_torchvisions(model):  # an auxiliary classifier may want larger maps
            trains = _trains(model, built[0], default_example(model))
    reasons += [] if points else ["no split point"]
    total = points[0] if points else None
    return Support(
        model=name,
        family=family(name),
        how=built[0].how if built else "",
        points=len(points),
        tried=" ".join(tried),
        tensors=" ".join(str(len(parts.specs)) for parts in built),
        exact="no" if reasons or not built else "yes",
        sizes=" ".join(map(str, dict.fromkeys(sizes))),
        trains=trains,
        seconds=f"{seconds:.1f}" if built else "",
        gmacs=f"{(total.macs_head + total.macs_tail) / 1e9:.3f}" if total and not is_torchvisions(model) else "",
        mparameters=f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f}",
        reason="; ".join(reasons),
    )


def points_to_try(model: nn.Module, points: Sequence[SplitPoint]) -> list[str]:
    """Return two split points: the middle stage boundary, and a layer in the middle of a block near it.

    A model without stage boundaries or blocks is tried at split points instead.
    """
    stages = auto_points(points) or points
    middle = points.index(stages[len(stages) // 2]) if stages else 0
    whole = {name for name, module in model.named_modules() if type(module) in get_notrace_modules()}
    for block in [*points[middle:], *reversed(points[:middle])]:
        layers = [
            name
            for name, module in model.get_submodule(block.name).named_modules(prefix=block.name)
            if not any(True for _ in module.children())
            and any(True for _ in module.parameters())
            and not any(name.startswith(f"{outer}.") for outer in whole)
        ]
        if block.block and len(layers) > 1:
            return [points[middle].name, layers[len(layers) // 2]]
    return list(dict.fromkeys(p.name for p in (*points[middle:][:1], *points[middle // 2 :][:1])))


def _inputs(model: nn.Module) -> list[Any]:
    """Return inputs of 1 and of 4 images, and of 1 larger image where the model accepts it."""
    if is_torchvisions(model):
        for part in (model, getattr(model, "roi_heads", model)):
            if hasattr(part, "score_thresh"):  # no score of an untrained detector reaches the usual threshold
                part.score_thresh, part.detections_per_img = 0.0, _BOXES
        images = default_images(model)
        return [images[:1], [*images, *reversed(images)]]
    usual = default_example(model)
    example = nn.functional.interpolate(usual, size=(SIDE, SIDE))
    if not _runs(model, example[:1]):
        example = usual
    inputs = [example[:1], torch.cat([example, example.flip(0)])]
    larger = nn.functional.interpolate(example[1:], size=[side + LARGER - SIDE for side in example.shape[-2:]])
    return [*inputs, larger] if _runs(model, larger) else inputs


def _runs(model: nn.Module, example: Tensor) -> bool:
    try:
        model(example)
    except Exception:  # a model may fail at another size in any way
        return False
    return True


def _difference(model: nn.Module, parts: SplitModel, x: Any, expected: Any) -> str:
    """Return what is wrong with the output of head and tail, or an empty text."""
    try:
        good = same(parts.tail(*parts.head(x)), expected)
        return "" if good else f"{parts.at}: head and tail give another output than the model ({_kind(x)})"
    except UserError:  # the control flow differs at this size
        pass
    try:
        split(model, parts.at, x)  # which compares them
    except UserError as error:
        return _format_reason(error)
    return ""


def _kind(x: Any) -> str:
    return f"{len(x)} images" if isinstance(x, list) else f"{len(x)} x {x.shape[-1]}"


def _trains(model: nn.Module, parts: SplitModel, example: Any) -> str:
    """Return whether model and split agree in train mode; dropout is off, as both would draw random numbers."""
    for module in (model, *parts.sides):
        module.train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    more: dict[str, Any] = {}
    if is_torchvisions(model):
        box = {"boxes": torch.tensor([[5.0, 5.0, 60.0, 60.0]]), "labels": torch.tensor([1])}
        more = {"targets": [dict(box) for _ in example]}
    try:
        torch.manual_seed(0)
        whole = model(example, **more)
    except Exception:  # whatever a model's own code raises
        return "not with boxes alone" if more else _MODEL_DOES_NOT
    try:
        torch.manual_seed(0)
        cut = parts.tail(*parts.head(example), **more)
    except Exception:
        return "no"
    pairs = zip(tree_leaves(whole), tree_leaves(cut), strict=False)  # auxiliary classifiers' outputs come last
    return "yes" if all(torch.allclose(a, b) for a, b in pairs) else "no"


def _format_reason(error: Exception) -> str:
    line = str(error).strip().split("\n")[0]
    return line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"

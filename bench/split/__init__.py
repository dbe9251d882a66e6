"""Cuts a model in two at a named split point: ``tail(*head(x))`` equals ``model(x)`` bit for bit."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from splitbench.bench.split.cut import cut_module, whole
from splitbench.bench.split.detectors import default_images, is_torchvisions, small_images, split_detector
from splitbench.bench.split.graphs import Sides
from splitbench.bench.split.split_model import SplitModel, specs_of
from splitbench.bench.split.tracing.facts import evaluating
from splitbench.bench.utils.errors import UserError

__all__ = ["SplitModel", "default_example", "same", "specs_of", "split"]


def split(model: nn.Module, at: str, example: Any = None) -> SplitModel:
    """Cut a model in two, and check on an example that nothing changed by it.

    Both sides share the model's modules and parameters: training, moving or casting one changes the model, too.
    They follow ``train()`` and ``eval()`` as the model does (batch norm, dropout, stochastic depth), but their graph is
    that of the eval mode: auxiliary classifiers that only run in training are in neither.

    Args:
        model: A classifier or any other module of one tensor, or one of torchvision's detectors.
        at: A module path (``layer2``, ``features.6``), a node of the traced graph (``add_3``, ``layer2.0.add_3``),
            ``input`` (nothing runs in the head) or ``output`` (all of it does). A module that is called more than once
            is in the head with all its calls. Detectors are cut inside ``backbone``, or at ``transform`` only.
        example: An input batch (B, ...) to trace and check with; for detectors a list of images (3, H, W). Default:
            2 random images of the model's input size, or of 3 x 224 x 224.

    Returns:
        Head and tail in the model's train or eval mode, and the specs of the example's cut.

    Raises:
        UserError: No such split point, or the model cannot be cut there; the message says why.
    """
    if not at:
        raise UserError("the split point has no name: give a module's path, 'input' or 'output'")
    if is_torchvisions(model):
        images = default_images(model) if example is None else example
        with small_images(model):
            return _checked(model, at, split_detector(model, at, images), images)
    example = default_example(model) if example is None else example
    if at in {"input", "output"}:
        sides = whole(model, at)
        with torch.no_grad(), evaluating(model):
            values = sides.head(example)
        return SplitModel.from_example(sides.head, sides.tail, values, at=at, roles=sides.roles)
    return _checked(model, at, cut_module(model, at, example), example)


def default_example(model: nn.Module) -> Tensor:
    """Return two random images of the size that the model was made for, on its device and in its precision."""
    cfg = getattr(model, "default_cfg", None) or {}
    channels, height, width = cfg.get("input_size", (3, 224, 224))
    size = getattr(model, "image_size", None)
    if isinstance(size, int):
        height = width = size
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, channels, height, width, generator=generator).to(like)


def _checked(model: nn.Module, at: str, sides: Sides, example: Any) -> SplitModel:
    """Run both sides and the model in eval mode, and compare.

    Raises:
        UserError: The outputs differ by as little as a bit, the tail changed the tensors that it was given, or complex
            numbers cross.
    """
    name = f"{type(model).__name__} cannot be cut at {at!r}"
    with torch.no_grad(), evaluating(model), evaluating(sides.head), evaluating(sides.tail):
        expected = model(_copied(example))
        try:
            values = sides.head(_copied(example))
            versions = [t._version for t in values if isinstance(t, Tensor)]
            result = sides.tail(*values)
        except Exception as error:  # whatever a model's operations raise on what they do not expect
            raise UserError(f"{name}: {error}") from error
    if versions != [t._version for t in values if isinstance(t, Tensor)]:
        raise UserError(f"{name}: its tail overwrites what it is given")
    if not same(result, expected):
        raise UserError(f"{name}: head and tail give another output than the model")
    if any(isinstance(x, Tensor) and x.is_complex() for x in values):
        raise UserError(f"{name}: complex numbers cross there, which no method codes: cut before or behind them")
    return SplitModel.from_example(sides.head, sides.tail, values, at=at, roles=sides.roles, how=sides.how)


def _copied(example: Any) -> Any:
    """Return a copy of the example for a model that may write into it."""
    return tree_map_only(Tensor, torch.clone, example)


def same(a: Any, b: Any) -> bool:
    """Return whether two outputs (tensors, or lists and dicts of them) are equal bit for bit; NaN equals NaN."""
    left, right = tree_leaves(a), tree_leaves(b)
    return len(left) == len(right) and all(
        _same_tensors(x, y) if isinstance(x, Tensor) and isinstance(y, Tensor) else bool(x == y)
        for x, y in zip(left, right, strict=True)
    )


def _same_tensors(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())

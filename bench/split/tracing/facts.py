"""What is known of a traced model: its graph, and of every node the shapes, storages and costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from splitbench.bench.utils.errors import UserError

BATCH = 61
"""Batch size of the fake input: a prime that is no size in any network, so that it can be recognized."""


def guard(value: object, expected: object) -> None:
    """Refuse an input that would take another way through the model than the one that was traced."""
    if value == expected:
        return
    if type(expected) is int and expected > 0 and expected % BATCH == 0:
        raise UserError(
            "this model uses the number of images as a plain number, as in len(x), int(x.shape[0]) or "
            "range(x.shape[0]): write x.shape[0] or x.size(0), and let no loop go over the batch"
        )
    raise UserError(
        f"this model takes another way for inputs of this size, or for so many images ({value} instead of {expected}): "
        "split it with an example of the size it will see, and let no way depend on the number of images"
    )


def current(tensor: Tensor) -> Tensor:
    """Return the tensor, after a write into it: distinguishes its readers from those of its old value."""
    return tensor


@dataclass(frozen=True, slots=True)
class TensorFact:
    """What is known of one tensor: its storage (equal for views of one tensor) and how it lies in it."""

    storage: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(slots=True)
class Fact:
    """What is known of one node of the graph.

    ``tensors``: every tensor in its value; ``single``: the value is a tensor, not a collection of them; ``value``: the
    value where it holds no tensor; ``data``: tensors computed from the input image; ``pure``: needs nothing of the
    input, not even its size; ``writes``: storages modified in place; ``after``: nodes that must run first though no
    value of theirs is an argument; ``macs``: of the whole batch.
    """

    scope: str = ""
    tensors: tuple[TensorFact, ...] = ()
    single: bool = False
    value: Any = None
    data: bool = False
    pure: bool = True
    circumstance: bool = False
    writes: frozenset[int] = frozenset()
    after: tuple[fx.Node, ...] = ()
    macs: int = 0


@dataclass(slots=True)
class Trace:
    """A model's graph, what is known of each node, and the nodes that each module returned.

    ``opaque`` are modules that could not be traced, or whose library forbids it: they are one node each, and nothing
    can be cut inside them.
    """

    model: nn.Module
    graph: fx.Graph
    facts: dict[fx.Node, Fact]
    outputs: dict[str, list[fx.Node]]
    opaque: frozenset[str] = frozenset()
    constants: list[str] = field(default_factory=list)
    order: dict[fx.Node, int] = field(init=False)

    def __post_init__(self) -> None:
        self.order = {node: i for i, node in enumerate(self.graph.nodes)}

    def scrub(self) -> None:
        """Take the constants that tracing had to hang on the model off again."""
        for name in self.constants:
            if hasattr(self.model, name):
                delattr(self.model, name)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode, and restore the mode of each of its modules afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Undo what ``forward`` keeps on its modules (cached tables of places): in a trace these are symbolic values."""
    kept = [
        (holder, dict(holder))
        for module in model.modules()
        for holder in (module.__dict__, *module.__dict__.values())
        if isinstance(holder, dict)
    ]
    try:
        yield
    finally:
        for holder, content in kept:
            for name in set(holder) - set(content):
                if not str(name).startswith("_tensor_constant"):
                    del holder[name]
            holder.update(content)

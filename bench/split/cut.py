"""Finds what a split point names in a model's graph, and builds the two halves."""

from typing import Any, NamedTuple

from torch import Tensor, fx, nn

from splitbench.bench.split.facts import Trace
from splitbench.bench.split.graphs import write_halves
from splitbench.bench.split.plan import Plan
from splitbench.bench.split.trace import trace
from splitbench.bench.utils.errors import UserError, nearest


class Halves(NamedTuple):
    """The two sides of a split model; both use the model's own modules and parameters, not copies.

    ``head(x)`` returns a tuple: first ``head.cut_tensors`` tensors, one for each of ``head.roles``, then the integers
    (sizes) that the tail needs to know of the input. ``tail(*head(x))`` is the model's output. ``head.at`` is the
    split point, and ``head.how`` says how it was cut: ``fx`` (a traced graph), ``module`` (a traced graph in which
    modules that refuse to be traced are kept whole), or nothing for ``input`` and ``output``.
    """

    head: nn.Module
    tail: nn.Module


def cut_module(model: nn.Module, at: str, example: Tensor, prefix: str = "") -> Halves:
    """Cut a module of one tensor.

    Args:
        model: The module.
        at: A split point of it, or "" for all of the module, however many tensors it returns.
        example: An input batch (B, ...); only its shape matters.
        prefix: The module's name in a larger model, put before the roles.

    Returns:
        The halves, not yet checked.

    Raises:
        UserError: No such split point, the module cannot be traced, or what must cross is no tensor and no integer.
    """
    if at in {"input", "output"}:
        return whole(model, at)
    traced = traced_or_error(model, example)
    try:
        plan = Plan(traced, seeds(traced, at))
        return Halves(*write_halves(plan, at, f"{prefix}." if prefix else ""))
    finally:
        traced.scrub()


class Whole(nn.Module):
    """One side of a model that is not cut: all of it, or nothing."""

    def __init__(self, model: nn.Module | None, at: str, is_head: bool) -> None:
        super().__init__()
        self.model = model
        self.at, self.how, self.cut_tensors, self.roles = at, "", 1, (at,)
        self.is_head = is_head
        if model is not None:
            self.training = model.training

    def forward(self, x: Any) -> Any:
        """``(x,)`` or ``(model(x),)`` in the head, ``x`` or ``model(x)`` in the tail."""
        result = x if self.model is None else self.model(x)
        return (result,) if self.is_head else result


def whole(model: nn.Module, at: str) -> Halves:
    """The two universal split points: ``input``, where the tail is the model, and ``output``, where the head is."""
    first = at == "output"
    return Halves(Whole(model if first else None, at, True), Whole(None if first else model, at, False))


def traced_or_error(model: nn.Module, example: Tensor) -> Trace:
    """Trace a model; a failure is told in a sentence."""
    try:
        return trace(model, example)
    except Exception as error:  # whatever a model's code raises on symbolic values
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UserError(f"{type(model).__name__} cannot be cut: tracing it failed with {reason!r}") from error


def seeds(traced: Trace, at: str) -> list[fx.Node]:
    """The nodes that a split point names: all inside the module and what it returns, or the one node.

    Raises:
        UserError: Nothing of that name runs in eval mode.
    """
    if not at:
        return list(traced.graph.output_node().all_input_nodes)
    path = at if at in traced.outputs else _other_name(traced, at)
    if path in traced.outputs:
        inside = [n for n, fact in traced.facts.items() if f"{fact.scope}.".startswith(f"{path}.")]
        return [*traced.outputs[path], *inside]
    nodes = [n for n in traced.graph.nodes if n.op != "output"]
    for node in nodes:
        scope = traced.facts[node].scope
        if at in {node.name, f"{scope}.{node.name}"} and traced.facts[node].data:
            return [node]
    names = [*filter(None, traced.outputs), "input", "output", *(n.name for n in nodes)]
    close = nearest(at, names)
    raise UserError(f"{type(traced.model).__name__} has no split point {at!r} that runs in eval mode{close}")


def _other_name(traced: Trace, at: str) -> str:
    """The name by which tracing knows a module that has several."""
    try:
        module = traced.model.get_submodule(at)
    except AttributeError:
        return at
    return next((name for name in traced.outputs if traced.model.get_submodule(name) is module), at)

"""Finds what a split point names in a model's graph, and builds the two sides."""

from typing import Any

from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from splitbench.bench.split.cut_plan import Plan
from splitbench.bench.split.graphs import Sides, write_sides
from splitbench.bench.split.tracing.facts import Trace
from splitbench.bench.split.tracing.trace import trace
from splitbench.bench.utils.errors import UserError, format_error, nearest


def cut_module(model: nn.Module, at: str, example: Tensor, prefix: str = "") -> Sides:
    """Cut a module of one tensor.

    Args:
        model: The module.
        at: A split point of it, or "" for all of the module, however many tensors it returns.
        example: An input batch (B, ...); only its shape matters.
        prefix: The module's name in a larger model, put before the roles.

    Returns:
        The two sides, not yet checked.

    Raises:
        UserError: No such split point, the module cannot be traced, or something else than tensors and integers would
            have to cross.
    """
    if at in {"input", "output"}:
        return whole(model, at)
    traced = traced_or_error(model, example)
    try:
        plan = Plan(traced, seeds(traced, at))
        return write_sides(plan, f"{prefix}." if prefix else "")
    finally:
        traced.scrub()


class _WholeTail(nn.Module):
    """The tail of a model that is not cut: all of it, or nothing."""

    def __init__(self, model: nn.Module | None) -> None:
        super().__init__()
        self.model = model
        self.training = self.training if model is None else model.training

    def forward(self, x: Any) -> Any:
        """Return ``model(x)`` or ``x``."""
        return x if self.model is None else self.model(x)


class _WholeHead(_WholeTail):
    """The head of a model that is not cut, likewise."""

    def forward(self, x: Any) -> tuple[Any]:
        """Return ``(model(x),)`` or ``(x,)``."""
        return (super().forward(x),)


def whole(model: nn.Module, at: str) -> Sides:
    """Return the sides at a universal split point: at ``input`` the tail is the model, at ``output`` the head."""
    first = at == "output"
    return Sides(_WholeHead(model if first else None), _WholeTail(None if first else model), (at,), "")


def traced_or_error(model: nn.Module, example: Tensor) -> Trace:
    """Trace a model. Raises UserError, which says what to change, where that fails."""
    try:
        return trace(model, example)
    except Exception as error:  # whatever a model's code raises on symbolic values
        raise UserError(
            f"{type(model).__name__} cannot be cut: {_reason(error)}. Leave that out, or put it into a module of its "
            "own, which is then kept whole"
        ) from error


def _reason(error: Exception) -> str:
    """Why a model cannot be traced, and the line of its code."""
    text = format_error(error)
    place = text[text.rfind(" (") :] if text.endswith(")") else ""
    if isinstance(error, UserError):
        return f"{error}{place}"
    if isinstance(error, DataDependentOutputException | DynamicOutputShapeException):
        return f"what it does follows from an image's values, as by an `if`, item(), int() or a mask{place}"
    if "Inference tensors" in str(error):
        return f"it runs in torch.inference_mode{place}"
    return f"tracing it failed with {text!r}"


def seeds(traced: Trace, at: str) -> list[fx.Node]:
    """Return the nodes that a split point names: all inside the module and what it returns, or the one node.

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
    """Return the name by which tracing knows a module that has several."""
    try:
        module = traced.model.get_submodule(at)
    except AttributeError:
        return at
    return next((name for name in traced.outputs if traced.model.get_submodule(name) is module), at)

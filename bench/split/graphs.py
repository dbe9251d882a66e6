"""Writes the two sides of a plan as graph modules."""

import inspect
import operator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from splitbench.bench.split.cut_plan import Plan, image_axis
from splitbench.bench.split.tracing.facts import BATCH, TensorFact
from splitbench.bench.utils.errors import UserError


class Sent(NamedTuple):
    """One tensor or integer that crosses: a node's value, or one item of it."""

    node: fx.Node
    item: int | None


class HeadGraph(fx.GraphModule):
    """A head that was written from a traced graph; its copies are recognized by this type."""


class Sides(NamedTuple):
    """A head and a tail that were not run yet.

    ``roles`` names what each tensor of the cut is in the network; ``how`` is as in
    :class:`splitbench.bench.split.SplitModel`.
    """

    head: nn.Module
    tail: nn.Module
    roles: tuple[str, ...]
    how: str


def write_sides(plan: Plan, prefix: str = "") -> Sides:
    """Write the head and the tail of a plan; both use the model's modules and parameters.

    Args:
        plan: What runs where.
        prefix: Put before each role.

    Raises:
        UserError: What must cross is neither a tensor nor an integer.
    """
    tensors = [
        Sent(node, item)
        for node in plan.tensors
        for item in ([None] if plan.facts[node].single else range(len(plan.facts[node].tensors)))
    ]
    known = any(image_axis(_fact(plan, sent).shape) for sent in tensors)
    numbers = [
        Sent(node, item) for node in plan.numbers for item, value in _values(plan, node) if value != BATCH or not known
    ]
    roles = tuple(prefix + plan.role(node) + ("" if item is None else f"[{item}]") for node, item in tensors)
    model = plan.trace.model
    head = HeadGraph(model, _head(plan, tensors, numbers), class_name="Head")
    tail = fx.GraphModule(model, _Tail(plan, tensors, numbers).graph, class_name="Tail")
    head.training = tail.training = model.training
    return Sides(head, tail, roles, "module" if plan.trace.opaque else "fx")


def _fact(plan: Plan, sent: Sent) -> TensorFact:
    return plan.facts[sent.node].tensors[sent.item or 0]


def _values(plan: Plan, node: fx.Node) -> list[tuple[int | None, Any]]:
    """Return the numbers of a node: of a size each one."""
    value = plan.facts[node].value
    return list(enumerate(value)) if isinstance(value, tuple | list) else [(None, value)]


def image_first(tensor: Tensor, axis: int, images: int) -> Tensor:
    """Move the axis of images to the front; along it may lie several steps of each image (windows, heads, rows)."""
    if tensor.shape[axis] != images:
        tensor = tensor.unflatten(axis, (images, -1))  # type: ignore[no-untyped-call]
    return tensor.movedim(axis, 0)


def image_back(tensor: Tensor, axis: int, axes: int) -> Tensor:
    """Return the inverse of :func:`image_first` for a tensor that had so many axes."""
    tensor = tensor.movedim(0, axis)
    return tensor.flatten(axis, axis + 1) if tensor.ndim > axes else tensor


def ordered(tensor: Tensor, order: tuple[int, ...]) -> Tensor:
    """Return the same values with the axes laid out in memory in the given order, outermost first.

    A decoded cut is contiguous, while the network may have made it channels last: only on the same layout are the
    tail's kernels, and what ``view`` accepts, those of the uncut model. No copy where the layout is right already.
    """
    inverse = tuple(order.index(axis) for axis in range(len(order)))
    return tensor.permute(order).contiguous().permute(inverse)


def memory_order(tensor: TensorFact) -> tuple[int, ...] | None:
    """Return the order of a tensor's axes in memory, or None where it is the usual one or the tensor has gaps."""
    axes = tuple(range(len(tensor.shape)))
    order = tuple(sorted(axes, key=lambda axis: (-tensor.stride[axis], axis)))
    step = 1
    for axis in reversed(order):
        if tensor.shape[axis] != 1 and tensor.stride[axis] != step:
            return None
        step *= tensor.shape[axis]
    return None if order == axes else order


def per_image(plan: Plan, sent: Sent) -> bool:
    """Return whether a number is a multiple of the batch size and sent per image: server batches may differ."""
    value = plan.facts[sent.node].value
    value = value if sent.item is None else value[sent.item]
    return isinstance(value, int) and value > 0 and value % BATCH == 0


def _head(plan: Plan, tensors: list[Sent], numbers: list[Sent]) -> fx.Graph:
    known = any(image_axis(_fact(plan, sent).shape) for sent in tensors)
    graph, env = fx.Graph(), dict[fx.Node, Any]()
    needed = plan.runs
    copies = _before_writes(plan, needed)
    kept: dict[fx.Node, fx.Node] = {}
    for node in plan.trace.graph.nodes:
        for early in copies.get(node, []):
            kept[early] = graph.call_method("clone", (env[early],))
        if node in needed or node.op == "placeholder":
            env[node] = _copy(graph, node, env)
    results = []
    for sent in tensors + numbers:
        value = kept.get(sent.node, env[sent.node])
        if sent.item is not None:
            value = graph.call_function(operator.getitem, (value, sent.item))
        if sent in tensors:
            image_steps = image_axis(_fact(plan, sent).shape)
            if image_steps is not None and image_steps != (0, 1):
                value = graph.call_function(image_first, (value, image_steps[0], _images(graph, env)))
        elif per_image(plan, sent) and known:
            value = graph.call_function(operator.floordiv, (value, _images(graph, env)))
        results.append(value)
    graph.output(tuple(results))
    return graph


def _images(graph: fx.Graph, env: dict[fx.Node, Any]) -> fx.Node:
    """Return how many images the head was given."""
    image = next(iter(env.values()))
    return graph.call_function(operator.getitem, (graph.call_function(getattr, (image, "shape")), 0))


def _before_writes(plan: Plan, needed: set[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
    """Sent tensors whose old value the tail needs although the head writes into them: copied before that write."""
    copies: dict[fx.Node, list[fx.Node]] = {}
    for node in plan.tensors:
        storages = {t.storage for t in plan.facts[node].tensors}
        first = min((plan.order[n] for n in plan.readers(node)), default=len(plan.order))
        writers = [n for n in needed if storages & plan.facts[n].writes and plan.order[n] > plan.order[node]]
        late = sorted(plan.order[n] for n in writers if plan.order[n] > first)
        if late:
            writer = next(n for n in writers if plan.order[n] == late[0])
            copies.setdefault(writer, []).append(node)
    return copies


class _Tail:
    """The tail's graph while it is written."""

    def __init__(self, plan: Plan, tensors: list[Sent], numbers: list[Sent]) -> None:
        self.plan = plan
        self.graph = fx.Graph()
        self.env: dict[fx.Node, Any] = {}
        self.inputs = {sent: self.graph.placeholder(f"cut_{k}") for k, sent in enumerate(tensors)}
        given: dict[Sent, Any] = {sent: self.graph.placeholder(f"number_{k}") for k, sent in enumerate(numbers)}
        self._receive()
        batch = next((n for sent, n in self.inputs.items() if image_axis(_fact(plan, sent).shape)), None)
        if batch is not None:
            batch = self._call(operator.getitem, self._call(getattr, batch, "shape"), 0)
        for node in plan.numbers:
            made = tuple(self._number(given.get(Sent(node, i)), batch, Sent(node, i)) for i, _ in _values(plan, node))
            kind = type(plan.facts[node].value)
            self.env[node] = self._call(torch.Size, made) if kind is torch.Size else made
            if kind not in (torch.Size, tuple):
                self.env[node] = list(made) if kind is list else made[0]
        self.env |= {node: self.env[other] for node, other in plan.same.items() if other in self.env}
        for node in plan.trace.graph.nodes:
            if node in plan.tail:
                circumstance = plan.circumstance(node)
                self.env[node] = self._ask(node) if circumstance else _copy(self.graph, node, self.env)
        output = plan.trace.graph.output_node().args[0]
        self.graph.output(fx.node.map_arg(output, lambda n: self.env[n]))

    def _number(self, given: fx.Node | None, batch: fx.Node | None, sent: Sent) -> Any:
        if given is None:
            return batch
        return given if batch is None or not per_image(self.plan, sent) else self._call(operator.mul, given, batch)

    def _call(self, function: Any, *args: Any) -> fx.Node:
        return self.graph.call_function(function, args)

    def _receive(self) -> None:
        """Give every sent tensor the shape and the layout that the uncut model would see; keep what it was given."""
        written = {storage for node in self.plan.tail for storage in self.plan.facts[node].writes}
        parts: dict[fx.Node, list[Any]] = {}
        for sent, value in self.inputs.items():
            fact = _fact(self.plan, sent)
            order = memory_order(fact)
            image_steps = image_axis(fact.shape)
            if image_steps is not None and image_steps != (0, 1):
                value = self._call(image_back, value, image_steps[0], len(fact.shape))
                order = order or tuple(range(len(fact.shape)))
            if order is not None:
                value = self._call(ordered, value, order)
            if fact.storage in written:
                value = self.graph.call_method("clone", (value,))
            parts.setdefault(sent.node, []).append(value)
        for node, values in parts.items():
            self.env[node] = values[0] if self.plan.facts[node].single else tuple(values)

    def _ask(self, node: fx.Node) -> fx.Node:
        """Ask a sent tensor, of the same precision if there is one, instead of one that stayed in the head."""
        asked = node.all_input_nodes[0]
        dtypes = {tensor.dtype for tensor in self.plan.facts[asked].tensors}
        inputs = sorted(self.inputs, key=lambda sent: _fact(self.plan, sent).dtype not in dtypes)
        if not inputs:
            raise UserError("this model cannot be cut here: its rest asks for the device of a tensor, and none crosses")
        return self._call(getattr, self.inputs[inputs[0]], node.args[1])


def _copy(graph: fx.Graph, node: fx.Node, env: dict[fx.Node, Any]) -> fx.Node:
    """Copy one node; a function called with ``training=False`` in the traced eval mode follows its side's mode."""
    args = fx.node.map_arg(node.args, lambda n: env[n])
    kwargs = dict(fx.node.map_arg(node.kwargs, lambda n: env[n]))
    if node.op == "call_function" and callable(node.target) and False in [*args, *kwargs.values()]:
        try:
            names = list(inspect.signature(node.target).parameters)
        except (TypeError, ValueError):
            names = []
        place = names.index("training") if "training" in names else len(args)
        if place < len(args) and args[place] is False:
            args = (*args[:place], graph.get_attr("training"), *args[place + 1 :])
        elif kwargs.get("training") is False:
            kwargs["training"] = graph.get_attr("training")
    return graph.create_node(node.op, node.target, args, kwargs, node.name)

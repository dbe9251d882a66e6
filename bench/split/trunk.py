"""Heads of one model that share what they have in common: the head to ``layer3`` continues from that to ``layer2``.

The graphs of several heads are merged into one, in which every operation that they share runs once. What runs, on what
and in which order is the same for each head as if it ran alone, so its outputs are equal bit for bit. The one thing
that could come between two heads is an operation that writes into a tensor which the other still needs: PyTorch counts
the writes into every tensor, and these counts are compared, operation by operation, before heads are shared.
"""

import copy
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from splitbench.bench.split import same


def shared(heads: Sequence[nn.Module], example: Any) -> list[nn.Module]:
    """The heads, those of one model continuing from one another; a head that cannot is returned as it is.

    Args:
        heads: Modules that each contain a head as :func:`splitbench.bench.split.split` makes them, and are called on
            the same batch one after the other.
        example: A small batch, on which it is tried.

    Returns:
        For each head a module that gives the same: to be called once per batch each. They keep what they have computed
        for one another until all are called.
    """
    graphs = [_graph(head) for head in heads]
    groups: dict[int, list[int]] = {}
    for index, graph in enumerate(graphs):
        if graph is not None:
            groups.setdefault(_model(graph), []).append(index)
    result = list(heads)
    for group in groups.values():
        inputs = _inputs([heads[i] for i in group], [graph for i in group if (graph := graphs[i]) is not None], example)
        trunk, members = _Trunk([]), list[int]()
        for index in sorted(group, key=lambda i: depth(heads[i]), reverse=True):
            graph = graphs[index]
            if graph is not None and _equal(inputs.get(id(graph)), inputs.get(id(graphs[group[0]]))):
                larger = _continued(trunk, graph, inputs[id(graph)])
                if larger is not None:
                    trunk, members = larger, [*members, index]
        if len(members) > 1:
            for place, index in enumerate(members):
                result[index] = replaced(heads[index], trunk.heads[place], _Branch(trunk, place))
    return result


def depth(head: nn.Module) -> int:
    """How many operations a head runs: of two heads of one model, one that continues from the other has more."""
    graph = _graph(head)
    return 0 if graph is None else len(graph.graph.nodes)


def _graph(head: nn.Module) -> fx.GraphModule | None:
    """The graph inside a head, or None where there is none."""
    found = (m for m in head.modules() if isinstance(m, fx.GraphModule) and hasattr(m, "cut_tensors"))
    return next(found, None)


def _model(graph: fx.GraphModule) -> Any:
    """What tells models apart, since copies have names in common: the first module that a head runs."""
    things = [id(_resolved(graph, node)) for node in graph.graph.nodes if node.op == "call_module"]
    return things[0] if things else id(graph)


def _resolved(graph: fx.GraphModule, node: fx.Node) -> Any:
    found: Any = graph
    if node.op in {"call_module", "get_attr"}:
        for part in str(node.target).split("."):
            found = getattr(found, part)
        return found
    return node.target


def _equal(one: Any, other: Any) -> bool:
    return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)


def replaced(module: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """A module with another one in the place of one inside it. It shares all the rest with the original."""
    if module is old:
        return new
    result = copy.copy(module)
    result.__dict__["_modules"] = {
        name: None if child is None else replaced(child, old, new) for name, child in module._modules.items()
    }
    return result


def _continued(trunk: "_Trunk", head: fx.GraphModule, x: Tensor) -> "_Trunk | None":
    """A trunk with one more head, or None where that one has to run alone."""
    try:
        larger = _Trunk([*trunk.heads, head])
        return larger if larger.safe(x) else None
    except torch.OutOfMemoryError:
        raise
    except Exception:  # whatever a graph does that cannot be merged: its head works without
        return None


@torch.no_grad()
def _inputs(heads: Sequence[nn.Module], graphs: Sequence[fx.GraphModule], example: Any) -> dict[int, Any]:
    """What each graph is called with, by its id, when its head is called with an example."""
    found: dict[int, Any] = {}
    for head, graph in zip(heads, graphs, strict=True):
        hook = graph.register_forward_pre_hook(lambda module, args: found.update({id(module): args[0]}))
        with suppress(Exception):  # a head that fails is told where its cells are measured
            head(example)
        hook.remove()
    return found


class _Trunk:
    """Several heads' graphs as one, and what it gave for the last input."""

    def __init__(self, heads: Sequence[fx.GraphModule]) -> None:
        self.heads = heads
        self.graph = fx.Graph()
        self.nodes: list[dict[fx.Node, fx.Node]] = []  # per head: its nodes to those of the merged graph
        attributes: dict[str, Any] = {}
        outputs = [self._add(head, attributes) for head in heads]
        self.graph.output(tuple(outputs))
        self.module = fx.GraphModule(attributes, self.graph, class_name="Trunk")
        self.module.eval()
        self.input: Any = None
        self.waiting: dict[int, Any] = {}

    def _add(self, head: fx.GraphModule, attributes: dict[str, Any]) -> Any:
        known = {node.name: node for node in self.graph.nodes}
        own: dict[fx.Node, fx.Node] = {}
        self.nodes.append(own)
        for node in head.graph.nodes:
            args = fx.node.map_arg(node.args, lambda n: own[n])
            if node.op == "output":
                return args[0]
            kwargs = fx.node.map_arg(node.kwargs, lambda n: own[n])
            other = known.get(node.name)
            target, thing = node.target, _resolved(head, node)
            named = node.op in {"call_module", "get_attr"}
            known_already = (
                other is not None
                and (other.op, other.target) == (node.op, target)
                and (not named or attributes[str(target)] is thing)
                and (other.args, other.kwargs) == (args, kwargs)
            )
            if named and not known_already:  # another model's of the same name gets a new one
                while attributes.setdefault(str(target), thing) is not thing:
                    target = f"{target}_"
            own[node] = (
                other
                if known_already and other is not None
                else self.graph.create_node(node.op, target, args, kwargs, node.name)
            )
        raise ValueError("a graph without an output")

    def safe(self, x: Tensor) -> bool:
        """Whether every operation finds the same as in its head alone, tried on an input."""
        with torch.no_grad():
            merged = _Counted(self.module)
            together = merged.run(x.clone())
            for head, nodes, result in zip(self.heads, self.nodes, together, strict=True):
                alone = _Counted(head)
                expected = alone.run(x.clone())
                found = {node: merged.writes[other] for node, other in nodes.items()}
                if found != {node: alone.writes[node] for node in nodes} or _writes(result) != _writes(expected):
                    return False
                if not same(result, expected) or _strides(result) != _strides(expected):
                    return False
        return merged.written == 0

    def outputs(self, place: int, x: Any) -> Any:
        """What a head gives for an input; the others' outputs wait to be asked for."""
        if place not in self.waiting or not _equal(self.input, x):
            self.waiting = dict(enumerate(self.module(x)))
            self.input = x
        result = self.waiting.pop(place)
        if not self.waiting:
            self.input = None
        return result


def _writes(values: Any) -> tuple[int, ...]:
    """How often each tensor among some values was written to since it was made."""
    return tuple(value._version for value in tree_leaves(values) if isinstance(value, Tensor))


def _strides(values: Any) -> list[tuple[int, ...]]:
    return [value.stride() for value in tree_leaves(values) if isinstance(value, Tensor)]


class _Counted(fx.Interpreter):
    """Runs a graph, and notes how often each operation's arguments had been written to before it."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.writes: dict[fx.Node, tuple[int, ...]] = {}
        self.written = 0  # into the input

    def run_node(self, n: fx.Node) -> Any:
        """One operation."""
        self.writes[n] = _writes(self.fetch_args_kwargs_from_env(n))
        result = super().run_node(n)
        if n.op == "placeholder":
            self.given = result
        self.written = self.given._version
        return result


class _Branch(nn.Module):
    """One head of a trunk, in the place of that head's own graph."""

    def __init__(self, trunk: _Trunk, place: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.place = place
        self.broken = False

    def forward(self, x: Any) -> Any:
        """As the head's graph. Whatever goes wrong in another head is not this one's."""
        if not self.broken:
            try:
                return self.trunk.outputs(self.place, x)
            except torch.OutOfMemoryError:
                raise
            except Exception:
                self.broken = True
        return self.trunk.heads[self.place](x)

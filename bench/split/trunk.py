"""Heads of one model that share what they have in common: the head to ``layer3`` continues from that to ``layer2``.

The graphs of several heads are merged into one, in which every operation that they share runs once. What runs, on what
and in which order is the same for each head as if it ran alone, so its outputs are equal bit for bit. The one thing
that could come between two heads is an operation that writes into a tensor which the other still needs: PyTorch counts
the writes into every tensor, and these counts are compared, operation by operation, before heads are shared.
"""

import copy
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from splitbench.bench.split import same
from splitbench.bench.split.graphs import HeadGraph


def shared(heads: Sequence[nn.Module], example: Any) -> list[nn.Module]:
    """Let heads of one model continue from one another; a head that cannot is returned as it is.

    Args:
        heads: Modules that each contain a head as :func:`splitbench.bench.split.split` makes them, and are called on
            the same batch one after the other.
        example: A small batch, on which sharing is tried.

    Returns:
        For each head a module with the same outputs, to be called once per batch. The modules keep what they have
        computed for one another until all are called.
    """
    groups: dict[nn.Module, list[_SharingHead]] = {}
    for place, head in enumerate(heads):
        graph = graph_of(head)
        if graph is not None:
            member = _SharingHead(place, head, graph, _input(head, graph, example))
            groups.setdefault(_first_module(graph), []).append(member)
    result = list(heads)
    for group in groups.values():
        trunk, joined = _Trunk([]), list[_SharingHead]()
        for member in sorted(group, key=lambda member: len(member.graph.graph.nodes), reverse=True):
            if _equal(member.input, group[0].input):
                larger = _continued(trunk, member.graph, member.input)
                if larger is not None:
                    trunk, joined = larger, [*joined, member]
        if len(joined) > 1:
            for number, member in enumerate(joined):
                result[member.place] = replaced(member.head, member.graph, _Branch(trunk, number))
    return result


class _SharingHead(NamedTuple):
    """A head that may share a trunk: its place among all heads, the graph inside it, and the graph's input."""

    place: int
    head: nn.Module
    graph: HeadGraph
    input: Any


def depth(head: nn.Module) -> int:
    """Return how many operations a head runs: of two heads of one model, the deeper one has more."""
    graph = graph_of(head)
    return 0 if graph is None else len(graph.graph.nodes)


def graph_of(head: nn.Module) -> HeadGraph | None:
    """Return the graph inside a head, or None where there is none."""
    return next((module for module in head.modules() if isinstance(module, HeadGraph)), None)


def _first_module(graph: HeadGraph) -> nn.Module:
    """Return the first module that a head runs, which distinguishes models: copies have names in common."""
    modules = (_resolved(graph, node) for node in graph.graph.nodes if node.op == "call_module")
    return next(modules, graph)


def _resolved(graph: HeadGraph, node: fx.Node) -> Any:
    """Return the module, attribute or function that a node stands for."""
    if node.op not in {"call_module", "get_attr"}:
        return node.target
    value: Any = graph
    for name in str(node.target).split("."):
        value = getattr(value, name)
    return value


def _equal(a: Any, b: Any) -> bool:
    return isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b)


def replaced(module: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """Return a module in which ``new`` takes the place of ``old``; it shares all the rest with the original."""
    if module is old:
        return new
    result = copy.copy(module)
    result.__dict__["_modules"] = {
        name: None if child is None else replaced(child, old, new) for name, child in module._modules.items()
    }
    return result


def _continued(trunk: "_Trunk", head: HeadGraph, x: Tensor) -> "_Trunk | None":
    """Return a trunk with one more head, or None where that head has to run alone."""
    try:
        larger = _Trunk([*trunk.heads, head])
        return larger if larger.safe(x) else None
    except torch.OutOfMemoryError:
        raise
    except Exception:  # whatever a graph does that cannot be merged: its head works without
        return None


@torch.no_grad()
def _input(head: nn.Module, graph: HeadGraph, example: Any) -> Any:
    """Return what a graph is called with when its head is called with an example; None where it is not called."""
    inputs: list[Any] = []
    hook = graph.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with suppress(Exception):  # a head that fails is reported where its cells are measured
        head(example)
    hook.remove()
    return inputs[-1] if inputs else None


class _Trunk:
    """Several heads' graphs as one, and its outputs for the last input."""

    def __init__(self, heads: Sequence[HeadGraph]) -> None:
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

    def _add(self, head: HeadGraph, attributes: dict[str, Any]) -> Any:
        known = {node.name: node for node in self.graph.nodes}
        merged: dict[fx.Node, fx.Node] = {}
        self.nodes.append(merged)
        for node in head.graph.nodes:
            args = fx.node.map_arg(node.args, lambda n: merged[n])
            if node.op == "output":
                return args[0]
            kwargs = fx.node.map_arg(node.kwargs, lambda n: merged[n])
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
            merged[node] = (
                other
                if known_already and other is not None
                else self.graph.create_node(node.op, target, args, kwargs, node.name)
            )
        raise ValueError("a graph without an output")

    def safe(self, x: Tensor) -> bool:
        """Return whether every operation gets the same arguments as in its head alone, tried on an input."""
        with torch.no_grad():
            merged = _CountingInterpreter(self.module)
            together = merged.run(x.clone())
            for head, nodes, result in zip(self.heads, self.nodes, together, strict=True):
                alone = _CountingInterpreter(head)
                expected = alone.run(x.clone())
                writes = {node: merged.writes[other] for node, other in nodes.items()}
                if writes != {node: alone.writes[node] for node in nodes} or _writes(result) != _writes(expected):
                    return False
                if not same(result, expected) or _strides(result) != _strides(expected):
                    return False
        return merged.written == 0

    def outputs(self, place: int, x: Any) -> Any:
        """Return a head's outputs for an input; the other heads' outputs are kept until they are asked for."""
        if place not in self.waiting or not _equal(self.input, x):
            self.waiting = dict(enumerate(self.module(x)))
            self.input = x
        result = self.waiting.pop(place)
        if not self.waiting:
            self.input = None
        return result


def _writes(values: Any) -> tuple[int, ...]:
    """Return how often each tensor among some values was written to since it was made."""
    return tuple(value._version for value in tree_leaves(values) if isinstance(value, Tensor))


def _strides(values: Any) -> list[tuple[int, ...]]:
    return [value.stride() for value in tree_leaves(values) if isinstance(value, Tensor)]


class _CountingInterpreter(fx.Interpreter):
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
    """One head of a trunk, which replaces that head's graph."""

    def __init__(self, trunk: _Trunk, place: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.place = place
        self.broken = False

    def forward(self, x: Any) -> Any:
        """Run like the head's graph. An error in another head is not this one's."""
        if not self.broken:
            try:
                return self.trunk.outputs(self.place, x)
            except torch.OutOfMemoryError:
                raise
            except Exception:
                self.broken = True
        return self.trunk.heads[self.place](x)

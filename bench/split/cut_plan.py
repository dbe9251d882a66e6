"""What of a traced graph runs in the head, what runs in the tail, and what crosses."""

import operator
from collections.abc import Iterable
from typing import Any

import torch
from torch import fx

from splitbench.bench.split.tracing.facts import BATCH, TensorFact, Trace, current, guard

Nodes = set[fx.Node]


def elements(tensor: TensorFact) -> int:
    """Number of elements of the traced batch."""
    return int(torch.Size(tensor.shape).numel())


def numbers_of(value: Any) -> list[int | float] | None:
    """Return the numbers in a value without tensors: itself, or those of a size; None for anything else."""
    if isinstance(value, tuple | list) and value:
        return list(value) if all(isinstance(n, int | float) for n in value) else None
    return [value] if isinstance(value, int | float) else None


def image_axis(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the axis that counts images, and its steps per image (windows, heads); None for no axis."""
    axes = [axis for axis, size in enumerate(shape) if size and size % BATCH == 0]
    return (axes[0], shape[axes[0]] // BATCH) if axes else None


def image_shape(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """One image's part of a traced tensor as it is sent, or None where the tensor has no axis of images."""
    found = image_axis(shape)
    if found is None:
        return None
    axis, steps = found
    return (*shape[:axis], *([steps] if steps > 1 else []), *shape[axis + 1 :])


class Plan:
    """The two sides of one cut.

    ``head``: the seeds, all that they need, and the sizes of it. ``tail``: all that the output needs and that is
    neither in the head nor sent; parameters, and tensors made of parameters and sizes only, are in the tail too where
    it uses them. ``crossing``: the nodes whose values are sent, in order of execution. ``same``: nodes whose value is
    that of another crossing node. ``views``: nodes that are views of what is sent anyway: the tail makes them again.
    """

    def __init__(self, trace: Trace, seeds: Iterable[fx.Node]) -> None:
        self.trace = trace
        self.facts = trace.facts
        self.order = trace.order
        self.head = self.closure(seeds)
        self._take_sizes()
        self.same: dict[fx.Node, fx.Node] = {}
        self.views: Nodes = set()
        self._walk()
        while self._share_storage():
            self._walk()

    @property
    def tensors(self) -> list[fx.Node]:
        """The crossing nodes that hold tensors."""
        return [n for n in self.crossing if self.facts[n].tensors]

    @property
    def numbers(self) -> list[fx.Node]:
        """The crossing nodes that hold integers."""
        return [n for n in self.crossing if not self.facts[n].tensors]

    @property
    def runs(self) -> Nodes:
        """What the head has to run: all that is sent, what it needs, and the guards on what the head knows."""
        return self.closure([*self.crossing, *(n for n in self.head if n.target is guard)])

    def closure(self, seeds: Iterable[fx.Node]) -> Nodes:
        """Return the seeds and every node that must run before them."""
        found: Nodes = set()
        stack = list(seeds)
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack += [*node.all_input_nodes, *self.facts[node].after]
        return found

    def constant(self, node: fx.Node) -> bool:
        """Return whether a node depends on nothing but the image's size: parameters and what is computed from them."""
        fact = self.facts[node]
        return fact.pure or (bool(fact.tensors) and not fact.data)

    def circumstance(self, node: fx.Node) -> bool:
        """Return whether a node reads device or precision of a tensor of the head: any sent tensor's will do."""
        return node.target is getattr and self.facts[node].circumstance and node.args[0] in self.head

    def _take_sizes(self) -> None:
        """Add sizes of what the head has, and its tensors as it has left them or out of lists: they cost nothing."""
        for node in self.trace.graph.nodes:
            picks = node.target is operator.getitem and not self.facts[node.all_input_nodes[0]].single
            free = node.op != "output" and not self.facts[node].tensors and not self.facts[node].writes
            parents = [*node.all_input_nodes, *self.facts[node].after]
            if (free or picks or node.target is current) and all(n in self.head or self.constant(n) for n in parents):
                self.head.add(node)

    def _walk(self) -> None:
        """Go back from the output, and stop at what the head can send."""
        self.tail: Nodes = set()
        crossing: Nodes = set()
        guards = [n for n in self.trace.graph.nodes if n.target is guard and n not in self.head]
        stack = [*self.trace.graph.output_node().all_input_nodes]
        while stack or guards:
            node = stack.pop() if stack else guards.pop()
            node = self.same.get(node, node)
            if node in self.tail or node in crossing:
                continue
            if node.target is guard and not self._knows(node):
                continue
            if node in self.head and not self.constant(node) and node not in self.views and not self._made_again(node):
                crossing.add(node)
                continue
            self.tail.add(node)
            if not self.circumstance(node):
                stack += [*node.all_input_nodes, *(n for n in self.facts[node].after if n not in self.head)]
        self.crossing = sorted(crossing, key=self.order.__getitem__)

    def _knows(self, asked: fx.Node) -> bool:
        """Return whether the tail has every tensor whose size a guard checks: nothing else may use one of them."""
        stack = [*asked.all_input_nodes]
        while stack:
            node = stack.pop()
            if not self.facts[node].tensors or node.target is current:
                stack += node.all_input_nodes
            elif node not in self.tail and node not in self.head:
                return False
        return True

    def _made_again(self, node: fx.Node) -> bool:
        """Return whether a value is neither a tensor nor a number (a device, a slice): the tail makes it again."""
        fact = self.facts[node]
        return not fact.tensors and numbers_of(fact.value) is None

    # -- every storage is sent once ----------------------------------------------------------------------------------

    def _share_storage(self) -> bool:
        """Among sent tensors that are views of one another keep one. Returns whether anything changed."""
        groups: dict[int, list[fx.Node]] = {}
        for node in self.tensors:
            if self.facts[node].single:
                groups.setdefault(self.facts[node].tensors[0].storage, []).append(node)
        for storage, members in groups.items():
            for i, node in enumerate(members):
                for other in members[:i]:
                    if self.facts[node].tensors == self.facts[other].tensors and self._settled(other, storage):
                        self.same[node] = other
                        return True
            if len(members) > 1 and self._one_base(members, storage):
                return True
        return False

    def _settled(self, node: fx.Node, storage: int) -> bool:
        """Return whether the tail reads a node's value only after the head's last write into its storage."""
        last = max((self.order[n] for n in self.head if storage in self.facts[n].writes), default=-1)
        return all(self.order[n] > last for n in node.users if n not in self.head)

    def _one_base(self, members: list[fx.Node], storage: int) -> bool:
        if any(storage in self.facts[n].writes for n in self.head):
            return False
        chains = [self._views_up(node, storage) for node in members]
        total = sum(elements(self.facts[n].tensors[0]) for n in members)
        for base in chains[0]:
            fact = self.facts[base]
            if fact.single and all(base in chain for chain in chains) and elements(fact.tensors[0]) <= total:
                again = {node for chain in chains for node in chain[: chain.index(base)]} - self.views
                self.views |= again
                return bool(again)
        return False

    def _views_up(self, node: fx.Node, storage: int) -> list[fx.Node]:
        """Return the node and those that it is a view of, nearest first."""
        chain = [node]
        while chain[-1].op != "placeholder":
            above = [n for n in chain[-1].all_input_nodes if storage in {t.storage for t in self.facts[n].tensors}]
            if len(above) != 1:
                break
            chain.append(above[0])
        return chain

    # -- names -------------------------------------------------------------------------------------------------------

    def role(self, node: fx.Node) -> str:
        """Return what a sent tensor is in the network.

        The outermost module that returned it alone; else the innermost that returned it among others, with its place
        (``fpn[0]``); else the module in which it was made and the node's name.
        """
        if node.op == "placeholder":
            return "input"
        returned = {path: nodes for path, nodes in self.trace.outputs.items() if path and node in nodes}
        alone = [path for path, nodes in returned.items() if set(nodes) == {node}]
        if alone:
            return min(alone, key=lambda path: (path.count("."), path))
        if returned:
            path = max(returned, key=lambda path: (path.count("."), path))
            return f"{path}[{returned[path].index(node)}]"
        scope = self.facts[node].scope
        return f"{scope}.{node.name}" if scope else str(node.name)

    def readers(self, node: fx.Node) -> list[Any]:
        """Return the tail's nodes that read a node or another node of the same value."""
        names = {node, *(n for n, other in self.same.items() if other is node)}
        return [user for n in names for user in n.users if user in self.tail]

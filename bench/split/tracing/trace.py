"""One symbolic pass over a model that also knows every value's shape.

Plain ``torch.fx`` tracing stops where a model branches on its sizes (``if height % window``). Here every
proxy carries a *fake* value (shape, dtype, strides and storage, but no data), so that such questions are answered; the
answer is written into the graph as a guard, which raises when the traced graph meets an input that would answer
differently. Nothing is computed, so a trace costs about a second even for large models.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from timm.layers import get_notrace_functions, get_notrace_modules
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves, tree_map_only

from splitbench.bench.split.tracing.facts import BATCH, Fact, TensorFact, Trace, current, evaluating, guard, unchanged
from splitbench.bench.split.tracing.proxy import KnowingProxy, MacsMode, passing_for_values
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.precision import autocast_state

CIRCUMSTANCES = frozenset({"device", "dtype", "is_cuda", "is_mps", "layout", "requires_grad"})
"""Attributes of a tensor that follow the module's device and precision, and are therefore never guarded."""

FACTORIES: tuple[Callable[..., Any], ...] = (
    *(torch.arange, torch.empty, torch.eye, torch.full, torch.linspace),
    *(torch.ones, torch.rand, torch.randn, torch.tensor, torch.zeros),
)
"""Functions that make tensors of sizes: recorded in the graph where a size is symbolic."""

FOLLOWED = frozenset({"NormFreeBlock"})
"""Blocks that timm forbids fx to enter because of a write in place, which this tracer follows."""

PLAIN_NORMS = frozenset({nn.BatchNorm1d, nn.BatchNorm2d})

CONTAINERS = (nn.Module, nn.ModuleDict, nn.ModuleList, nn.Sequential)


class _Tracer(fx.Tracer):
    """A tracer whose nodes are run on fake values as they are created."""

    def __init__(self, example: Tensor, opaque: frozenset[str]) -> None:
        super().__init__(autowrap_modules=(math,), autowrap_functions=(*FACTORIES, *get_notrace_functions()))
        self._autowrap_search.append(torch)
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        with self.mode:
            self.example = torch.empty((BATCH, *example.shape[1:]), dtype=example.dtype, device=example.device)
        self.macs = MacsMode()
        self.opaque = opaque
        self.failed: str | None = None
        self.leaves = tuple(module for module in get_notrace_modules() if module.__name__ not in FOLLOWED)
        self.kept: set[str] = set()
        self.values: dict[fx.Node, Any] = {}
        self.facts: dict[fx.Node, Fact] = {}
        self.outputs: dict[str, list[fx.Node]] = {}
        self.writers: dict[int, fx.Node] = {}
        self.born: dict[fx.Node, int] = {}
        self.versions: dict[tuple[fx.Node, fx.Node], fx.Node] = {}
        self.running = False
        self.autocast = autocast_state()
        self.names: dict[Tensor, str] = {}  # a tensor equals only itself as a key
        self.attributes: dict[str, Any] = {}

    # -- what fx asks of a tracer ------------------------------------------------------------------------------------

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        self.names = {t: n for n, t in (*self.root.named_parameters(), *self.root.named_buffers())}
        return root_fn, [self.root, self.create_proxy("placeholder", "x", (), {})]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return KnowingProxy(node, self)

    def create_arg(self, a: Any) -> Any:
        if issubclass(type(a), fx.Proxy):  # not isinstance: a proxy passes for its value
            return a.node
        if isinstance(a, Tensor) and a in self.names:
            return self.create_node("get_attr", self.names[a], (), {})
        return super().create_arg(a)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        name = None if self.running or not isinstance(attr_val, Tensor) else self.names.get(attr_val)
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
        return parameter_proxy_cache[name]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        module_type = type(m)
        if module_qualified_name in self.opaque:
            return True
        if module_type in self.leaves:
            if not isinstance(m, _BatchNorm) and any(True for _ in m.children()):
                self.kept.add(module_qualified_name)
            return True
        if super().is_leaf_module(m, module_qualified_name):
            return True
        # A refined convolution or norm (timm's same-padding and fused ones) is as atomic as what it refines.
        if not issubclass(module_type, CONTAINERS[1:]) and any(
            base.__module__.startswith("torch.nn.modules.") and base not in CONTAINERS for base in module_type.__mro__
        ):
            return issubclass(module_type, _BatchNorm) or not any(True for _ in m.children())
        # Stochastic depth and its like must go on following train() and eval(): their graph would be frozen.
        code = getattr(module_type.forward, "__code__", None)
        return code is not None and "training" in code.co_names and not any(True for _ in m.children())

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self.running or self.submodule_paths is None or m not in self.submodule_paths:
            return forward(*args, **kwargs)
        try:
            result = super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or self.submodule_paths[m]  # the innermost
            raise
        nodes = self.outputs.setdefault(self.submodule_paths[m], [])
        fx.node.map_arg(self.create_arg(result), lambda n: nodes.append(self._latest(n)))
        return result

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> fx.Node:
        if target is not current:
            args, kwargs = fx.node.map_arg(args, self._latest), fx.node.map_arg(kwargs, self._latest)
        node = super().create_node(kind, target, args, kwargs, *rest, **more)
        if not self.running:
            self._run(node)
        return node

    # -- values ------------------------------------------------------------------------------------------------------

    def concrete(self, proxy: KnowingProxy) -> Any:
        """Return the value that the model's Python code asks for, guarded in the graph."""
        value, fact = self.values[proxy.node], self.facts[proxy.node]
        if isinstance(value, Tensor):
            value = value.item()  # raises for a value that depends on the image
        elif not fact.circumstance and not fact.pure:
            self.create_node("call_function", guard, (proxy.node, value), {})
        return value

    @contextmanager
    def _quietly(self, fake: bool = True) -> Iterator[None]:
        self.running = True
        fast_path = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # one fused operation: neither fake values nor MACs
        try:
            with torch.no_grad(), self.mode if fake else nullcontext(), self.macs:
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            self.running = False

    def _latest(self, node: fx.Node) -> fx.Node:
        """Return what stands for a tensor now: itself, or the node that has written into it or its storage since."""
        fact = self.facts[node]
        writer = self.writers.get(fact.tensors[0].storage) if fact.single else None
        if writer is None or self.born[writer] <= self.born[node]:
            return node
        if self.facts[writer].tensors == fact.tensors:
            return writer  # it has returned the very tensor
        if (node, writer) not in self.versions:
            self.versions[node, writer] = self.create_node("call_function", current, (node,), {})
        return self.versions[node, writer]

    def _run(self, node: fx.Node) -> None:
        if autocast_state() != self.autocast:
            raise UserError("its forward switches autocast, which no graph records")
        self.born[node] = len(self.born)
        if node.op == "output":
            self.facts[node] = Fact()
            return
        args = fx.node.map_arg(node.args, lambda n: self.values[n])
        kwargs = fx.node.map_arg(node.kwargs, lambda n: self.values[n])
        before = self.macs.total
        read = [t for n in node.all_input_nodes for t in tree_leaves(self.values[n]) if isinstance(t, Tensor)]
        versions = [t._version for t in read]
        if node.target in self.opaque:
            value = self._call_opaque(node, args, kwargs)
        else:
            with self._quietly():
                value = self._call(node, args, kwargs)
        self.values[node] = value
        self.facts[node] = self._fact(node, value)
        fact = self.facts[node]
        fact.macs = self.macs.total - before
        written = {
            t.untyped_storage()._cdata for t, version in zip(read, versions, strict=True) if t._version != version
        }
        fact.writes = frozenset(written)
        storages = {t.untyped_storage()._cdata for t in read}
        fact.after = tuple({self.writers[s] for s in storages if s in self.writers})
        for storage in written:
            self.writers[storage] = node

    def _call(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        if node.op == "placeholder":
            return self.example
        if node.op == "get_attr":
            name = str(node.target)
            if name not in self.attributes:
                attribute: Any = self.root
                for part in name.split("."):
                    attribute = getattr(attribute, part)
                self.attributes[name] = self.mode.from_tensor(attribute) if isinstance(attribute, Tensor) else attribute
            return self.attributes[name]
        if node.op == "call_module":
            module = self.root.get_submodule(str(node.target))
            if type(module) in PLAIN_NORMS and args[0].is_contiguous():
                return torch.empty_like(args[0])  # what it gives; fake values go a hundred times slower through it
            return module(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)  # noqa: S101  (for the type checker: fx guarantees it)
        return node.target(*args, **kwargs)

    def _call_opaque(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        """Run an opaque module on noise instead of fake values, as it may look at values, to know what it returns."""
        with self._quietly(fake=False):
            args, kwargs = tree_map_only(Tensor, lambda t: torch.rand(t.shape).to(t.device, t.dtype), (args, kwargs))
            value = self._call(node, args, kwargs)
        return tree_map_only(Tensor, self.mode.from_tensor, value)

    def _fact(self, node: fx.Node, value: Any) -> Fact:
        tensors = tuple(
            TensorFact(t.untyped_storage()._cdata, int(t.storage_offset()), tuple(t.shape), tuple(t.stride()), t.dtype)
            for t in tree_leaves(value)
            if isinstance(t, Tensor)
        )
        parents = [self.facts[n] for n in node.all_input_nodes]
        first = node.op == "placeholder"
        circumstance = node.target is getattr and node.args[1] in CIRCUMSTANCES
        return Fact(
            scope=self.scope.module_path,
            tensors=tensors,
            single=isinstance(value, Tensor),
            value=None if tensors else value,
            data=bool(tensors) and (first or any(p.data for p in parents)),
            pure=not first and all(p.pure for p in parents),
            circumstance=circumstance or any(p.circumstance for p in parents if not p.tensors),
        )


def trace(model: nn.Module, example: Tensor) -> Trace:
    """Trace a model in eval mode. A module that cannot be traced is kept whole; so is, if need be, what contains it.

    Args:
        model: Any module with one tensor as input. Its modes and weights are left as they were.
        example: An input batch (B, ...); only its shape, dtype and device matter, and not its batch size.

    Returns:
        The graph and what is known of it. Call ``scrub`` when it is no longer needed.

    Raises:
        Exception: Whatever the model's ``forward``, outside its modules, raises on symbolic values.
    """
    # TorchScript is not to be called with proxies: its C++ takes nothing but tensors.
    opaque = frozenset(name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule))
    before = set(model.__dict__) | set(model._buffers)
    while True:
        tracer = _Tracer(example, opaque)
        try:
            with evaluating(model), unchanged(model), passing_for_values():
                graph = tracer.trace(model)
        except Exception:
            failed = tracer.failed or ""
            while failed in opaque:
                failed = failed.rpartition(".")[0]
            if not failed:
                raise
            opaque |= {failed}
        else:
            added = (set(model.__dict__) | set(model._buffers)) - before
            constants = [name for name in added if name.startswith("_tensor")]
            return Trace(model, graph, tracer.facts, tracer.outputs, opaque | tracer.kept, constants)

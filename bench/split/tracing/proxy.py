"""Symbolic values that know their shapes, and a counter of what making them costs."""

import builtins
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Knowing(Protocol):
    """A tracer that knows every node's value."""

    values: dict[fx.Node, Any]

    def concrete(self, proxy: "KnowingProxy") -> Any:
        """Return the value that the model's Python code asks for."""
        ...

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """Return a new node."""
        ...


class MacsMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts multiply-accumulates as ``torch.utils.flop_counter`` does, without its hooks on modules."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=out) // 2
        return out


class KnowingProxy(fx.Proxy):
    """A symbolic value that answers questions about its fake value: type, length, truth, items."""

    tracer: Knowing  # type: ignore[assignment]

    @property
    def kind(self) -> type:
        """The type that Python code takes it for while :func:`passing_for_values` holds."""
        value = self.tracer.values.get(self.node)
        if isinstance(value, Tensor):
            return Tensor
        return type(value) if isinstance(value, bool | int | float | tuple | list | dict) else KnowingProxy

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.tracer.values[self.node], name)
        if callable(attribute) and not isinstance(attribute, Tensor):
            return fx.proxy.Attribute(self, name)
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def __iter__(self) -> Iterator[Any]:
        value = self.tracer.values[self.node]
        if isinstance(value, dict):
            return iter(value)
        return iter([self[i] for i in range(len(self))])

    def __getitem__(self, key: Any) -> Any:
        value = self.tracer.values[self.node]
        if isinstance(value, tuple | list) and isinstance(key, int) and value[key] is None:
            return None  # nothing is no value that could cross
        return self.tracer.create_proxy("call_function", operator.getitem, (self, key), {})

    def keys(self) -> Any:
        """Return the keys of a dict."""
        return self.tracer.values[self.node].keys()

    def __contains__(self, item: object) -> bool:
        value = self.tracer.values[self.node]
        return item in value if isinstance(value, dict) else any(bool(item == other) for other in self)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, key, value), {})

    def __len__(self) -> int:
        value = self.tracer.values[self.node]
        return int(self.size(0)) if isinstance(value, Tensor) else len(value)

    def __bool__(self) -> bool:
        if type(self.tracer.values[self.node]) in (int, float):  # whether there is a rest, not how large it is
            return bool(self.tracer.concrete(self.tracer.create_proxy("call_function", operator.truth, (self,), {})))
        return bool(self.tracer.concrete(self))

    def __index__(self) -> int:
        return operator.index(self.tracer.concrete(self))

    def __int__(self) -> int:
        return int(self.tracer.concrete(self))

    def __float__(self) -> float:
        return float(self.tracer.concrete(self))

    __hash__ = fx.Proxy.__hash__


@contextmanager
def passing_for_values() -> Iterator[None]:
    """Let ``isinstance`` say of a proxy what it says of its value, and custom autograd functions be nodes.

    Only Python sees it so. A proxy whose ``__class__`` was ``Tensor`` would convince PyTorch's C++, too, which takes
    the memory of what it believes to be a tensor for one, and crashes.
    """
    plain, apply = builtins.isinstance, torch.autograd.Function.__dict__["apply"]

    def knowing(thing: Any, kinds: Any) -> bool:
        return plain(thing, kinds) or (type(thing) is KnowingProxy and issubclass(thing.kind, kinds))

    def recorded(function: type, *args: Any, **kwargs: Any) -> Any:
        proxy = next((x for x in (*args, *kwargs.values()) if type(x) is KnowingProxy), None)
        if proxy is None:
            return apply.__get__(None, function)(*args, **kwargs)
        return proxy.tracer.create_proxy("call_function", Applied(function), args, kwargs)

    builtins.isinstance = knowing
    torch.autograd.Function.apply = classmethod(recorded)
    try:
        yield
    finally:
        builtins.isinstance = plain
        torch.autograd.Function.apply = apply


@dataclass(frozen=True)
class Applied:
    """A custom autograd function as the target of a node, which graphs call by its ``apply``."""

    function: Any

    @property
    def __name__(self) -> str:
        return str(self.function.__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply it."""
        return self.function.apply(*args, **kwargs)


def _in_place(name: str) -> Callable[[KnowingProxy, Any], Any]:
    """``+=`` and its like as they are: fx would record ``+``, and whoever holds the left side would not see the sum."""
    function = getattr(operator, name)
    return lambda proxy, other: proxy.tracer.create_proxy("call_function", function, (proxy, other), {})


for _name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "imatmul"):
    setattr(KnowingProxy, f"__{_name}__", _in_place(_name))

"""Symbolic values that know their shapes, and a counter of what making them costs."""

import operator
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Knowing(Protocol):
    """A tracer that knows every node's value."""

    values: dict[fx.Node, Any]

    def concrete(self, proxy: "KnowingProxy") -> Any:
        """The value that the model's Python code wants to know."""
        ...

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """A new node."""
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

    @property  # type: ignore[misc]
    def __class__(self) -> type:
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
        """The keys of a dict."""
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


def _in_place(name: str) -> Callable[[KnowingProxy, Any], Any]:
    """``+=`` and its like as they are: fx would record ``+``, and whoever holds the left side would not see the sum."""
    function = getattr(operator, name)
    return lambda proxy, other: proxy.tracer.create_proxy("call_function", function, (proxy, other), {})


for _name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "imatmul"):
    setattr(KnowingProxy, f"__{_name}__", _in_place(_name))

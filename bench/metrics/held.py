"""What a codec holds: every tensor and array that its objects reach must be counted by the ledger, or it would be free.

Looked at is a codec that has coded nothing yet. What it makes from there on, of tables and images, are working copies;
only parameters of networks are data even then. Reached are attributes, items of containers, closures, bound arguments,
class attributes, and networks that a method's code names as globals. What a library's object holds in C, and what a
program computes without holding it, is not seen.
"""

import functools
import types
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from splitbench.methods.base import Context, Deployment, MethodError

CONSTANT_BYTES = 64
"""Arrays below this are constants (a step, a counter of batches, a shape), as literals in the code are."""

CONSTANT_NUMBERS = 64
"""Of Python's numbers and words in one container: the axes of a cut's tensors, say, which both sides know anyway."""

_NUMBER_BYTES = 8
_LISTED = 3
_DATA = (Tensor, np.ndarray, bytes, bytearray, memoryview, array)
_ITEMS = (list, tuple, set, frozenset, deque)
_NAMED_ITEMS = (dict, types.MappingProxyType)
_LIBRARIES = frozenset({"torch", "numpy", "builtins", "abc", "typing", "enum", "pydantic", "pydantic_core"})
"""Whose classes have no data of a method's."""

_SERVICES = frozenset({"logging", "threading", "concurrent", "multiprocessing", "importlib", "ctypes", "numba"})
"""Whose objects lead to all of the program."""


@dataclass(frozen=True)
class Held:
    """Data that a codec reaches: the way to them from the codec, and their size in bytes."""

    path: str
    size: int


def check(deployment: Deployment, *, only: type = object) -> None:
    """Check that all that the codec holds is in tables or weights of its deployment.

    Args:
        deployment: What a method deployed; its codec has coded nothing yet.
        only: Look at data of this type: ``nn.Parameter`` for a codec that has coded.

    Raises:
        MethodError: Something is not; the message names where it is held, and its bytes.
    """
    uncounted_objects = uncounted(deployment, only=only)
    if uncounted_objects:
        listed = ", ".join(f"{obj.path} ({obj.size:,} bytes)" for obj in uncounted_objects[:_LISTED])
        more = f" and {len(uncounted_objects) - _LISTED} more" if len(uncounted_objects) > _LISTED else ""
        raise MethodError(
            f"the codec holds data that no table counts: {listed}{more}. Name them in the deployment's `device_tables` "
            "and `server_tables`; what only follows from these, make when it is first coded"
        )


def uncounted(deployment: Deployment, *, only: type = object) -> list[Held]:
    """Return what the codec holds that is in no table and no weights of its deployment, the largest first."""
    counted = _Counted(_of_the_ledger(deployment))
    outside = deployment.head, deployment.tail
    uncounted_objects = [
        Held(path, size)
        for path, data, size in _reached(deployment.codec, outside)
        if isinstance(data, only) and not counted.has(data)
    ]
    return sorted(uncounted_objects, key=lambda held: -held.size)


def _of_the_ledger(deployment: Deployment) -> Iterator[Tensor]:
    for module in (deployment.head, deployment.tail):
        yield from module.parameters()
        yield from module.buffers()
    yield from deployment.device_tables.values()
    yield from deployment.server_tables.values()


class _Counted:
    """Tensors that the ledger counts, to be asked for their memory and, of copies, for their values."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = list(tensors)
        self.spans = [span for tensor in self.tensors if (span := _span(tensor)) is not None]

    def has(self, data: Any) -> bool:
        """Return whether this is a part of a tensor's memory, or has the same values as one, in whatever type."""
        span = _span(data)
        if span is not None and any(first <= span[0] and span[1] <= last for first, last in self.spans):
            return True
        values = _values(data)
        alike = [] if values is None else [tensor for tensor in self.tensors if tensor.numel() == len(values)]
        return any(values is not None and _same(_values(tensor), values) for tensor in alike)


def _same(a: Tensor | None, b: Tensor) -> bool:
    return a is not None and torch.equal(a, b)


def _span(data: Any) -> tuple[int, int] | None:
    """Return the first byte's address and that behind the last; None for what has none."""
    try:
        if isinstance(data, Tensor):
            first, size, strides = (
                data.data_ptr(),
                data.element_size(),
                [step * data.element_size() for step in data.stride()],
            )
        elif isinstance(data, np.ndarray):
            first, size, strides = data.ctypes.data, data.itemsize, [*data.strides]
        else:
            return None
    except RuntimeError:  # a sparse tensor, or one that only stands for another
        return None
    steps = [(count - 1) * stride for count, stride in zip(data.shape, strides, strict=True)]
    begin, end = first + sum(step for step in steps if step < 0), first + sum(step for step in steps if step > 0) + size
    return (begin, end) if first else None


def _values(data: Any) -> Tensor | None:
    """Return all numbers as float64; None for what holds no real ones."""
    if isinstance(data, Tensor):
        dense = data.layout == torch.strided and not data.is_complex() and not data.is_quantized
        return data.detach().to("cpu", torch.float64).flatten() if dense else None
    numbers = np.asarray(data if isinstance(data, np.ndarray | array | list) else np.frombuffer(data, np.uint8))
    return torch.from_numpy(numbers.astype(np.float64)).flatten() if numbers.dtype.kind in "biuf" else None


def _reached(codec: object, outside: Iterable[object]) -> Iterator[tuple[str, Any, int]]:
    """Yield every piece of data that is not a constant: the way to it, itself, and its bytes."""
    seen = {id(obj): obj for obj in outside}  # what is seen is kept, so that no other object gets its id
    waiting: list[tuple[str, Any]] = [("codec", codec)]
    while waiting:
        path, obj = waiting.pop()
        if id(obj) in seen:
            continue
        seen[id(obj)] = obj
        if isinstance(obj, _DATA):
            size = _size(obj)
            if size >= CONSTANT_BYTES:
                yield path, obj, size
            continue
        listed = _numbers_and_words(obj)
        if len(listed) > CONSTANT_NUMBERS:
            yield path, listed, sum(len(word) if isinstance(word, str) else _NUMBER_BYTES for word in listed)
        waiting += reversed([*_parts(path, obj)])


def _size(data: Any) -> int:
    if isinstance(data, Tensor):
        return 0 if data.is_meta else data.numel() * data.element_size()
    return memoryview(data).nbytes if isinstance(data, array) else getattr(data, "nbytes", None) or len(data)


def _numbers_and_words(obj: Any) -> list[float | str]:
    values = obj if isinstance(obj, _ITEMS) else obj.values() if isinstance(obj, _NAMED_ITEMS) else ()
    return [value for value in values if isinstance(value, int | float | str)]


def _parts(path: str, obj: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object leads to, and the way there."""
    if isinstance(obj, _NAMED_ITEMS):
        yield from ((f"{path}[{key!r}]", value) for key, value in obj.items())
    elif isinstance(obj, _ITEMS):
        yield from ((f"{path}[{index}]", value) for index, value in enumerate(obj))
    elif isinstance(obj, functools.partial):
        yield from ((f"{path}.{name}", getattr(obj, name)) for name in ("func", "args", "keywords"))
    elif isinstance(obj, types.MethodType):
        yield from ((path, part) for part in (obj.__self__, obj.__func__))
    elif isinstance(obj, types.FunctionType):
        yield from _of_function(path, obj)
    elif isinstance(obj, staticmethod | classmethod):
        yield path, obj.__func__
    elif isinstance(obj, property):
        yield from ((path, part) for part in (obj.fget, obj.fset))
    elif isinstance(obj, torch.jit.ScriptModule):
        yield from ((f"{path}.{name}", tensor) for name, tensor in (*obj.named_parameters(), *obj.named_buffers()))
    elif not isinstance(obj, type | types.ModuleType | Context) and _top(type(obj)) not in _SERVICES:
        yield from _of_object(path, obj)


def _of_function(path: str, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"{path}.{name}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield f"{path}.__defaults__", (function.__defaults__, function.__kwdefaults__, vars(function))
    for name in function.__code__.co_names:
        if isinstance(function.__globals__.get(name), nn.Module):
            yield f"{function.__module__}.{name}", function.__globals__[name]


def _of_object(path: str, obj: Any) -> Iterator[tuple[str, Any]]:
    for name, value in _attributes(obj).items():
        if isinstance(obj, nn.Module) and name in ("_parameters", "_buffers", "_modules"):
            yield from ((f"{path}.{key}", part) for key, part in value.items())
        else:
            yield f"{path}.{name}", value
    for kind in type(obj).__mro__:
        if _top(kind) not in _LIBRARIES:
            yield from ((f"{path}.{name}", value) for name, value in vars(kind).items() if not _is_internal(name))


def _attributes(obj: Any) -> Mapping[str, Any]:
    """Return those of its ``__dict__`` and its slots; properties are not called."""
    slots = [name for kind in type(obj).__mro__ for name in _slots(kind)]
    slot_values = {name: getattr(obj, name) for name in slots if hasattr(obj, name)}
    return slot_values | dict(getattr(obj, "__dict__", {}))


def _slots(kind: type) -> Iterable[str]:
    slots = vars(kind).get("__slots__", ())
    return [slots] if isinstance(slots, str) else [name for name in slots if name not in ("__dict__", "__weakref__")]


def _is_internal(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name != "__call__"


def _top(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]

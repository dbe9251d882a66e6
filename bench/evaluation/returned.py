"""What a method's functions must return: all else is refused in a sentence that names the function and its file."""

import inspect
from pathlib import Path
from typing import Any

from torch import Tensor

from splitbench.methods.base import Bitstream, Codec, Cut, Deployment, Method, MethodError


def deployment(method: Method, value: Any) -> Deployment:
    """Return what ``deploy`` returned. Raises MethodError if it is not a Deployment."""
    if isinstance(value, Deployment):
        return value
    raise MethodError(f"{_place(method, 'deploy')} must return a Deployment(head, codec, tail), not {_kind(value)}")


def streams(codec: Codec, value: Any) -> list[Bitstream]:
    """Return what ``encode`` returned. Raises MethodError if it is not a list of Bitstreams of bytes."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, Bitstream) for one in value):
        kind = _kind(value)
        raise MethodError(f"{_place(codec, 'encode')} must return Bitstreams, a list of one per image, not {kind}")
    data = [one.data for one in value]
    if not all(isinstance(one, bytes) for one in data):
        raise MethodError(f"{_place(codec, 'encode')} must return Bitstreams of bytes, not of {_kind(data)}")
    return list(value)


def cut(codec: Codec, value: Any) -> Cut:
    """Return what ``decode`` returned. Raises MethodError if it is not a tuple of tensors."""
    if isinstance(value, tuple | list) and all(isinstance(one, Tensor) for one in value):
        return tuple(value)
    raise MethodError(f"{_place(codec, 'decode')} must return a tuple of tensors, one per spec, not {_kind(value)}")


def file_of(thing: Any) -> str:
    """Return the name of the file that a thing's class is written in; empty for one that was typed at a prompt."""
    try:
        return Path(inspect.getfile(type(thing))).name
    except (TypeError, OSError):
        return ""


def _place(thing: Any, function: str) -> str:
    """Return a function's name behind that of its file."""
    file = file_of(thing)
    return f"{file}{': ' * bool(file)}{type(thing).__name__}.{function}"


def _kind(value: Any) -> str:
    """Describe what a value is: ``a list of bytes``, ``None``."""
    if value is None:
        return "None"
    if isinstance(value, list | tuple) and value:
        kinds = dict.fromkeys(type(one).__name__ for one in value)
        return f"a {type(value).__name__} of {' and '.join(kinds)}"
    return f"something of type {type(value).__name__}"

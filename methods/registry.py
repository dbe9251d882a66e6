"""Methods by name, imported only when asked for; the harness adds those that lie elsewhere."""

import pkgutil
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from splitbench.methods.base import Method, MethodError

SHIPPED = (
    "bottleneck",
    "boxes",
    "image",
    "label-only",
    "quantize-context",
    "quantize-entropy",
    "quantize-rle",
    "raw",
    "retrained",
)
"""Those of this project, whose ``version`` stands for their code. Of any other the code itself is part of keys."""
_NOT_METHODS = {"base", "registry", "coding", "units"}
_PARTS = tuple(sorted({*Method.__annotations__, "needs", "deploy"}))
_added: dict[str, Method] = {}


def names() -> list[str]:
    """The names of all methods of this folder, in alphabetical order."""
    modules = pkgutil.iter_modules(import_module("splitbench.methods").__path__)
    return sorted(m.name.replace("_", "-") for m in modules if m.name not in _NOT_METHODS)


def get(name: str) -> Method:
    """The method called ``name``.

    Raises:
        MethodError: no file has that name, and nothing was added under it; or the file cannot be imported, for want of
            a package or another fault; or it holds no method.
    """
    if name in _added:
        return _added[name]
    if name not in names():
        raise MethodError(
            f"unknown method {name!r}: the methods are {', '.join(names())}; one of your own is named by its import "
            "path, as in my_package.my_module:METHOD, or lies as a file in methods/"
        )
    module = module_of(name)
    file = f"methods/{module.rpartition('.')[2]}.py"
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise MethodError(f"the method {name} needs the package {error.name}: install it") from error
    except Exception as error:
        raise MethodError(f"{file} cannot be imported: {_told(error)}") from error
    if not hasattr(found, "METHOD"):
        raise MethodError(f"{file} has no METHOD: end it with `METHOD = MyMethod()`, or move it out of the folder")
    return checked(found.METHOD, f"METHOD of {file}")


def add(name: str, method: Method) -> None:
    """Let :func:`get` find a method from elsewhere under ``name``."""
    _added[name] = method


def module_of(name: str) -> str:
    """The module of a method of this folder."""
    return f"splitbench.methods.{name.replace('-', '_')}"


def checked(method: Any, place: str) -> Method:
    """What ``place`` holds, if it has all that a method must have. Raises MethodError."""
    missing = [part for part in _PARTS if not hasattr(method, part)]
    if isinstance(method, type):
        raise MethodError(f"{place} is the class {method.__name__}, not an object of it: write `METHOD = ...()`")
    if missing:
        raise MethodError(f"{place} lacks {', '.join(missing)} to be a method (see splitbench.methods.base.Method)")
    found: Method = method
    return found


def _told(error: Exception) -> str:
    """Type, message and line; a SyntaxError's message names its own."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return text if isinstance(error, SyntaxError) else f"{text} ({Path(last.filename).name}, line {last.lineno})"

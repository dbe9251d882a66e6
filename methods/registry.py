"""Methods by name, imported only when asked for."""

import pkgutil
from importlib import import_module
from pathlib import Path

from splitbench.methods.base import Method, MethodError

_NOT_METHODS = {"base", "registry", "coding", "units"}


def names() -> list[str]:
    """The names of all methods, in alphabetical order."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(m.name.replace("_", "-") for m in modules if m.name not in _NOT_METHODS)


def get(name: str) -> Method:
    """The method called ``name``. Raises MethodError for a name that no file has, and where a package is missing."""
    if name not in names():
        raise MethodError(f"unknown method {name!r}: the methods are {', '.join(names())}")
    try:
        method: Method = import_module(f"splitbench.methods.{name.replace('-', '_')}").METHOD
    except ModuleNotFoundError as error:
        raise MethodError(f"the method {name} needs the package {error.name}: install it") from error
    return method

"""Code of one's own, named by import path: ``my_package.my_module:name``, for backbones, methods and datasets.

The part before the colon is imported as ``python -m`` would, with the current folder first; the part after it is what
the module holds under that name. A sweep file may come from a stranger, and what it names is run: so it must be written
below the current folder, or in a package that the environment variable SPLITBENCH_TRUST names. ``os:system`` is in
neither.

The networks, methods and datasets that come along have names without a colon and need no trust.

Of a backbone or a method, a cell's key covers the source file that the path names and the one that what it names is
written in: where these change, cells are run again. What the two files import is not looked at. A dataset's images are
in the key by their contents.
"""

import hashlib
import inspect
import os
import sys
import sysconfig
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from splitbench.bench.utils.errors import UserError, format_error, nearest

T = TypeVar("T")


def is_import_path(name: str) -> bool:
    """Whether a name is an import path: only these have a colon."""
    return ":" in name


def imported(name: str, checked: Callable[[Any, str], T]) -> T:
    """What an import path names, if it passes ``checked(what, name)``.

    Raises:
        UserError: nothing of that name can be imported, or it is not trusted. And what ``checked`` raises.
    """
    module, found = _imported(name)
    fitting = checked(found, name)
    written = inspect.getmodule(found)
    if written is not module:
        top = str(getattr(found, "__module__", None) or module.__name__).partition(".")[0]
        _check_trusted(name, top, getattr(written, "__file__", "built-in"))
    return fitting


def digest(name: str) -> str:
    """A digest of the source files that an import path names, and that what it names is written in.

    Raises:
        UserError: nothing of that name can be imported, or it comes from no file.
    """
    return source_digest(name, *_imported(name))


def source_digest(name: str, module: ModuleType, found: Any) -> str:
    """Return a digest of the files of ``module`` and of the module that defines ``found``.

    Raises:
        UserError: Either comes from no file; the message begins with ``name``.
    """
    total = hashlib.sha256()
    for one in dict.fromkeys((module, inspect.getmodule(found) or module)):
        file = getattr(one, "__file__", None)
        if file is None:
            raise UserError(f"{name}: {one.__name__} comes from no file, so a change of its code could not be noticed")
        total.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return total.hexdigest()[:16]


def _imported(name: str) -> tuple[ModuleType, Any]:
    path, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(word.isidentifier() for word in path.split(".")):
        raise UserError(f"{name!r} is no import path: write package.module:name, without folders or suffix")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    top = path.partition(".")[0]
    _check_trusted(name, top, getattr(find_spec(top), "origin", None))
    try:
        module = import_module(path)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{path}.".startswith(f"{error.name}."):
            raise UserError(f"{name}: no module {error.name!r}, neither in {here} nor installed") from None
        raise UserError(f"{name}: importing {path} failed: {format_error(error)}") from error
    if not hasattr(module, attribute):
        raise UserError(f"{name}: {path} has no {attribute!r}{nearest(attribute, vars(module))}")
    _check_trusted(name, top, getattr(module, "__file__", None))
    return module, getattr(module, attribute)


def _check_trusted(name: str, package: str, file: str | None) -> None:
    """Refuse code that lies outside of the current folder, unless its package is trusted by name."""
    if file is None or package in os.environ.get("SPLITBENCH_TRUST", "").split():
        return  # no file: no such package, which importing it tells, or only a folder
    path = Path(file).resolve()
    installed = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "purelib", "platlib")]
    own = path.is_file() and path.is_relative_to(Path.cwd().resolve())  # "built-in" and "frozen" are no files
    if not own or any(path.is_relative_to(one) for one in installed):
        raise UserError(
            f"{name}: {package} lies outside of the current folder, and a sweep file may not run just any code: if you "
            f"trust it with what the sweep says, set the environment variable SPLITBENCH_TRUST={package}"
        )

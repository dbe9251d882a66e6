"""Users' code, named by import path: ``my_package.my_module:name``, for backbones, methods and datasets.

The part before the colon is imported as ``python -m`` would, with the current folder first; the part after it is what
the module holds under that name. A sweep file may come from a stranger, and what it names is run: so it must be written
below the current folder, or in a package that the environment variable SPLITBENCH_TRUST names. ``os:system`` is in
neither.

Bundled networks, methods and datasets have names without a colon and need no trust.

Of a backbone or a method, a cell's key covers the source file that the path names, the one that what it names is
written in, and the user's files that these import, however deep: where any changes, cells are run again.
Installed packages are left out. A dataset's images are in the key by their contents.
"""

import ast
import hashlib
import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from splitbench.bench.utils.errors import UserError, format_error, nearest

T = TypeVar("T")
_OURS = __name__.partition(".")[0]


def is_import_path(name: str) -> bool:
    """Return whether a name is an import path: only these have a colon."""
    return ":" in name


def imported(name: str, checked: Callable[[Any, str], T]) -> T:
    """Return what an import path names, if it passes ``checked(what, name)``.

    Raises:
        UserError: The name cannot be imported, or is not trusted. And what ``checked`` raises.
    """
    module, value = _imported(name)
    fitting = checked(value, name)
    written = inspect.getmodule(value)
    top = str(getattr(value, "__module__", None) or module.__name__).partition(".")[0]
    if written is not module and (top != _OURS or inspect.isroutine(value)):  # an object of our class is the user's
        _check_trusted(name, top, getattr(written, "__file__", "built-in"))
    return fitting


def digest(name: str) -> str:
    """Return a digest of the source files that an import path names, and that what it names is written in.

    Raises:
        UserError: The name cannot be imported, or comes from no file.
    """
    return source_digest(name, *_imported(name))


def source_digest(name: str, module: ModuleType, value: Any) -> str:
    """Return a digest of the files of ``module``, of the module that defines ``value``, and of what these import.

    Raises:
        UserError: Either of the two comes from no file; the message begins with ``name``.
    """
    files: dict[Path, str] = {}
    for source_module in (module, inspect.getmodule(value) or module):
        file = getattr(source_module, "__file__", None)
        if file is None:
            raise UserError(
                f"{name}: {source_module.__name__} comes from no file, so a change of its code could not be noticed"
            )
        files[Path(file)] = source_module.__package__ or ""
    total, queue = hashlib.sha256(), [*files.items()]
    for path, package in queue:
        source = path.read_bytes()
        total.update(hashlib.sha256(source).digest())
        imported = {file: name for file, name in _imports(source, package) if file not in files}
        files |= imported
        queue += imported.items()
    return total.hexdigest()[:16]


def _imports(source: bytes, package: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of the user's modules that a source imports anywhere, each with its package."""
    names: list[str] = []
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # compiled, or for another Python and never run
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            joint = "" if base.endswith(".") else "."
            names += [base, *(f"{base}{joint}{alias.name}" for alias in node.names)]
    for name in dict.fromkeys(names):
        with suppress(Exception):  # not there, or no module but something in one
            spec = _user_spec(resolve_name(name, package))
            if spec is not None and spec.origin is not None:
                yield Path(spec.origin), spec.parent or ""


def _user_spec(name: str) -> ModuleSpec | None:
    """Return where a module is written; None for one that is installed, or splitbench's, whose parts have versions."""
    top = name.partition(".")[0]
    spec = None if top == "splitbench" else find_spec(top)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    paths = [Path(place).resolve() for place in places if place is not None and place != "built-in"]
    if not paths or any(map(_is_installed, paths)):
        return None
    spec = find_spec(name)
    return spec if spec is not None and str(spec.origin).endswith(".py") else None


def _is_installed(path: Path) -> bool:
    return {"site-packages", "dist-packages"} & {*path.parts} != set() or any(map(path.is_relative_to, _installed()))


def _installed() -> list[Path]:
    return [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "purelib", "platlib")]


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
        return  # no file: no such package, which importing it reports, or only a folder
    path = Path(file).resolve()
    is_users = path.is_file() and path.is_relative_to(Path.cwd().resolve())  # "built-in" and "frozen" are no files
    if not is_users or any(map(path.is_relative_to, _installed())):
        raise UserError(
            f"{name}: {package} lies outside of the current folder, and a sweep file may not run just any code: if you "
            f"trust it with what the sweep says, set the environment variable SPLITBENCH_TRUST={package}"
        )

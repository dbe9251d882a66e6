"""What a plugin says of itself, read from its source: nothing is imported, so that lists need no torch."""

import ast
import inspect
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PluginSource:
    """A plugin as its file describes it.

    Attributes:
        summary: The first line of its class's docstring.
        constants: The class's attributes that are written as literals, by name.
        importable: Whether all that the file imports is there, as far as its package and installed packages go.
    """

    summary: str = ""
    constants: dict[str, Any] = field(default_factory=dict)
    importable: bool = False


def read_plugin(file: Path, attribute: str, package: str) -> PluginSource:
    """Read the class whose object a file calls ``attribute``; of a file that cannot be read so, all is empty.

    Args:
        file: The plugin's source.
        attribute: ``METHOD`` or ``DATASET``.
        package: The name of the plugins' package, which ``file`` lies in.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # importing it says what is wrong
        return PluginSource()
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name):
            named = [target.id for target in node.targets if isinstance(target, ast.Name)]
            cls = classes.get(node.value.func.id)
            if attribute in named and cls is not None:
                summary = inspect.cleandoc(ast.get_docstring(cls) or "").partition("\n")[0]
                importable = all(map(_is_there, _imports(tree, file.parent, package, {file})))
                return PluginSource(summary, dict(_literals(cls)), importable)
    return PluginSource()


def _literals(cls: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for node in cls.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
        for target in targets:
            if isinstance(target, ast.Name):
                with suppress(ValueError):  # computed
                    yield target.id, ast.literal_eval(node.value)


def _imports(tree: ast.Module, folder: Path, package: str, seen: set[Path]) -> Iterator[str]:
    """Yield the names of modules that importing a file imports, those of the package's modules included."""
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield node.module
        elif isinstance(node, ast.Import):
            yield from names
        for name in names:
            within = name.removeprefix(f"{package}.").split(".") if name.startswith(f"{package}.") else []
            file = folder.joinpath(*within).with_suffix(".py") if within else None
            if file is not None and file.is_file() and file not in seen:
                seen.add(file)
                yield name
                yield from _imports(ast.parse(file.read_bytes()), folder, package, seen)


def _is_there(module: str) -> bool:
    """Return whether a module was not found missing, and belongs to a package that can be found."""
    return sys.modules.get(module, module) is not None and find_spec(module.partition(".")[0]) is not None

"""Methods and datasets by name: those in the folders ``methods/`` and ``datasets/``, and users' own by import path.

A plugin is a module of its folder other than ``base``, and is called as the file is, with ``-`` for ``_``:
``quantize_rle.py`` holds ``quantize-rle`` in a module-level ``METHOD``. Helpers lie in subfolders. Nothing is imported
before it is asked for: names are checked before torch is loaded, and a file that cannot be imported troubles nobody who
does not use it.
"""

import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from splitbench.bench.utils.errors import UserError, format_error
from splitbench.bench.utils.plugins import user_code
from splitbench.bench.utils.plugins.base_registry import Registry
from splitbench.bench.utils.plugins.plugin_source import PluginSource, read_plugin

if TYPE_CHECKING:
    from splitbench.datasets.base import DatasetKind
    from splitbench.methods.base import Method

T = TypeVar("T")


class PluginRegistry(Registry[T]):
    """The plugins of a package, and users' own.

    Args:
        package: The package's name. Its path is searched each time.
        attribute: What a module calls its plugin: ``METHOD``.
        protocol: The protocol in the package's ``base`` that plugins follow. What it declares is required of each.
    """

    def __init__(self, package: str, attribute: str, protocol: str) -> None:
        kind = attribute.lower()
        hint = f"one of your own is named by its import path, as in my_package.my_module:{attribute}, or lies as a file"
        super().__init__(kind, f"{hint} in {kind}s/")
        self.package, self.attribute, self.protocol = package, attribute, protocol

    def find_names(self) -> Iterator[str]:
        """Yield the names of the package's plugins."""
        for module in pkgutil.iter_modules(self._folders()):
            if not module.ispkg and module.name != "base":
                yield module.name.replace("_", "-")

    def source(self, name: str) -> PluginSource:
        """Return what the file of one of the package's plugins says of it, without importing it."""
        files = (Path(folder) / f"{name.replace('-', '_')}.py" for folder in self._folders())
        file = next((file for file in files if file.is_file()), None)
        return PluginSource() if file is None else read_plugin(file, self.attribute, self.package)

    def _folders(self) -> list[str]:
        imported = sys.modules.get(self.package)
        spec = find_spec(self.package) if imported is None else None  # which imports nothing
        return list(imported.__path__ if imported is not None else (spec and spec.submodule_search_locations) or ())

    def get(self, name: str) -> T:
        """Return a plugin by name or import path.

        Raises:
            UserError: There is no such plugin, it cannot be imported, it is incomplete, or its code is not trusted.
        """
        return user_code.imported(name, self._checked) if user_code.is_import_path(name) else super().get(name)

    def load(self, name: str) -> T:
        """Import a plugin of the package."""
        module, file = self.module(name), self._file(name)
        if not hasattr(module, self.attribute):
            example = f"`{self.attribute} = My{self.kind.title()}()`"
            raise UserError(f"{file} has no {self.attribute}: end it with {example}, or move it out of the folder")
        return self._checked(getattr(module, self.attribute), f"{self.attribute} of {file}")

    def module(self, name: str) -> ModuleType:
        """Import the module of one of the package's plugins. Raise UserError where that fails."""
        try:
            return import_module(f"{self.package}.{name.replace('-', '_')}")
        except ModuleNotFoundError as error:
            raise UserError(f"the {self.kind} {name} needs the package {error.name}: install it") from error
        except Exception as error:
            raise UserError(f"{self._file(name)} cannot be imported: {format_error(error)}") from error

    def _file(self, name: str) -> str:
        return f"{self.kind}s/{name.replace('-', '_')}.py"

    def _checked(self, plugin: T, place: str) -> T:
        """Return ``plugin``, found in ``place``. Raise UserError if it lacks what its protocol declares."""
        if isinstance(plugin, type):
            raise UserError(
                f"{place} is the class {plugin.__name__}, not an object of it: write `{self.attribute} = ...()`"
            )
        protocol = getattr(import_module(f"{self.package}.base"), self.protocol)
        declared = {*protocol.__annotations__, *(name for name in vars(protocol) if not name.startswith("_"))}
        missing = sorted(name for name in declared if not hasattr(plugin, name))
        if missing:
            raise UserError(
                f"{place} lacks {', '.join(missing)} to be a {self.kind} (see {self.package}.base.{self.protocol})"
            )
        return plugin


METHODS: "PluginRegistry[Method]" = PluginRegistry("splitbench.methods", "METHOD", "Method")
DATASETS: "PluginRegistry[DatasetKind]" = PluginRegistry("splitbench.datasets", "DATASET", "DatasetKind")

BUNDLED_METHODS = frozenset(
    {
        "bottleneck",
        "bottleneck-variable",
        "boxes",
        "channel-reduction",
        "entropic-student",
        "feature-image",
        "image",
        "label-only",
        "learned-image",
        "low-rank",
        "quantize-context",
        "quantize-entropy",
        "quantize-layers",
        "quantize-lossless",
        "quantize-rle",
        "raw",
        "retrained",
        "retrained-variable",
    }
)
"""This project's own methods, whose ``version`` stands for their code. Of all others the source is part of keys."""


def method_digest(name: str) -> str | None:
    """Return a digest of the source of a user's method, wherever it lies; None for bundled methods.

    Raises:
        UserError: The method cannot be imported, or it comes from no file.
    """
    if name in BUNDLED_METHODS:
        return None
    if user_code.is_import_path(name):
        return user_code.digest(name)
    return user_code.source_digest(name, METHODS.module(name), METHODS.get(name))

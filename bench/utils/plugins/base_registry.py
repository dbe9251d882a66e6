"""Names to things: the one registry behind methods, datasets, backbones, sweeps and device profiles."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

from splitbench.bench.utils.errors import UserError, nearest

T = TypeVar("T")
_MOST_LISTED = 20  # names in a message


class Registry(ABC, Generic[T]):
    """Things of one kind by name. Nothing is loaded, and nothing kept, before it is asked for.

    Args:
        kind: What one of them is called in messages: ``method``.
        hint: What else a user may name, or how to list the names; for messages.
    """

    def __init__(self, kind: str, hint: str = "") -> None:
        self.kind, self.hint = kind, hint

    @abstractmethod
    def find_names(self) -> Iterable[str]:
        """Return the names of all things that are there now, in any order."""

    @abstractmethod
    def load(self, name: str) -> T:
        """Load the thing called ``name``, which is one of the names. Raise UserError where that fails."""

    def names(self) -> list[str]:
        """Return all names in alphabetical order."""
        return sorted(self.find_names())

    def check(self, name: str) -> None:
        """Raise UserError, with the closest names, if nothing is called ``name``."""
        names = self.names()
        if name not in names:
            listed = f"there are {', '.join(names)}" if len(names) <= _MOST_LISTED else ""
            remedies = "; ".join(filter(None, (listed, self.hint)))
            raise UserError(f"unknown {self.kind} {name!r}{nearest(name, names)} ({remedies})")

    def get(self, name: str) -> T:
        """Return the thing called ``name``. Raise UserError if there is none, or if it cannot be loaded."""
        self.check(name)
        return self.load(name)


class YamlRegistry(Registry[Path]):
    """The YAML files of a folder, by their names without the suffix."""

    def __init__(self, kind: str, folder: Path) -> None:
        super().__init__(kind, "or give a .yaml file")
        self.folder = folder

    def find_names(self) -> Iterable[str]:
        """Return the files' names."""
        return [path.stem for path in self.folder.glob("*.yaml")]

    def load(self, name: str) -> Path:
        """Return the file's path."""
        return self.folder / f"{name}.yaml"

    def get(self, name: str) -> Path:
        """Return the file of a name, or a user's own file by its path; one that ends in .yaml need not exist."""
        path = Path(name)
        is_path = path.suffix in {".yaml", ".yml"} or (path.is_file() and name not in self.names())
        return path if is_path else super().get(name)

"""Device profiles that ship, by name."""

from importlib.resources import as_file, files
from pathlib import Path

from splitbench.bench.errors import UserError, nearest


def names() -> list[str]:
    """The profiles that ship."""
    return sorted(path.name.removesuffix(".yaml") for path in files(__name__).iterdir() if path.name.endswith(".yaml"))


def find(name: str) -> Path:
    """A profile's file: one that exists, or one that ships by that name.

    Raises:
        UserError: neither.
    """
    if Path(name).is_file():
        return Path(name)
    if name in names():
        with as_file(files(__name__).joinpath(f"{name}.yaml")) as path:
            return path
    raise UserError(
        f"no profile {name!r}{nearest(name, names())} (there are {', '.join(names())}, or give a .yaml file)"
    )

"""Device profiles that ship, by name."""

from pathlib import Path

from splitbench.bench.utils.errors import UserError, nearest


def names() -> list[str]:
    """The profiles that ship."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def find(name: str) -> Path:
    """A profile's file: one that exists, or one that ships by that name.

    Raises:
        UserError: neither.
    """
    if Path(name).is_file():
        return Path(name)
    if name in names():
        return Path(__file__).parent / f"{name}.yaml"
    raise UserError(
        f"no profile {name!r}{nearest(name, names())} (there are {', '.join(names())}, or give a .yaml file)"
    )

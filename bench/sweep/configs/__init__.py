"""The sweeps that ship, found by name: ``splitbench run classification``."""

from pathlib import Path

from splitbench.bench.utils.errors import UserError, nearest


def names() -> list[str]:
    """The names of the sweeps that ship."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def title(path: Path) -> str:
    """What a sweep is, from the comment in its first line; empty where there is none."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def find(name: str) -> Path:
    """A sweep file by its path, or by the name of one that ships. Raises UserError for neither."""
    if Path(name).suffix in {".yaml", ".yml"}:
        return Path(name)
    if name not in names():
        known = ", ".join(names())
        raise UserError(f"no sweep called {name!r}{nearest(name, names())} (there are {known}, or give a .yaml file)")
    return Path(__file__).parent / f"{name}.yaml"

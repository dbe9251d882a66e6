"""The bundled sweeps, found by name: ``splitbench run classification``."""

from pathlib import Path

from splitbench.bench.utils.plugins.base_registry import YamlRegistry

SWEEPS = YamlRegistry("sweep", Path(__file__).parent)


def title(path: Path) -> str:
    """Return what a sweep is, from the comment in its first line; empty if there is none."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""

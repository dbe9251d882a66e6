"""Compare compressors for split computing fairly: what a notebook or a script needs.

>>> import splitbench
>>> splitbench.__version__.count(".")
2

Everything here is imported when it is first used, so that ``import splitbench`` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splitbench.measuring import measure
    from splitbench.models import ConfiguredMethod, DeployedCodec, Split, method, points, split
    from splitbench.tables import compare, plot, report, results, run

    __version__: str

__all__ = [
    "ConfiguredMethod",
    "DeployedCodec",
    "Split",
    "__version__",
    "compare",
    "measure",
    "method",
    "plot",
    "points",
    "report",
    "results",
    "run",
    "split",
]

_PLACES = {
    "splitbench.models": ("ConfiguredMethod", "DeployedCodec", "Split", "method", "points", "split"),
    "splitbench.measuring": ("measure",),
    "splitbench.tables": ("compare", "plot", "report", "results", "run"),
}
_PLACE = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("splitbench")
    if name not in _PLACE:
        raise AttributeError(f"module 'splitbench' has no attribute {name!r}")
    return getattr(import_module(_PLACE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

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
    from splitbench.models import (
        ConfiguredMethod,
        DeployedCodec,
        Split,
        check_method,
        method,
        options,
        points,
        split,
    )
    from splitbench.tables import columns, compare, plot, report, results, run, validate, what_if

    __version__: str

__all__ = [
    "ConfiguredMethod",
    "DeployedCodec",
    "Split",
    "__version__",
    "check_method",
    "columns",
    "compare",
    "measure",
    "method",
    "options",
    "plot",
    "points",
    "report",
    "results",
    "run",
    "split",
    "validate",
    "what_if",
]

_PLACES = {
    "splitbench.models": (
        *("ConfiguredMethod", "DeployedCodec", "Split"),
        *("check_method", "method", "options", "points", "split"),
    ),
    "splitbench.measuring": ("measure",),
    "splitbench.tables": ("columns", "compare", "plot", "report", "results", "run", "validate", "what_if"),
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

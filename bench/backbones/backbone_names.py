"""The names of all backbones with their tasks, without importing torch: libraries' are read from their sources.

That these are the names that ``torchvision.models.list_models()`` and ``timm.list_models()`` return is tested.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from splitbench.bench.utils.errors import UserError, close_names, did_you_mean, nearest
from splitbench.bench.utils.plugins import user_code
from splitbench.datasets.base import Task

BUNDLED: Mapping[str, Task] = {
    "cifar_resnet": "classification",
    "fastestdet": "detection",
    "nanodet_m": "detection",
    **dict.fromkeys(("resnet20", "resnet32", "resnet44", "resnet56", "resnet110"), "classification"),
    "small_detector": "detection",
    "small_resnet": "classification",
    "yolox_nano": "detection",
}
"""The networks of :mod:`splitbench.bench.backbones.zoo`, without ``splitbench/``."""

_REGISTERED = re.compile(r"^@register_model(?:\(\))?\s*$.*?^def (\w+)\(", re.MULTILINE | re.DOTALL)


_SOURCES = ("torchvision", "timm", "splitbench")


def check(name: str) -> None:
    """Raise UserError for a name that no source knows. Import paths pass: checking them would run code."""
    if user_code.is_import_path(name):
        return
    source, _, model = name.partition("/")
    if source not in _SOURCES:
        sources = ", ".join(f"{known}/" for known in _SOURCES)
        raise UserError(
            f"unknown backbone {name!r}{_nearest(name)} (names begin with {sources} as in torchvision/resnet50, or are "
            "import paths as in my_package.my_module:factory)"
        )
    model = model.partition(".")[0] if source == "timm" else model  # timm/NAME.TAG: weights' tag
    if f"{source}/{model}" not in tasks():
        known = [name.removeprefix(f"{source}/") for name in tasks() if name.startswith(f"{source}/")]
        listed = f"there are {', '.join(known)}" if source == "splitbench" else "`splitbench list backbones` lists them"
        raise UserError(f"unknown backbone of {source} {model!r}{nearest(model, known)} ({listed})")


def _nearest(name: str) -> str:
    """Return which backbones a name without a source, or with one that there is not, may mean."""
    by_model: dict[str, list[str]] = {}
    for known in tasks():
        by_model.setdefault(known.partition("/")[2], []).append(known)
    model = name.rpartition("/")[2].partition(".")[0]
    close = [model] if model in by_model else close_names(model, by_model)[:1]
    return did_you_mean([known for one in close for known in by_model[one]])


def task_of(name: str) -> Task | None:
    """Return the task of a bundled network; None for others, which must be built to know it, and for unknown names."""
    source, _, short = name.partition("/")
    return BUNDLED.get(short) if source == "splitbench" else None


@cache
def tasks() -> Mapping[str, Task]:
    """Return the task of every backbone, by its name as in a sweep."""
    return {
        **{f"splitbench/{name}": task for name, task in BUNDLED.items()},
        **{f"timm/{name}": "classification" for name in sorted(_registered("timm", "models"))},
        **{f"torchvision/{name}": "classification" for name in sorted(_registered("torchvision", "models"))},
        **{f"torchvision/{name}": "detection" for name in sorted(_registered("torchvision", "models/detection"))},
    }


def _registered(package: str, folder: str) -> Iterator[str]:
    """Yield the functions that the files of a package's folder register as models."""
    spec = find_spec(package)  # which imports nothing
    if spec is not None and spec.origin is not None:
        for file in (Path(spec.origin).parent / folder).glob("*.py"):
            yield from _REGISTERED.findall(file.read_text(encoding="utf-8"))

"""Backbones of one's own, named by import path: ``my_package.my_module:factory``.

The part before the colon is imported as ``python -m`` would, with the current folder first; the part after it is
called with the sweep's ``args`` and returns an ``nn.Module``: a detector as :mod:`splitbench.bench.detectors` describes
it, or a classifier of images (B, 3, H, W), whose preprocessing must be told, in the sweep or by an attribute of the
model's:

    class Small(nn.Module):
        preprocessing = {"resize": None, "crop": 32, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

What a sweep says replaces single fields of the attribute's. With ``weights: none`` the model stays as its factory makes
it. A cell's key covers the source file that the path names and the one that the factory is written in: where these
change, its cells are run again. What the two files import is not looked at.

A sweep file may come from a stranger, and a factory is called with what it says: so it must be written below the
current folder, or in a package that the environment variable SPLITBENCH_TRUST names. ``os:system`` is neither.
"""

import hashlib
import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError
from torch import nn

from splitbench.bench.detectors import is_detector
from splitbench.bench.errors import UserError, nearest, told
from splitbench.bench.explain import explained
from splitbench.bench.preprocessing import Preprocessing

_NEEDED = ("resize", "crop", "mean", "std")


def is_import_path(name: str) -> bool:
    """Whether a backbone's name is an import path: only these have a colon."""
    return ":" in name


def find(name: str) -> Callable[..., Any]:
    """What makes the model. Raises UserError where nothing of that name can be imported and called."""
    return _imported(name)[1]


def build(
    name: str, factory: Callable[..., Any], args: dict[str, Any], overrides: dict[str, Any]
) -> tuple[nn.Module, Preprocessing | None]:
    """A model, and its preprocessing with ``overrides``; None for a detector, which has its own.

    Raises:
        UserError: the factory makes no model of ``args``, or the preprocessing is not told.
    """
    try:
        model = factory(**args)
    except Exception as error:
        raise UserError(f"{name}: it cannot be built from `args`: {told(error)}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"{name} returns something of type {type(model).__name__}, not a torch.nn.Module")
    return model, None if is_detector(model) else _preprocessing(name, model, overrides)


def code_digest(name: str) -> str:
    """A digest of the source files that the path names and that the factory is written in.

    Raises:
        UserError: nothing of that name can be imported, or it comes from no file.
    """
    module, factory = _imported(name)
    total = hashlib.sha256()
    for one in dict.fromkeys((module, inspect.getmodule(factory) or module)):
        file = getattr(one, "__file__", None)
        if file is None:
            raise UserError(f"{name}: {one.__name__} comes from no file, so a change of its code could not be noticed")
        total.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return total.hexdigest()[:16]


def _imported(name: str) -> tuple[ModuleType, Callable[..., Any]]:
    path, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(word.isidentifier() for word in path.split(".")):
        raise UserError(f"{name!r} is no import path: write package.module:factory, without folders or suffix")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    top = path.partition(".")[0]
    _check_trusted(name, top, getattr(find_spec(top), "origin", None), here)
    try:
        module = import_module(path)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{path}.".startswith(f"{error.name}."):
            raise UserError(f"{name}: no module {error.name!r}, neither in {here} nor installed") from None
        raise UserError(f"{name}: importing {path} failed: {told(error)}") from error
    if not hasattr(module, attribute):
        raise UserError(f"{name}: {path} has no {attribute!r}{nearest(attribute, vars(module))}")
    factory = getattr(module, attribute)
    if isinstance(factory, nn.Module) or not callable(factory):
        raise UserError(f"{name} is of type {type(factory).__name__}, not a function or class that makes a model")
    written = inspect.getmodule(factory)
    _check_trusted(name, top, getattr(module, "__file__", None), here)
    if written is not module:
        top = str(getattr(factory, "__module__", None) or top).partition(".")[0]
        _check_trusted(name, top, getattr(written, "__file__", "built-in"), here)
    return module, factory


def _check_trusted(name: str, package: str, file: str | None, here: str) -> None:
    """Refuse code that lies outside of the current folder, unless its package is trusted by name."""
    if file is None or package in os.environ.get("SPLITBENCH_TRUST", "").split():
        return  # no file: no such package, which importing it tells, or only a folder
    path = Path(file).resolve()
    installed = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "purelib", "platlib")]
    own = path.is_file() and path.is_relative_to(Path(here).resolve())  # "built-in" and "frozen" are no files
    if not own or any(path.is_relative_to(one) for one in installed):
        raise UserError(
            f"{name}: {package} lies outside of the current folder, and a sweep file may not run just any code: if you "
            f"trust it with what the sweep says, set the environment variable SPLITBENCH_TRUST={package}"
        )


def _preprocessing(name: str, model: nn.Module, overrides: dict[str, Any]) -> Preprocessing:
    own = getattr(model, "preprocessing", {})
    if not isinstance(own, Mapping):
        raise UserError(f"{name}: its attribute `preprocessing` is of type {type(own).__name__}, not a dict")
    fields = dict(own) | overrides
    missing = [field for field in _NEEDED if field not in fields]
    if missing:
        example = "`preprocessing: {resize: null, crop: 32, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}`"
        raise UserError(
            f"{name}: how its input is made is not told: {', '.join(missing)} missing. Give them in the sweep, as in "
            f"{example}, or as the model's attribute `preprocessing`"
        )
    try:
        return Preprocessing.model_validate(fields)
    except ValidationError as error:
        raise UserError(explained(error, f"{name}: preprocessing", Preprocessing)) from None

"""Reading a sweep file, and checking the names and settings in it; neither data nor weights are opened.

Keys and names are checked before torch is loaded, so that a misspelt one is found at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from splitbench.bench.backbones import backbone_names
from splitbench.bench.sweep.cells import settings_of, variant_of
from splitbench.bench.sweep.overrides import override
from splitbench.bench.sweep.schema import BackboneSpec, DatasetSpec, MethodSpec, Sweep
from splitbench.bench.utils.errors import FaultsError, UserError
from splitbench.bench.utils.plugins import DATASETS, METHODS, user_code
from splitbench.bench.utils.validation_errors import format_validation_error
from splitbench.bench.utils.yaml_file import read_yaml
from splitbench.datasets.base import Subset, Task

if TYPE_CHECKING:
    from splitbench.methods.base import Settings


def read(path: Path, overrides: Iterable[str] = ()) -> Sweep:
    """Read and check a sweep file.

    Args:
        path: The file.
        overrides: Values to replace in it, see :func:`splitbench.bench.sweep.overrides.override`.

    Raises:
        UserError: the file, the key, what was expected and the nearest valid name.
    """
    try:
        content = read_yaml(path)
    except OSError as error:
        raise UserError(f"sweep file {path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    return check(override(content, overrides), str(path))


def check(content: Any, place: str) -> Sweep:
    """Check what a sweep file holds.

    Args:
        content: A mapping, as read from YAML.
        place: Where it is from, for messages.

    Raises:
        UserError: the place, the key, what was expected and the nearest valid name.
    """
    if not isinstance(content, dict):
        raise UserError(f"{place}: expected a sweep with the keys {', '.join(Sweep.model_fields)}")
    sweep: Sweep | None = None
    refused: list[str] = []
    try:
        sweep = Sweep.model_validate(content)
    except ValidationError as error:
        refused = format_validation_error(error, place, Sweep).splitlines()
    entries = _Entries.readable(content) if sweep is None else _Entries.of(sweep)
    faults = FaultsError.of_any(chain(refused, _unknown_names(entries, place), _faults(entries, place)))
    if faults is not None or sweep is None:
        raise faults or UserError(place)
    return sweep


def as_yaml(sweep: Sweep) -> str:
    """Return a sweep as text that reads as the same sweep; what is left at its default is left out."""
    content = sweep.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)


_T = TypeVar("_T", bound=BaseModel)


@dataclass(frozen=True)
class _Entries:
    """The entries of a sweep by their positions, as far as they can be read; ``task`` is None where it cannot be."""

    task: str | None
    datasets: Mapping[int, DatasetSpec]
    backbones: Mapping[int, BackboneSpec]
    methods: Mapping[int, MethodSpec]

    @classmethod
    def of(cls, sweep: Sweep) -> "_Entries":
        """Return those of a sweep."""
        lists = sweep.datasets, sweep.backbones, sweep.methods
        return cls(sweep.task, *(dict(enumerate(entries)) for entries in lists))  # type: ignore[arg-type]

    @classmethod
    def readable(cls, content: Mapping[str, Any]) -> "_Entries":
        """Return those that are right by themselves in what is no sweep."""
        task = content.get("task", Sweep.model_fields["task"].default)
        return cls(
            task if task in get_args(Task) else None,
            _read_each(content.get("datasets"), DatasetSpec),
            _read_each(content.get("backbones"), BackboneSpec),
            _read_each(content.get("methods"), MethodSpec),
        )


def _read_each(entries: Any, schema: type[_T]) -> dict[int, _T]:
    read = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        with suppress(ValidationError):
            read[index] = schema.model_validate(entry)
    return read


def _unknown_names(entries: _Entries, place: str) -> Iterator[str]:
    """Yield a line for each unknown name of a dataset, backbone or method; no plugin is imported for it."""
    kinds: list[tuple[str, Mapping[int, DatasetSpec | BackboneSpec | MethodSpec], Callable[[str], None]]] = [
        ("datasets", entries.datasets, DATASETS.check),
        ("backbones", entries.backbones, backbone_names.check),
        ("methods", entries.methods, METHODS.check),
    ]
    for kind, specs, check_name in kinds:
        for index, spec in specs.items():
            try:
                if not user_code.is_import_path(spec.name):
                    check_name(spec.name)
            except UserError as error:
                yield f"{place}: {kind}.{index}.name: {error}"


class _OtherTaskError(UserError):
    """A dataset, network or method is for another task than the sweep's."""


def _faults(entries: _Entries, place: str) -> Iterator[str]:
    """Yield what is wrong with names and settings, one line per place.

    One wrong ``task`` makes every dataset and method look wrong, so only the first of such faults is yielded.
    """
    checks: list[tuple[str, Mapping[int, Any], Callable[[Any, str, str | None], None]]] = [
        ("datasets", entries.datasets, _check_dataset),
        ("backbones", entries.backbones, _check_backbone),
        ("methods", entries.methods, _check_method),
    ]
    task_differs = False
    for kind, specs, check in checks:
        for index, spec in specs.items():
            try:
                check(spec, f"{place}: {kind}.{index}", entries.task)
            except _OtherTaskError as error:
                if not task_differs:
                    yield str(error)
                task_differs = True
            except UserError as error:
                yield str(error)
    if not task_differs:
        yield from _repeated(entries.methods, place)


def _repeated(specs: Mapping[int, MethodSpec], place: str) -> Iterator[str]:
    """Yield each rate point that the sweep names more than once, defaults filled in: a slip, as it is one cell."""
    first: dict[tuple[str, Settings], int] = {}
    for index, spec in specs.items():
        try:
            rate_points = [*settings_of(spec)]
        except (UserError, ValidationError):  # has been reported
            continue
        for settings in rate_points:
            if (before := first.setdefault((spec.name, settings), index)) != index:
                other = f"is in methods.{before} already (what is left out has its default): leave it out of one"
            elif sum(settings == point for point in rate_points) > 1:
                other = "is given twice"
            else:
                continue
            knob = METHODS.get(spec.name).knob
            point = f"{variant_of(settings, knob)} {knob}={getattr(settings, knob)}".strip()
            yield f"{place}: methods.{index} ({spec.name}): {point} {other}"
            break  # one sentence for each entry


def _check_dataset(spec: DatasetSpec, place: str, task: str | None) -> None:
    try:
        kind = DATASETS.get(spec.name)
    except UserError as error:
        raise UserError(f"{place}.name: {error}") from None
    if task is not None and kind.task != task:
        raise _OtherTaskError(f"{place}.name: {spec.name} is a dataset for {kind.task}, but the sweep's task is {task}")
    for subset in get_args(Subset):
        try:
            kind = DATASETS.get(spec.source(subset))
        except UserError as error:
            raise UserError(f"{place}.{subset}.name: {error}") from None
        try:
            kind.Options.model_validate(spec.options(subset))
        except ValidationError as error:
            raise UserError(format_validation_error(error, place, kind.Options, DatasetSpec)) from None


def _check_backbone(spec: BackboneSpec, place: str, task: str | None) -> None:
    made_for = backbone_names.task_of(spec.name)
    if task is not None and made_for not in (None, task):
        raise _OtherTaskError(f"{place}.name: {spec.name} is a network for {made_for}, but the sweep's task is {task}")


def _check_method(spec: MethodSpec, place: str, task: str | None) -> None:
    try:
        method = METHODS.get(spec.name)
    except UserError as error:
        raise UserError(f"{place}.name: {error}") from None
    if task is not None and task not in method.tasks:
        fitting = ", ".join(name for name in METHODS.names() if _is_for(name, task))
        raise _OtherTaskError(
            f"{place}.name: {spec.name} is a method for {' and '.join(method.tasks)}, but the sweep's task is {task}: "
            f"leave it out, or take another ({fitting})"
        )
    empty = [name for name, value in spec.others.items() if value == []]
    if empty:
        raise UserError(f"{place} ({spec.name}): {empty[0]}: an empty list gives no cells")
    try:
        if not [*settings_of(spec)]:
            raise UserError(f"{place} ({spec.name}): it has no default rate points: give `{method.knob}`")
    except ValidationError as error:
        raise UserError(format_validation_error(error, f"{place} ({spec.name})", method.Settings)) from None


def _is_for(name: str, task: str) -> bool:
    """Return whether a method serves a task; False if it cannot be imported."""
    try:
        return task in METHODS.get(name).tasks
    except UserError:
        return False

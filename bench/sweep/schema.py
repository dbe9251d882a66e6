"""A sweep file: its schema, and its expansion into cells.

Expanding is a pure generator: the same file gives the same cells in the same order, whatever is installed or done.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from splitbench.bench.backbones import registry
from splitbench.bench.utils import renamed
from splitbench.bench.utils.errors import UserError, nearest
from splitbench.bench.utils.plugins import DATASETS, METHODS
from splitbench.bench.utils.precision import Precision
from splitbench.bench.utils.validation_errors import format_validation_error, shorten
from splitbench.bench.utils.yaml_file import read_yaml
from splitbench.datasets.base import Part, Task
from splitbench.methods.base import Settings


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Open(BaseModel):
    """Further keys are another schema's: a dataset's options or a method's settings, which refuse unknown ones."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def others(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})


class DatasetSpec(_Open):
    """A dataset by name, with its own options beside these keys. ``label`` is what tables call it, by default ``name``.

    ``calibration`` holds options that replace the dataset's for the calibration images, ``train`` for the training
    images, to which the evaluation's ``limit`` does not apply. With a ``name`` in either, its images are those of
    another dataset, with no options but those beside the name: enough for what needs no labels. ``unreadable: skip``
    leaves images out that cannot be decoded and counts them; by default they fail the cell. ``preprocessing`` replaces
    single fields of the backbones' own.
    """

    name: str
    label: str = ""
    unreadable: Literal["fail", "skip"] = "fail"
    preprocessing: dict[str, Any] = {}
    calibration: dict[str, Any] = {}
    train: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _current_name(cls, name: str) -> str:
        return renamed.current("dataset", name)

    @field_validator("calibration", "train")
    @classmethod
    def _current_name_within(cls, options: dict[str, Any]) -> dict[str, Any]:
        name = options.get("name")
        return options | {"name": renamed.current("dataset", name)} if isinstance(name, str) else options

    def options(self, part: Part) -> dict[str, Any]:
        """The dataset's options for one use of it."""
        own = {"calibration": self.calibration, "train": self.train}.get(part, {})
        if "name" in own:
            return {name: value for name, value in own.items() if name != "name"}
        dropped = {"limit"} if part == "train" else set()
        return {name: value for name, value in self.others.items() if name not in dropped} | own

    def source(self, part: Part) -> str:
        """The name of the dataset whose images one use of it takes."""
        own = {"calibration": self.calibration, "train": self.train}.get(part, {})
        return str(own.get("name", self.name))


class AutoSplits(_Strict):
    """``auto: n``: the n best split points by device MACs and bytes."""

    auto: int = Field(ge=1)


class BackboneSpec(_Strict):
    """A backbone by name. ``label`` is what tables call it, by default ``name``. ``args`` go to its constructor.

    ``weights`` are ``default``, a name of torchvision's, a file, or ``none``: random ones, always the same.
    ``preprocessing`` replaces single fields of its own. ``splits`` names split points; ``auto`` takes the stage
    boundaries, ``auto: n`` the n best.
    """

    name: str
    label: str = ""
    weights: str = "default"
    args: dict[str, Any] = {}
    preprocessing: dict[str, Any] = {}
    splits: list[str] | Literal["auto"] | AutoSplits

    @field_validator("name")
    @classmethod
    def _current_name(cls, name: str) -> str:
        return renamed.current("backbone", name)

    @field_validator("splits", mode="wrap")
    @classmethod
    def _one_of_three(cls, given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            splits = handler(given)
        except ValidationError:
            splits = []
        if splits:
            return splits
        quoted = " (names that are numbers in quotes)" if isinstance(given, list) and given else ""
        raise ValueError(
            f"expected a list of split points{quoted}, `auto`, or `{{auto: n}}` with n at least 1, not {shorten(given)}"
        )


class MethodSpec(_Open):
    """A method by name, with its settings. A list means one value after the other; all combinations are run."""

    name: str

    @model_validator(mode="before")
    @classmethod
    def _current_settings(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
            return given
        return renamed.with_current_keys(f"setting of {given.get('name')}", given)


class Sweep(_Strict):
    """A whole sweep file: every method at every split of every backbone, on every dataset, once for each of ``seeds``.

    ``batch`` is how many images are run at once, ``precision`` what heads and tails compute in: ``bfloat16`` and
    ``float16`` by autocast. Codecs and training keep to float32.
    """

    task: Task = "classification"
    datasets: list[DatasetSpec] = Field(min_length=1)
    backbones: list[BackboneSpec] = Field(min_length=1)
    methods: list[MethodSpec] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(default=[0], min_length=1)
    batch: int = Field(default=32, ge=1)
    precision: Precision = "float32"

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        for kind, specs in (("datasets", self.datasets), ("backbones", self.backbones)):
            labels = [spec.label or spec.name for spec in specs]
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                raise ValueError(f"two {kind} are called {twice[0]!r}: give each a `label` of its own")
        return self

    def only(self, words: Sequence[str], methods: Sequence[str] = ()) -> "Sweep":
        """The part of the sweep whose backbones' labels contain one of the words, with the methods of these names.

        None of either means all.

        Raises:
            UserError: no backbone matches, or a method is not in the sweep.
        """
        labels = [spec.label or spec.name for spec in self.backbones]
        chosen = [
            spec
            for spec, label in zip(self.backbones, labels, strict=True)
            if not words or any(word in label for word in words)
        ]
        if not chosen:
            raise UserError(f"no backbone of the sweep matches --only {' '.join(words)}: it has {', '.join(labels)}")
        names = list(dict.fromkeys(spec.name for spec in self.methods))
        for name in methods:
            if name not in names:
                raise UserError(f"the sweep has no method {name!r}{nearest(name, names)}: it has {', '.join(names)}")
        kept = [spec for spec in self.methods if not methods or spec.name in methods]
        return self.model_copy(update={"backbones": chosen, "methods": kept})

    def beginning_with(self, weights: str | None) -> "Sweep":
        """The sweep with other weights for its backbones; unchanged for None."""
        if weights is None:
            return self
        chosen = [spec.model_copy(update={"weights": weights}) for spec in self.backbones]
        return self.model_copy(update={"backbones": chosen})


@dataclass(frozen=True)
class Cell:
    """One row of the results, resolved: all that a pass needs to know to measure it."""

    dataset: DatasetSpec
    backbone: BackboneSpec
    split: str
    method: str
    settings: Settings
    seed: int

    @property
    def dataset_label(self) -> str:
        """What the tables call the dataset."""
        return self.dataset.label or self.dataset.name

    @property
    def backbone_label(self) -> str:
        """What the tables call the backbone."""
        return self.backbone.label or self.backbone.name

    @property
    def knob(self) -> str:
        """The setting that moves the rate."""
        return METHODS.get(self.method).knob

    @property
    def value(self) -> Any:
        """The knob's value at this rate point."""
        return getattr(self.settings, self.knob)

    @property
    def variant(self) -> str:
        """The settings, the knob aside, that differ from their defaults: ``granularity=channel range=calibrated``."""
        fields = type(self.settings).model_fields
        changed = {name: getattr(self.settings, name) for name in fields if name != self.knob}
        return " ".join(f"{name}={value}" for name, value in changed.items() if value != fields[name].default)

    def __str__(self) -> str:
        """For messages: ``val120 timm/resnet50 layer2 quantize-rle bits=4``."""
        parts = (self.dataset_label, self.backbone_label, self.split, self.method, self.variant)
        seed = f"seed={self.seed}" if self.seed else ""
        return " ".join(part for part in (*parts, f"{self.knob}={self.value}", seed) if part)


def read(path: Path) -> Sweep:
    """Read and check a sweep file.

    Raises:
        UserError: the file, the key, what was expected and the nearest valid name.
    """
    try:
        content = read_yaml(path)
    except OSError as error:
        raise UserError(f"sweep file {path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a sweep with the keys {', '.join(Sweep.model_fields)}")
    try:
        sweep = Sweep.model_validate(content)
    except ValidationError as error:
        raise UserError(format_validation_error(error, str(path), Sweep)) from None
    faults = [*_faults(sweep, path)]
    if faults:
        raise UserError("\n".join(faults))
    return sweep


class _OtherTaskError(UserError):
    """A dataset, network or method is for another task than the sweep's."""


def _faults(sweep: Sweep, path: Path) -> Iterator[str]:
    """What is wrong with names and settings, one place after the other; neither data nor weights are opened."""
    checks: list[tuple[str, Sequence[Any], Callable[[Any, str, str], None]]] = [
        ("datasets", sweep.datasets, _check_dataset),
        ("backbones", sweep.backbones, _check_backbone),
        ("methods", sweep.methods, _check_method),
    ]
    told = False  # one wrong `task` makes every dataset and method look wrong
    for kind, specs, check in checks:
        for index, spec in enumerate(specs):
            try:
                check(spec, f"{path}: {kind}.{index}", sweep.task)
            except UserError as error:
                if not (isinstance(error, _OtherTaskError) and told):
                    yield str(error)
                told = told or isinstance(error, _OtherTaskError)


def _check_dataset(spec: DatasetSpec, place: str, task: str) -> None:
    try:
        kind = DATASETS.get(spec.name)
    except UserError as error:
        raise UserError(f"{place}.name: {error}") from None
    if kind.task != task:
        raise _OtherTaskError(f"{place}.name: {spec.name} is a dataset for {kind.task}, but the sweep's task is {task}")
    for part in get_args(Part):
        try:
            kind = DATASETS.get(spec.source(part))
        except UserError as error:
            raise UserError(f"{place}.{part}.name: {error}") from None
        try:
            kind.Options.model_validate(spec.options(part))
        except ValidationError as error:
            raise UserError(format_validation_error(error, place, kind.Options, DatasetSpec)) from None


def _check_backbone(spec: BackboneSpec, place: str, task: str) -> None:
    try:
        registry.check_name(spec.name)
    except UserError as error:
        raise UserError(f"{place}.name: {error}") from None
    made_for = registry.task_of(spec.name)
    if made_for not in (None, task):
        raise _OtherTaskError(f"{place}.name: {spec.name} is a network for {made_for}, but the sweep's task is {task}")


def _check_method(spec: MethodSpec, place: str, task: str) -> None:
    try:
        method = METHODS.get(spec.name)
    except UserError as error:
        raise UserError(f"{place}.name: {error}") from None
    if task not in method.tasks:
        fitting = ", ".join(name for name in METHODS.names() if _is_for(name, task))
        raise _OtherTaskError(
            f"{place}.name: {spec.name} is a method for {' and '.join(method.tasks)}, but the sweep's task is {task}: "
            f"leave it out, or take another ({fitting})"
        )
    empty = [name for name, value in spec.others.items() if value == []]
    if empty:
        raise UserError(f"{place} ({spec.name}): {empty[0]}: an empty list gives no cells")
    try:
        for _ in _settings(spec):
            pass
    except ValidationError as error:
        raise UserError(format_validation_error(error, f"{place} ({spec.name})", method.Settings)) from None


def _is_for(name: str, task: str) -> bool:
    """Whether a method of the folder serves a task; not where it cannot be imported."""
    try:
        return task in METHODS.get(name).tasks
    except UserError:
        return False


def _settings(spec: MethodSpec) -> Iterator[Settings]:
    """Every combination of the values given; the method's own rate points where the knob is not."""
    method = METHODS.get(spec.name)
    given = spec.others if method.knob in spec.others else spec.others | {method.knob: list(method.rates)}
    values = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    for combination in itertools.product(*values.values()):
        yield method.Settings.model_validate(dict(zip(values, combination, strict=True)))


def expand(sweep: Sweep) -> Iterator[Cell]:
    """All cells, by dataset, backbone and split; a method with a split of its own comes once per backbone."""
    seen: set[tuple[Any, ...]] = set()
    for dataset, backbone in itertools.product(sweep.datasets, sweep.backbones):
        if not isinstance(backbone.splits, list):
            raise TypeError("`splits: auto` is resolved before a sweep is expanded: see auto_splits")
        for split, spec, seed in itertools.product(backbone.splits, sweep.methods, sweep.seeds):
            place = METHODS.get(spec.name).only_at or split
            for settings in _settings(spec):
                identity = (id(dataset), id(backbone), place, spec.name, settings, seed)
                if identity not in seen:
                    seen.add(identity)
                    yield Cell(dataset, backbone, place, spec.name, settings, seed)

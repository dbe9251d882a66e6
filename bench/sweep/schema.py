"""The schema of sweep files."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from splitbench.bench.sweep import renamed
from splitbench.bench.utils.errors import UserError, nearest
from splitbench.bench.utils.precisions import Precision
from splitbench.bench.utils.validation_errors import shorten
from splitbench.datasets.base import Subset, Task


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Open(BaseModel):
    """Further keys are another schema's: a dataset's options or a method's settings, which refuse unknown ones."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def others(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})


def _refuse_repeated(values: Sequence[Any]) -> None:
    """Raise ValueError for a list that makes cells and names one twice: a slip, as it would be one cell."""
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is given twice")


class DatasetSpec(_Open):
    """A dataset by name, with its options beside these keys. ``label`` is what tables call it, by default ``name``.

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

    def options(self, subset: Subset) -> dict[str, Any]:
        """Return the dataset's options for one use of it."""
        replaced = {"calibration": self.calibration, "train": self.train}.get(subset, {})
        if "name" in replaced:
            return {name: value for name, value in replaced.items() if name != "name"}
        dropped = {"limit"} if subset == "train" else set()
        return {name: value for name, value in self.others.items() if name not in dropped} | replaced

    def source(self, subset: Subset) -> str:
        """Return the name of the dataset whose images one use of it takes."""
        replaced = {"calibration": self.calibration, "train": self.train}.get(subset, {})
        return str(replaced.get("name", self.name))


class AutoSplits(_Strict):
    """``auto: n``: the n best split points by device MACs and bytes."""

    auto: int = Field(ge=1)


class WeightsFile(_Strict):
    """One of several state dicts in a file: ``{file: checkpoint.pth, key: state_dict_ema}``."""

    file: str
    key: str


class BackboneSpec(_Strict):
    """A backbone by name. ``label`` is what tables call it, by default ``name``. ``args`` go to its constructor.

    ``weights`` are ``default``, a name of torchvision's, a file (with ``key``, where it holds several state dicts), or
    ``none``: random ones, always the same.
    ``preprocessing`` replaces single fields of its own. ``splits`` names split points; ``auto`` takes the stage
    boundaries, ``auto: n`` the n best.
    """

    name: str
    label: str = ""
    weights: str | WeightsFile = "default"
    args: dict[str, Any] = {}
    preprocessing: dict[str, Any] = {}
    splits: list[str] | Literal["auto"] | AutoSplits

    @field_validator("name")
    @classmethod
    def _current_name(cls, name: str) -> str:
        return renamed.current("backbone", name)

    @field_validator("args")
    @classmethod
    def _no_yaml_1_1(cls, args: dict[str, Any]) -> dict[str, Any]:
        """Constructors would take the text for true, whichever was meant."""
        words = {"yes", "no", "on", "off"}
        for name, value in args.items():
            if isinstance(value, str) and value.lower() in words:
                raise ValueError(f"{name}: {value} is text in YAML 1.2: write true or false")
        return args

    @field_validator("splits", mode="wrap")
    @classmethod
    def _one_of_three(cls, given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            splits = handler(given)
        except ValidationError:
            splits = []
        if isinstance(splits, list):
            _refuse_repeated(splits)
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

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: list[int]) -> list[int]:
        _refuse_repeated(seeds)
        return seeds

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        for kind, specs in (("datasets", self.datasets), ("backbones", self.backbones)):
            labels = [spec.label or spec.name for spec in specs]
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                raise ValueError(f"two {kind} are called {twice[0]!r}: give each a `label` of its own")
        return self

    def only(self, words: Sequence[str], methods: Sequence[str] = ()) -> "Sweep":
        """Restrict the sweep to backbones whose labels contain one of the words, and to methods of these names.

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
        """Return the sweep with other weights for its backbones; unchanged for None."""
        if weights is None:
            return self
        chosen = [spec.model_copy(update={"weights": weights}) for spec in self.backbones]
        return self.model_copy(update={"backbones": chosen})

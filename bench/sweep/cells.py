"""A sweep's cells: one per dataset, backbone, split point, method, rate point and seed."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from splitbench.bench.sweep.schema import BackboneSpec, DatasetSpec, MethodSpec, Sweep
from splitbench.bench.utils.plugins import METHODS

if TYPE_CHECKING:
    from splitbench.methods.base import Settings


@dataclass(frozen=True)
class Cell:
    """One row of the results, resolved: all that a pass needs to know to measure it."""

    dataset: DatasetSpec
    backbone: BackboneSpec
    split: str
    method: str
    settings: "Settings"
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
        """The knob's value at this rate point; a file's name where it is one."""
        value = getattr(self.settings, self.knob)
        from splitbench.methods.base import File

        return str(value) if isinstance(value, File) else value

    @property
    def variant(self) -> str:
        """The settings, the knob aside, that differ from their defaults: ``granularity=channel range=calibrated``."""
        return variant_of(self.settings, self.knob)

    def __str__(self) -> str:
        """For messages: ``val120 timm/resnet50 layer2 quantize-rle bits=4``."""
        parts = (self.dataset_label, self.backbone_label, self.split, self.method, self.variant)
        seed = f"seed={self.seed}" if self.seed else ""
        return " ".join(part for part in (*parts, f"{self.knob}={self.value}", seed) if part)


def variant_of(settings: "Settings", knob: str) -> str:
    """Return the settings, the knob aside, that differ from their defaults, as tables show them."""
    fields = type(settings).model_fields
    changed = {name: getattr(settings, name) for name in fields if name != knob}
    return " ".join(f"{name}={value}" for name, value in changed.items() if value != fields[name].default)


def settings_of(spec: MethodSpec) -> "Iterator[Settings]":
    """Yield every combination of a method's values; its default rate points if the sweep does not set its knob."""
    method = METHODS.get(spec.name)
    given = spec.others if method.knob in spec.others else spec.others | {method.knob: list(method.rates)}
    values = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    for combination in itertools.product(*values.values()):
        yield method.Settings.model_validate(dict(zip(values, combination, strict=True)))


def expand(sweep: Sweep) -> Iterator[Cell]:
    """Yield all cells, by dataset, backbone and split; a method with a fixed split point once per backbone.

    The same sweep yields the same cells in the same order, whatever is installed or done. ``splits: auto`` must have
    been resolved (see ``auto_splits``).
    """
    methods = [(spec.name, [*settings_of(spec)]) for spec in sweep.methods]
    for dataset, backbone in itertools.product(sweep.datasets, sweep.backbones):
        if not isinstance(backbone.splits, list):
            raise TypeError("`splits: auto` is resolved before a sweep is expanded: see auto_splits")
        seen: set[tuple[Any, ...]] = set()
        for at, (name, rate_points), seed in itertools.product(backbone.splits, methods, sweep.seeds):
            split = METHODS.get(name).only_at or at
            for settings in rate_points:
                if (split, name, settings, seed) not in seen:
                    seen.add((split, name, settings, seed))
                    yield Cell(dataset, backbone, split, name, settings, seed)

"""A dataset's images in their three uses: evaluation, calibration and training; each is opened and read once."""

from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path

from splitbench import datasets
from splitbench.bench.run.sources import Sources
from splitbench.bench.sweep.schema import DatasetSpec
from splitbench.bench.utils import progress
from splitbench.datasets.base import DataError, Dataset, Part, UnknownIdsError, each, named

_MANY = 20_000  # images whose reading is shown


class Parts:
    """The images that a sweep's entry names. With ``compared``, none may be an evaluation image and another, too."""

    def __init__(self, spec: DatasetSpec, sources: Sources, compared: bool = True) -> None:
        self.spec, self.sources, self.compared = spec, sources, compared
        self.label = spec.label or spec.name
        self.of = cache(self._of)
        self.fingerprint = cache(self._fingerprint)

    def _of(self, part: Part) -> Dataset:
        """Raises DataError for no images, or for calibration or training images that are evaluation images."""
        dataset = open_dataset(self.spec, self.sources, part)
        if len(dataset) == 0:
            raise DataError(f"{self.label}: no {_NAMES[part]} images")
        if len({*dataset.ids}) != len(dataset):
            raise DataError(f"{self.label}: {len(dataset)} images have {len({*dataset.ids})} different names in `ids`")
        if part != "evaluation" and self.compared:
            self._compare(dataset, part)
        return dataset

    def _fingerprint(self, part: Part) -> str:
        """Of all images of a part. Raises DataError."""
        return datasets.fingerprint(self.of(part), lambda digests: self._shown(digests, len(self.of(part)), part))

    @cached_property
    def _evaluated(self) -> frozenset[str]:
        evaluation = self.of("evaluation")
        return frozenset(self._shown(each(evaluation.content, len(evaluation)), len(evaluation), "evaluation"))

    def _compare(self, dataset: Dataset, part: Part) -> None:
        evaluation = self.of("evaluation")
        names = set(evaluation.ids) if dataset.global_ids and evaluation.global_ids else set()
        contents = self._shown(each(dataset.content, len(dataset)), len(dataset), part)
        same = [
            name
            for name, content in zip(dataset.ids, contents, strict=True)
            if name in names or content in self._evaluated
        ]
        if same:
            raise DataError(
                f"{self.label}: {len(same)} {_NAMES[part]} images are evaluation images ({named(same)}): "
                f"name other images, as by `{part}: {{root: FOLDER}}`, or leave "
                f"them out by `{part}: exclude`"
            )

    def _shown(self, digests: Iterable[str], count: int, part: Part) -> Iterable[str]:
        what = f"{self.label}: reading {_NAMES[part]} images"
        return progress.track(digests, what, unit="images", total=count, disable=count < _MANY)


_NAMES: dict[Part, str] = {"evaluation": "evaluation", "calibration": "calibration", "train": "training"}


def in_folder(name: str) -> bool:
    """Whether a dataset of this name is read from a folder. Raises DataError where there is none."""
    return "root" in datasets.get(name).Options.model_fields


def open_dataset(spec: DatasetSpec, sources: Sources, part: Part) -> Dataset:
    """A dataset's images for one use, its folder taken relative to the data folder. Raises DataError."""
    kind = datasets.get(spec.source(part))
    options = spec.options(part)
    if in_folder(spec.source(part)) and (sources.data is not None or "root" in options):
        options["root"] = (sources.data or Path()) / (options.get("root") or "")
    try:
        return kind.load(kind.Options.model_validate(options), part)
    except UnknownIdsError as error:
        # What the evaluation images exclude goes for the other subsets, too, which may lie elsewhere.
        if part == "evaluation" or "exclude" in getattr(spec, part):
            raise
        options["exclude"] = {*options["exclude"]} - {*error.names}
        return kind.load(kind.Options.model_validate(options), part)

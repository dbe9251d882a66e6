"""The evaluation, calibration and training images of a dataset; each subset is opened and read once."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TypeVar

from splitbench import datasets
from splitbench.bench.run.planning.sources import Sources, open_dataset
from splitbench.bench.sweep.schema import DatasetSpec
from splitbench.bench.utils import progress
from splitbench.bench.utils.errors import UserError
from splitbench.datasets.base import DataError, Dataset, Subset, each, named

T = TypeVar("T")
_MANY = 20_000
"""Reading that many images is worth a progress bar."""

_ADJECTIVES: dict[Subset, str] = {"evaluation": "evaluation", "calibration": "calibration", "train": "training"}


def _remembered(call: Callable[[Subset], T]) -> Callable[[Subset], T]:
    """``call``, made once for each subset, its error included: reading all images again would give the same one."""
    done: dict[Subset, T | DataError | UserError] = {}

    def remembered(subset: Subset) -> T:
        if subset not in done:
            try:
                done[subset] = call(subset)
            except (DataError, UserError) as error:
                done[subset] = error
        result = done[subset]
        if isinstance(result, DataError | UserError):
            raise result
        return result

    return remembered


class Subsets:
    """The images that a sweep's dataset entry names.

    Args:
        spec: The entry.
        sources: Where the data lies.
        compare: Whether to refuse calibration and training images that are evaluation images, too.
    """

    def __init__(self, spec: DatasetSpec, sources: Sources, compare: bool = True) -> None:
        self.spec, self.sources, self.compare = spec, sources, compare
        self.label = spec.label or spec.name
        self.get = _remembered(self._get)
        self.fingerprint = _remembered(self._fingerprint)

    def _get(self, subset: Subset) -> Dataset:
        """Open a subset.

        Raises:
            DataError: It has no images, names that are not unique, or images that are evaluation images.
        """
        dataset = open_dataset(self.spec, self.sources, subset)
        if len(dataset) == 0:
            raise DataError(f"{self.label}: no {_ADJECTIVES[subset]} images")
        if len({*dataset.ids}) != len(dataset):
            raise DataError(f"{self.label}: {len(dataset)} images have {len({*dataset.ids})} different names in `ids`")
        if subset != "evaluation" and self.compare:
            self._refuse_evaluation_images(dataset, subset)
        return dataset

    def _fingerprint(self, subset: Subset) -> str:
        """Return the hash of all images of a subset. Raises DataError."""
        dataset = self.get(subset)
        return datasets.fingerprint(dataset, lambda digests: self._track(digests, len(dataset), subset))

    @cached_property
    def _evaluation_contents(self) -> frozenset[str]:
        evaluation = self.get("evaluation")
        return frozenset(self._track(each(evaluation.content, len(evaluation)), len(evaluation), "evaluation"))

    def _refuse_evaluation_images(self, dataset: Dataset, subset: Subset) -> None:
        evaluation = self.get("evaluation")
        names = set(evaluation.ids) if dataset.global_ids and evaluation.global_ids else set()
        contents = self._track(each(dataset.content, len(dataset)), len(dataset), subset)
        same = [
            name
            for name, content in zip(dataset.ids, contents, strict=True)
            if name in names or content in self._evaluation_contents
        ]
        if same:
            raise DataError(
                f"{self.label}: {len(same)} {_ADJECTIVES[subset]} images are evaluation images ({named(same)}): "
                f"name other images, as by `{subset}: {{root: FOLDER}}`, or leave "
                f"them out by `{subset}: exclude`"
            )

    def _track(self, digests: Iterable[str], count: int, subset: Subset) -> Iterable[str]:
        title = f"{self.label}: reading {_ADJECTIVES[subset]} images"
        return progress.track(digests, title, unit="images", total=count, disable=count < _MANY)

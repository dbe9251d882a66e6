"""The evaluation, calibration and training images of a dataset; each subset is opened and read once."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeGuard, TypeVar

from splitbench.bench.run.planning.sources import Sources, open_dataset
from splitbench.bench.sweep.schema import DatasetSpec
from splitbench.bench.utils import progress
from splitbench.bench.utils.errors import UserError
from splitbench.datasets.base import DataError, Dataset, Subset, each, fingerprint_of, named
from splitbench.datasets.storage.digests import ImageDigests
from splitbench.datasets.storage.manifest import Along
from splitbench.datasets.storage.stored_images import StoredDataset

T = TypeVar("T")

_ADJECTIVES: dict[Subset, str] = {"evaluation": "evaluation", "calibration": "calibration", "train": "training"}


def _remembered(call: Callable[[Subset], T]) -> Callable[[Subset], T]:
    """``call``, made once for each subset, its error included: reading all images again would raise the same."""
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
        self._taken: dict[Subset, ImageDigests] = {}
        self.get = _remembered(self._get)
        self.digests = _remembered(self._digests)
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

    def _digests(self, subset: Subset) -> ImageDigests:
        """Return the digests of all images of a subset, read where they are not known. Raises DataError."""
        self.get(subset)  # has compared the images by their digests, unless it need not
        return self._taken.get(subset) or self._take(self.get(subset), subset)

    def _fingerprint(self, subset: Subset) -> str:
        """Return the hash of all images of a subset. Raises DataError."""
        dataset = self.get(subset)
        if self.trusts_names(dataset):
            return fingerprint_of(dataset.ids, (f"unread\0{dataset.truth(index)}" for index in range(len(dataset))))
        return fingerprint_of(dataset.ids, self.digests(subset).digests)

    def verified(self, subset: Subset) -> Dataset:
        """Return a subset whose images are compared with their digests when they are used, as far as these are known.

        Raises DataError.
        """
        dataset = self.get(subset)
        if not isinstance(dataset, StoredDataset) or self.trusts_names(dataset):
            return dataset
        known = self.digests(subset).contents if self.compare else self.sources.manifest.known(dataset)
        return dataset.expecting(known)

    def trusts_names(self, dataset: Dataset) -> TypeGuard[StoredDataset]:
        """Return whether images are taken by their names and labels."""
        return self.sources.trust_names and isinstance(dataset, StoredDataset)

    def _take(self, dataset: Dataset, subset: Subset) -> ImageDigests:
        track = partial(self._track, subset=subset)
        if isinstance(dataset, StoredDataset):
            self._taken[subset] = self.sources.manifest.digests(dataset, track)
        else:
            count = len(dataset)
            pairs = track(count)(each(lambda index: (dataset.content(index), dataset.digest(index)), count))
            self._taken[subset] = ImageDigests(*map(list, zip(*pairs, strict=True)))
        return self._taken[subset]

    def _refuse_evaluation_images(self, dataset: Dataset, subset: Subset) -> None:
        evaluation = self.get("evaluation")
        names = set(evaluation.ids) if dataset.global_ids and evaluation.global_ids else set()
        contents: Sequence[str] = [""] * len(dataset)
        of_evaluation = set[str]()
        if not self.trusts_names(dataset) and not self.trusts_names(evaluation):
            contents = self._take(dataset, subset).contents
            of_evaluation = {*self.digests("evaluation").contents}
        same = [
            name
            for name, content in zip(dataset.ids, contents, strict=True)
            if name in names or content in of_evaluation
        ]
        if same:
            raise DataError(
                f"{self.label}: {len(same)} {_ADJECTIVES[subset]} images are evaluation images ({named(same)}): "
                f"name other images, as by `{subset}: {{root: FOLDER}}`, or leave "
                f"them out by `{subset}: exclude`"
            )

    def _track(self, count: int, subset: Subset) -> Along:
        title = f"{self.label}: reading {_ADJECTIVES[subset]} images"
        return lambda items: progress.track(items, title, "images", total=count, show=self.sources.show)

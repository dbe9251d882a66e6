"""The report of a check of a data folder, and what all checks share."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from splitbench.bench.utils import progress
from splitbench.datasets.base import Dataset, ImageError, Subset, named
from splitbench.datasets.storage.stored_images import StoredImages

SAMPLE = 64
"""How many images of each subset are decoded, unless all are."""


@dataclass(frozen=True)
class OfficialSize:
    """The size of a published dataset: images of each subset, and classes."""

    images: Mapping[Subset, int]
    classes: int


@dataclass(frozen=True)
class SubsetReport:
    """One subset of a dataset in a folder.

    Attributes:
        subset: Which subset.
        place: Its folder or file.
        facts: Sentences that describe it.
        differences: How it differs from the official subset.
        faults: What makes it unusable.
    """

    subset: Subset
    place: str
    facts: Sequence[str] = ()
    differences: Sequence[str] = ()
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class FolderReport:
    """The subsets in a folder; ``absent`` maps missing official subsets to their numbers of images."""

    name: str
    subsets: Sequence[SubsetReport]
    absent: Mapping[Subset, int]

    @property
    def usable(self) -> bool:
        """Whether sweeps can be run on these images."""
        return bool(self.subsets) and not any(subset.faults for subset in self.subsets)

    @property
    def complete(self) -> bool:
        """Whether this is the official dataset, whole."""
        return self.usable and not self.absent and not any(subset.differences for subset in self.subsets)

    @property
    def verdict(self) -> str:
        """Return the last line."""
        if not self.usable:
            return "not usable as it is: see the faults above"
        if not self.complete:
            evaluation = [report for report in self.subsets if report.subset == "evaluation" and not report.differences]
            what = (
                "all images to evaluate on are here, but not all to train on"
                if evaluation
                else "scores on these images do not compare with published ones"
            )
            return f"usable, but not all of {self.name}: {what}"
        return f"complete: {' and '.join(report.subset for report in self.subsets)} images of {self.name} are all here"

    def lines(self) -> list[str]:
        """Return the lines to print."""
        text = []
        for report in self.subsets:
            text.append(f"{report.subset}: {report.place}")
            text += [f"    {fact}" for fact in report.facts]
            text += [f"    not official: {difference}" for difference in report.differences]
            text += [f"    fault: {fault}" for fault in report.faults]
        text += [
            f"absent: {subset} images, of which {self.name} has {count:,}" for subset, count in self.absent.items()
        ]
        return [*text, self.verdict]


def total_size(images: StoredImages) -> tuple[int, list[str]]:
    """Return the bytes of all image files, and faults: files that are empty or inaccessible."""
    total = 0
    empty: list[str] = []
    inaccessible: list[str] = []
    with progress.bar(len(images), "checking files", unit="files", disable=len(images) < 20_000) as bar:
        for container, indices in images.by_container():
            names = [images.names[index] for index in indices]
            for name, size in zip(names, container.sizes(names), strict=True):
                total += max(size, 0)
                if size <= 0:
                    (inaccessible if size < 0 else empty).append(name)
                bar.update()
    counted = ((empty, "are empty"), (inaccessible, "cannot be accessed"))
    return total, [f"{len(names)} files {what}: {named(names)}" for names, what in counted if names]


def describe_layout(images: StoredImages, classes: int) -> str:
    """Return how labelled images are stored."""
    kinds = {container.path.suffix.removeprefix(".") for container in images.containers if container.path.is_file()}
    count = len(images.containers)
    if kinds:
        return f"{count:,} {' and '.join(sorted(kinds))} {'file' if count == 1 else 'files'}, read without unpacking"
    return "a folder per class" if count == classes > 1 else "one folder, its labels in a file beside it"


def decode_images(dataset: Dataset, full: bool) -> tuple[str, list[str]]:
    """Decode all images, or a sample that is always the same, and return a fact and faults."""
    count = len(dataset)
    indices: Iterable[int] = range(count)
    if not full and count > SAMPLE:
        indices = sorted(random.Random(0).sample(range(count), SAMPLE))
    indices, damaged = list(indices), []
    show = progress.silent if len(indices) <= SAMPLE else progress.bar
    for index in progress.track(indices, "decoding", "images", show=show):
        try:
            dataset.image(index)
        except ImageError as error:
            damaged.append(str(error))
    share = "all" if len(indices) == count else f"{len(indices):,}"
    faults = [f"{len(damaged):,} of {len(indices):,} images cannot be decoded: {damaged[0]}"] if damaged else []
    return f"{share} images decoded" + (f", {len(indices) - len(damaged):,} of them whole" if damaged else ""), faults


def format_size(count: int) -> str:
    """Format a number of bytes.

    >>> format_size(815_585_330)
    '815.6 MB'
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def format_range(counts: Iterable[int]) -> str:
    """Format the smallest and the largest count, as ``50`` or ``1 to 7``."""
    values = sorted(counts)
    return f"{values[0]:,}" if values[0] == values[-1] else f"{values[0]:,} to {values[-1]:,}"

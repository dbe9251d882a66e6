"""What a check of a data folder found, and what all checks share."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from splitbench.bench.utils import progress
from splitbench.datasets.base import Dataset, ImageError, Subset, named

SAMPLE = 64
"""How many images of each subset are decoded, unless all are."""


@dataclass(frozen=True)
class Found:
    """One subset of a dataset, or a file with one, at ``place``.

    ``facts`` describe it, ``lacks`` say how it differs from the official subset, ``faults`` what keeps it from use.
    """

    subset: Subset
    place: str
    facts: Sequence[str] = ()
    lacks: Sequence[str] = ()
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """All subsets found. ``absent`` tells of each official one that is not here at all how many images it has."""

    name: str
    subsets: Sequence[Found]
    absent: Mapping[Subset, int]

    @property
    def code(self) -> int:
        """The exit code: 0 complete, 1 usable but incomplete, 2 not usable."""
        if not self.subsets or any(found.faults for found in self.subsets):
            return 2
        return 1 if self.absent or any(found.lacks for found in self.subsets) else 0

    @property
    def verdict(self) -> str:
        """The last line."""
        if self.code == 2:
            return "not usable as it is: see the faults above"
        if self.code == 1:
            whole = [found for found in self.subsets if found.subset == "evaluation" and not found.lacks]
            what = (
                "all images to evaluate on are here, but not all to train on"
                if whole
                else "scores on these images do not compare with published ones"
            )
            return f"usable, but not all of {self.name}: {what}"
        return f"complete: {' and '.join(found.subset for found in self.subsets)} images of {self.name} are all here"

    def lines(self) -> list[str]:
        """For a terminal."""
        text = []
        for found in self.subsets:
            text.append(f"{found.subset}: {found.place}")
            text += [f"    {fact}" for fact in found.facts]
            text += [f"    not official: {lack}" for lack in found.lacks]
            text += [f"    fault: {fault}" for fault in found.faults]
        text += [
            f"absent: {subset} images, of which {self.name} has {count:,}" for subset, count in self.absent.items()
        ]
        return [*text, self.verdict]


def weighed(files: Sequence[Path]) -> tuple[int, list[str]]:
    """All files' bytes together, and what is wrong with them: those that are empty or cannot be looked at."""
    total, empty, gone = 0, [], []
    for file in progress.track(files, "looking at files", unit="files", disable=len(files) < 20_000):
        try:
            size = file.stat().st_size
        except OSError:
            gone.append(file.name)
            continue
        total += size
        if not size:
            empty.append(file.name)
    counted = ((empty, "are empty"), (gone, "cannot be looked at"))
    return total, [f"{len(files)} files {what}: {named(files)}" for files, what in counted if files]


def decoded(dataset: Dataset, full: bool) -> tuple[str, list[str]]:
    """Decode a sample of the images, the same every time, or all of them; a fact and the faults."""
    count = len(dataset)
    indices: Iterable[int] = range(count)
    if not full and count > SAMPLE:
        indices = sorted(random.Random(0).sample(range(count), SAMPLE))
    indices, damaged = list(indices), []
    for index in progress.track(indices, "decoding", unit="images", disable=len(indices) <= SAMPLE):
        try:
            dataset.image(index)
        except ImageError as error:
            damaged.append(str(error))
    share = "all" if len(indices) == count else f"{len(indices):,}"
    faults = [f"{len(damaged):,} of {len(indices):,} images cannot be decoded: {damaged[0]}"] if damaged else []
    return f"{share} images decoded" + (f", {len(indices) - len(damaged):,} of them whole" if damaged else ""), faults


def size(count: int) -> str:
    """Bytes for people.

    >>> size(815_585_330)
    '815.6 MB'
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def spread(counts: Iterable[int]) -> str:
    """The least and the most, as ``50`` or ``1 to 7``."""
    values = sorted(counts)
    return f"{values[0]:,}" if values[0] == values[-1] else f"{values[0]:,} to {values[-1]:,}"

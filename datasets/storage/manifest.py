"""ImageDigests of images, kept from run to run: what did not change by size, time and inode is not read again.

Each time a sample is read all the same, and where one image is not what the manifest says, all are read again; a few
images are simply read. Every image is read once for both of its digests, container by container, by several threads.
"""

import random
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.base import ImageError
from splitbench.datasets.storage.cache import Cache, CacheWarning, packed
from splitbench.datasets.storage.digests import ContainerDigests, ImageDigests, TakenDigests, split_names
from splitbench.datasets.storage.stored_images import Container, StoredDataset, short_truth

SAMPLE = 256
"""How many images are read although nothing says that they changed; a dataset of no more is always read."""
_KIND = "digests"
_AT_ONCE = 32  # images that a thread is given at once
_THREADS = 16  # more than cores: on a network disk, threads wait
_LOCAL_SECONDS = 5e-5  # what a look at a file takes at most where it waits for no network
_STORE_EVERY = 10.0  # seconds of reading that a killed run loses

Along = Callable[[Iterable[tuple[str, str]]], Iterable[tuple[str, str]]]
"""Passes on what is read, and may show how much it was."""


@dataclass(frozen=True)
class Manifest:
    """The digests that a cache holds.

    Attributes:
        cache: Where they are kept.
        reread: Whether to take all digests anew.
    """

    cache: Cache = field(default_factory=Cache)
    reread: bool = False

    def digests(self, dataset: StoredDataset, along: Callable[[int], Along]) -> ImageDigests:
        """Return the digests of all images.

        Args:
            dataset: The images.
            along: Given the number of images that have to be read, returns what follows the reading.

        Raises:
            ImageError: An image cannot be read.
        """
        groups, taken = _groups(dataset), TakenDigests(len(dataset))
        if len(dataset) > SAMPLE and not self.reread:
            self._fill(taken, groups)
            if changed := _changed(dataset, taken):
                warnings.warn(
                    f"{changed} has changed, though neither its size nor its time did: all {len(dataset):,} images "
                    "are read again",
                    CacheWarning,
                    stacklevel=1,
                )
                taken = TakenDigests(len(dataset))
        missing = [(group, group.indices[~taken.known[group.indices]]) for group in groups]
        self._read(dataset, taken, [(group, indices) for group, indices in missing if len(indices)], along)
        return taken.columns()

    def known(self, dataset: StoredDataset) -> Sequence[str]:
        """Return the contents of all images as far as they are known without reading; empty texts for the others."""
        taken = TakenDigests(len(dataset))
        self._fill(taken, _groups(dataset))
        return taken.columns().contents

    def _fill(self, taken: TakenDigests, groups: Iterable["_Group"]) -> None:
        for group in groups:
            if (entry := self._load(group.container)) is not None:
                taken.enter(*group.unchanged(entry))

    def _read(
        self,
        dataset: StoredDataset,
        taken: TakenDigests,
        missing: Sequence[tuple["_Group", NDArray[np.int64]]],
        along: Callable[[int], Along],
    ) -> None:
        count = sum(len(indices) for _, indices in missing)
        results = iter(along(count)(_read_all(dataset, [int(i) for _, indices in missing for i in indices])))
        stored = time.monotonic()
        for group, indices in missing:
            try:
                for index in indices.tolist():
                    taken.enter_one(index, *next(results))
                    if time.monotonic() > stored + _STORE_EVERY:
                        self._store(group, taken)
                        stored = time.monotonic()
            finally:
                self._store(group, taken)
        next(results, None)  # ends what follows the reading

    def _load(self, container: Container) -> ContainerDigests | None:
        return ContainerDigests.of_arrays(self.cache.load(_KIND, container.path))

    def _store(self, group: "_Group", taken: TakenDigests) -> None:
        if len(taken.known) > SAMPLE and taken.known[group.indices].any():
            entry = group.entry(taken).with_others_of(self._load(group.container))
            self.cache.store(_KIND, group.container.path, entry.arrays())


class _Group:
    """The images of one container, as they were before any was read."""

    def __init__(self, container: Container, indices: NDArray[np.int64], dataset: StoredDataset) -> None:
        self.container, self.indices = container, indices
        rows = indices.tolist()
        names = [dataset.stored.names[i] for i in rows]
        self.texts = packed(names + [short_truth(dataset.truth(i)) for i in rows])
        self.identities = container.identities(names)

    def unchanged(self, entry: ContainerDigests) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return the indices of images that are the same as when this entry was stored, and their digests."""
        rows = entry.rows_of(self.texts, len(self.indices))
        same = (entry.identities[rows] == self.identities).all(1) & (self.identities[:, 0] >= 0) & (rows >= 0)
        return self.indices[same], entry.values[rows[same]]

    def entry(self, taken: TakenDigests) -> ContainerDigests:
        """Return what is known of these images."""
        rows = np.flatnonzero(taken.known[self.indices])
        texts = [column[row] for column in split_names(self.texts, len(self.indices)) for row in rows.tolist()]
        return ContainerDigests(packed(texts), self.identities[rows], taken.values[self.indices[rows]])


def _groups(dataset: StoredDataset) -> list[_Group]:
    """Return all images by container, as they are now.

    On a local disk, threads would only wait for one another; on a network disk they wait for it together.
    """
    containers = [*dataset.stored.by_container()]
    begun = time.monotonic()
    groups = [_Group(container, indices, dataset) for container, indices in containers[:1]]
    slow = time.monotonic() - begun > _LOCAL_SECONDS * sum(len(group.indices) for group in groups)
    with ThreadPoolExecutor(_THREADS if slow else 1) as pool:
        return [*groups, *pool.map(lambda pair: _Group(pair[0], pair[1], dataset), containers[1:])]


def _changed(dataset: StoredDataset, taken: TakenDigests) -> str:
    """Return where an image lies that is not what its digests say, by a sample; an empty text for none."""
    known = np.flatnonzero(taken.known).tolist()
    sample = random.SystemRandom().sample(known, min(SAMPLE, len(known)))
    columns = taken.columns()
    for index, digests in zip(sample, _read_all(dataset, sample), strict=True):
        if digests != (columns.contents[index], columns.digests[index]):
            return dataset.stored.place(index)
    return ""


def _read_all(dataset: StoredDataset, indices: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Yield the digests of images, in the order of their indices, read by several threads."""

    def read(chunk: Sequence[int]) -> list[tuple[str, str]]:
        return [dataset.digests_of(index, read_for_digest(dataset, index)) for index in chunk]

    chunks = [indices[start : start + _AT_ONCE] for start in range(0, len(indices), _AT_ONCE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        pending: deque[Future[list[tuple[str, str]]]] = deque()
        try:
            for chunk in chunks:
                pending.append(pool.submit(read, chunk))
                if len(pending) > 2 * _THREADS:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def read_for_digest(dataset: StoredDataset, index: int) -> bytes:
    """Return an image file's bytes. Raises ImageError."""
    try:
        return dataset.stored.read(index)
    except OSError as error:
        raise ImageError(f"{dataset.stored.place(index)} cannot be read ({error.strerror or error})") from None

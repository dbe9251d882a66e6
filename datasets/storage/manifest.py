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
from splitbench.datasets.storage.cache import Cache, CacheWarning, packed, unpacked
from splitbench.datasets.storage.stored_images import Container, StoredDataset, short_truth

SAMPLE = 256
"""How many images are read although nothing says that they changed; a dataset of no more is always read."""
_KIND = "digests"
_AT_ONCE = 32  # images that a thread is given at once
_THREADS = 16  # more than cores: on a network disk, threads wait
_STORE_EVERY = 10.0  # seconds of reading that a killed run loses

Along = Callable[[Iterable[tuple[str, str]]], Iterable[tuple[str, str]]]
"""Passes on what is read, and may show how much it was."""


@dataclass
class ImageDigests:
    """Of all images of a dataset, in its order: of the contents alone, and of contents and targets."""

    contents: list[str]
    digests: list[str]


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
        groups = _groups(dataset)
        found = ImageDigests([""] * len(dataset), [""] * len(dataset))
        if len(dataset) > SAMPLE and not self.reread:
            for group in groups:
                group.fill(found, _ContainerDigests.load(self.cache, group.container))
            if changed := _changed(dataset, found):
                warnings.warn(
                    f"{changed} has changed, though neither its size nor its time did: all {len(dataset):,} images "
                    "are read again",
                    CacheWarning,
                    stacklevel=1,
                )
                found = ImageDigests([""] * len(dataset), [""] * len(dataset))
        missing = [(group, group.missing(found)) for group in groups]
        self._read(dataset, found, [(group, indices) for group, indices in missing if len(indices)], along)
        return found

    def known(self, dataset: StoredDataset) -> list[str]:
        """Return the contents of all images as far as they are known without reading; empty texts for the others."""
        found = ImageDigests([""] * len(dataset), [""] * len(dataset))
        for group in _groups(dataset):
            group.fill(found, _ContainerDigests.load(self.cache, group.container))
        return found.contents

    def _read(
        self,
        dataset: StoredDataset,
        found: ImageDigests,
        missing: Sequence[tuple["_Group", NDArray[np.int64]]],
        along: Callable[[int], Along],
    ) -> None:
        count = sum(len(indices) for _, indices in missing)
        results = iter(along(count)(_read_all(dataset, [int(i) for _, indices in missing for i in indices])))
        stored = time.monotonic()
        for group, indices in missing:
            try:
                for index in indices:
                    found.contents[index], found.digests[index] = next(results)
                    if time.monotonic() > stored + _STORE_EVERY:
                        self._store(group, found)
                        stored = time.monotonic()
            finally:
                self._store(group, found)
        next(results, None)  # ends what follows the reading

    def _store(self, group: "_Group", found: ImageDigests) -> None:
        if len(found.contents) > SAMPLE:
            before = _ContainerDigests.load(self.cache, group.container)
            group.entry(found, before).store(self.cache, group.container)


def _groups(dataset: StoredDataset) -> "list[_Group]":
    """Return all images by container, as they are now; on a network disk, threads wait for it together."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return [*pool.map(lambda group: _Group(group[0], group[1], dataset), dataset.stored.by_container())]


class _Group:
    """The images of one container, as they were before any was read."""

    def __init__(self, container: Container, indices: NDArray[np.int64], dataset: StoredDataset) -> None:
        self.container, self.indices = container, indices
        names, rows = dataset.stored.names, indices.tolist()
        self.names = [names[i] for i in rows]
        self.truths = [short_truth(dataset.truth(i)) for i in rows]
        self.identities = container.identities(self.names)

    def fill(self, found: ImageDigests, entry: "_ContainerDigests | None") -> None:
        """Enter the digests of images that are the same as when this entry was stored."""
        if entry is None:
            return
        rows: Sequence[int] = range(len(entry.names))
        if entry.names != self.names:
            at = {name: row for row, name in enumerate(entry.names)}
            rows = [at.get(name, -1) for name in self.names]
        same = (entry.identities[rows] == self.identities).all(1) & (self.identities[:, 0] >= 0)
        for index, row, truth, fits in zip(self.indices.tolist(), rows, self.truths, same.tolist(), strict=True):
            if fits and row >= 0 and entry.truths[row] == truth:
                found.contents[index], found.digests[index] = entry.contents[row], entry.digests[row]

    def missing(self, found: ImageDigests) -> NDArray[np.int64]:
        """Return the indices of images whose digests are not known."""
        return np.array([index for index in self.indices.tolist() if not found.digests[index]], np.int64)

    def entry(self, found: ImageDigests, before: "_ContainerDigests | None") -> "_ContainerDigests":
        """Return what is to be stored: what is known of these images, and what was stored of others."""
        columns = self.names, self.identities.tolist(), self.truths, self.indices.tolist()
        rows = {
            name: (identity, truth, found.contents[index], found.digests[index])
            for name, identity, truth, index in zip(*columns, strict=True)
            if found.digests[index]
        }
        if before is not None:
            others = zip(before.identities.tolist(), before.truths, before.contents, before.digests, strict=True)
            rows |= {name: row for name, row in zip(before.names, others, strict=True) if name not in rows}
        identities, *texts = zip(*rows.values(), strict=True) if rows else ((), (), (), ())
        return _ContainerDigests([*rows], np.array(identities, np.int64).reshape(-1, 3), *map(list, texts))


@dataclass(frozen=True)
class _ContainerDigests:
    """What the cache holds of one container: of each image its name, identity, truth and digests."""

    names: list[str]
    identities: NDArray[np.int64]
    truths: list[str]
    contents: list[str]
    digests: list[str]

    @classmethod
    def load(cls, cache: Cache, container: Container) -> "_ContainerDigests | None":
        """Return a container's entry; None where it is missing or damaged."""
        arrays = cache.load(_KIND, container.path)
        if arrays is None:
            return None
        try:
            numbers = arrays["numbers"].astype(np.int64)
            count = len(numbers)
            texts = unpacked(arrays["texts"])
            if numbers.shape != (count, 5) or len(texts) != 2 * count:
                return None
            return cls(texts[:count], numbers[:, :3], texts[count:], _hex(numbers[:, 3]), _hex(numbers[:, 4]))
        except (KeyError, ValueError, TypeError):
            return None

    def store(self, cache: Cache, container: Container) -> None:
        """Store the entry in place of the one before: two arrays, since each takes its time to load."""
        if self.names:
            digests = [
                np.array([int(digest, 16) for digest in column], np.uint64).view(np.int64)
                for column in (self.contents, self.digests)
            ]
            numbers = np.column_stack([self.identities, *digests])
            cache.store(_KIND, container.path, {"texts": packed(self.names + self.truths), "numbers": numbers})


def _hex(values: NDArray[np.int64]) -> list[str]:
    text = values.astype(">i8").tobytes().hex()
    return [text[i : i + 16] for i in range(0, len(text), 16)]


def _changed(dataset: StoredDataset, found: ImageDigests) -> str:
    """Return where an image lies that is not what its digests say, by a sample; an empty text for none."""
    known = [index for index, digest in enumerate(found.digests) if digest]
    sample = random.SystemRandom().sample(known, min(SAMPLE, len(known)))
    for index, digests in zip(sample, _read_all(dataset, sample), strict=True):
        if digests != (found.contents[index], found.digests[index]):
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

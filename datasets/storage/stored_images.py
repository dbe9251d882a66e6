"""Where the bytes of images lie: in containers, such as folders and archives, each image by its name there."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.base import DataError, Dataset, ImageError
from splitbench.datasets.formats.decoding import PASSING

_LONGEST_TRUTH = 16


class ChangedError(DataError):
    """An image is not the one that its digest was taken of."""


class Container(Protocol):
    """A file or folder that images lie in.

    ``sequential``: whether images are read faster in the order of their positions.
    """

    sequential: ClassVar[bool]

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    def read(self, name: str) -> bytes:
        """Return an image file's bytes. Raises OSError, or ImageError where the container is damaged."""
        ...

    def identities(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return what changes where an image does, without reading it: size, mtime in ns, inode, (N, 3); -1: missing.

        Of a file that holds several images, they are the file's.
        """
        ...

    def sizes(self, names: Sequence[str]) -> list[int]:
        """Return how many bytes each image has; -1 where it cannot be accessed."""
        ...

    def positions(self, names: Sequence[str]) -> Sequence[int]:
        """Return numbers in whose order the images are read fastest."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder of image files."""

    path: Path
    sequential: ClassVar[bool] = False

    def read(self, name: str) -> bytes:
        """Return the file's bytes."""
        with open(f"{self.path}/{name}", "rb") as stream:  # noqa: PTH123 - a Path per image takes longer
            return stream.read()

    def identities(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Size, mtime and inode of each file."""
        try:
            folder = os.open(self.path, os.O_RDONLY)  # from here, a name is looked up in a third less time
        except OSError:
            return np.full((len(names), 3), -1, np.int64)
        try:
            states = [os.stat(name, dir_fd=folder) for name in names]
            return np.array([(s.st_size, s.st_mtime_ns, s.st_ino) for s in states], np.int64).reshape(-1, 3)
        except OSError:  # some are missing
            return np.array([identity(name, folder) for name in names], np.int64).reshape(-1, 3)
        finally:
            os.close(folder)

    def sizes(self, names: Sequence[str]) -> list[int]:
        """Of each file."""
        return [size for size, *_ in self.identities(names).tolist()]

    def positions(self, names: Sequence[str]) -> Sequence[int]:
        """Any order is as good."""
        return range(len(names))


def identity(path: Path | str, folder: int | None = None) -> tuple[int, int, int]:
    """Return what changes where a file does: size, mtime in ns and inode; -1 where it is missing.

    Args:
        path: The file.
        folder: A descriptor of the folder that a relative path begins in; None for the current one.
    """
    try:
        about = os.stat(path, dir_fd=folder)
    except OSError:
        return -1, -1, -1
    return about.st_size, about.st_mtime_ns, about.st_ino


@dataclass(frozen=True)
class StoredImages:
    """Images in containers.

    Attributes:
        containers: The containers.
        numbers: The index in ``containers`` of each image's, (N,).
        names: Each image's name in its container.
    """

    containers: Sequence[Container]
    numbers: NDArray[np.int32]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of_files(cls, files: Sequence[tuple[str, Sequence[str]]]) -> "StoredImages":
        """Make one of folders with the names of files in them; a folder may come again."""
        numbers: dict[str, int] = {}
        each = [numbers.setdefault(folder, len(numbers)) for folder, _ in files]
        return cls(
            [Folder(Path(folder)) for folder in numbers],
            np.repeat(np.array(each, np.int32), [len(names) for _, names in files]),
            [name for _, names in files for name in names],
        )

    def take(self, indices: Sequence[int]) -> "StoredImages":
        """Return some of the images."""
        return replace(
            self, numbers=self.numbers[np.asarray(indices, np.int64)], names=[self.names[i] for i in indices]
        )

    def place(self, index: int) -> str:
        """Return the path of an image, for messages."""
        return f"{self.containers[int(self.numbers[index])].path}/{self.names[index]}"

    def read(self, index: int) -> bytes:
        """Return an image file's bytes.

        Raises:
            ImageError: It cannot be read.
            OSError: Memory or files ran out: another try may succeed.
        """
        try:
            return self.containers[int(self.numbers[index])].read(self.names[index])
        except OSError as error:
            if error.errno in PASSING:
                raise
            raise ImageError(f"{self.place(index)} cannot be read ({error.strerror or error})") from None

    def by_container(self) -> Iterable[tuple[Container, NDArray[np.int64]]]:
        """Yield each container that holds images with their indices, in the order in which they are read fastest."""
        order = np.argsort(self.numbers, kind="stable")
        starts = np.searchsorted(self.numbers[order], np.arange(len(self.containers) + 1))
        for number, container in enumerate(self.containers):
            indices = order[starts[number] : starts[number + 1]]
            if len(indices):
                positions = container.positions([self.names[i] for i in indices])
                yield container, indices[np.argsort(np.asarray(positions), kind="stable")]


@runtime_checkable
class StoredDataset(Dataset, Protocol):
    """A dataset of stored images: its digests need not be taken again where no file changed."""

    @property
    def stored(self) -> StoredImages:
        """Where the images lie."""
        ...

    def truth(self, index: int) -> str:
        """Return a text of all that the digest follows from but the image file's bytes."""
        ...

    def digests_of(self, index: int, data: bytes) -> tuple[str, str]:
        """Return ``content(index)`` and ``digest(index)`` by the bytes of the image file."""
        ...

    def expecting(self, contents: Sequence[str]) -> "StoredDataset":
        """Return the same dataset, whose images must have these contents; an empty text stands for any."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoredBase(ABC):
    """What datasets of stored images share.

    Attributes:
        stored: Where the images lie.
        expected: The contents that they must have; empty where nothing is known.
    """

    stored: StoredImages
    expected: Sequence[str] = ()

    @abstractmethod
    def truth(self, index: int) -> str:
        """Return what the digest follows from but the bytes."""

    @abstractmethod
    def digests_of(self, index: int, data: bytes) -> tuple[str, str]:
        """Of the bytes alone, and of the bytes and the truth."""

    def content(self, index: int) -> str:
        """Of the file's bytes."""
        return content_digest(self.stored.read(index))

    def digest(self, index: int) -> str:
        """Of the file's bytes and its annotations."""
        return self.digests_of(index, self.stored.read(index))[1]

    def expecting(self, contents: Sequence[str]) -> Any:
        """Return the same dataset, whose images must have these contents."""
        return replace(self, expected=contents)

    def read_checked(self, index: int) -> bytes:
        """Return an image file's bytes. Raises ImageError, or ChangedError where they are not what was expected."""
        data = self.stored.read(index)
        if self.expected and self.expected[index] not in ("", content_digest(data)):
            raise ChangedError(
                f"{self.stored.place(index)} has changed since its digest was taken: run again with --reread, which "
                "reads all images anew"
            )
        return data


def reading_order(dataset: Dataset) -> list[int] | None:
    """Return the indices of all images in the order in which they are read fastest; None where any is as good."""
    if not isinstance(dataset, StoredDataset) or not any(part.sequential for part in dataset.stored.containers):
        return None
    return [int(index) for _, indices in dataset.stored.by_container() for index in indices]


def order_digest(dataset: Dataset) -> str:
    """Return a digest of the order in which the images are read; empty for the dataset's."""
    order = reading_order(dataset)
    in_order = order is None or order == list(range(len(dataset)))
    return "" if in_order else content_digest(np.array(order, np.int64).tobytes())


def content_digest(data: bytes) -> str:
    """Return the digest of an image file's bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def short_truth(text: str) -> str:
    """Return a truth as the manifest keeps it."""
    return text if len(text) <= _LONGEST_TRUTH else hashlib.sha256(text.encode()).hexdigest()[:_LONGEST_TRUTH]

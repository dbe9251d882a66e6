"""Digests of many images, eight bytes each, and of what a cache holds of a container: compared all at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.storage.cache import packed, unpacked

_HEX = 16  # digits of a digest


class DigestArray(Sequence[str]):
    """Digests of 64 bits, 16 hexadecimal digits each; an empty text where one is not known.

    Attributes:
        values: The digests as numbers, (N,).
        known: Whether each is known, (N,).
    """

    def __init__(self, values: NDArray[np.uint64], known: NDArray[np.bool_]) -> None:
        self.values, self.known = values, known

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "DigestArray": ...
    def __getitem__(self, index: int | slice) -> "str | DigestArray":
        if isinstance(index, slice):
            return DigestArray(self.values[index], self.known[index])
        return f"{int(self.values[index]):0{_HEX}x}" if self.known[index] else ""

    def __iter__(self) -> Iterator[str]:
        text = self.values.astype(">u8").tobytes().hex()
        texts = (text[start : start + _HEX] for start in range(0, len(text), _HEX))
        return texts if self.known.all() else (t if k else "" for t, k in zip(texts, self.known.tolist(), strict=True))


@dataclass
class ImageDigests:
    """Of all images of a dataset, in its order: of the contents alone, and of contents and targets."""

    contents: Sequence[str]
    digests: Sequence[str]


class TakenDigests:
    """The digests of a dataset's images as they become known."""

    def __init__(self, images: int) -> None:
        self.known = np.zeros(images, bool)
        self.values = np.zeros((images, 2), np.uint64)

    def enter(self, indices: NDArray[np.int64], values: NDArray[np.uint64]) -> None:
        """Enter the digests of some images, (N, 2)."""
        self.values[indices], self.known[indices] = values, True

    def enter_one(self, index: int, content: str, digest: str) -> None:
        """Enter both digests of an image."""
        self.values[index], self.known[index] = (int(content, _HEX), int(digest, _HEX)), True

    def columns(self) -> ImageDigests:
        """Return them as texts."""
        return ImageDigests(*(DigestArray(self.values[:, column], self.known) for column in (0, 1)))


@dataclass(frozen=True)
class ContainerDigests:
    """What is kept of a container: of each image its name, truth, identity and digests.

    Attributes:
        texts: All names, then all truths, packed.
        identities: Size, mtime and inode, (N, 3).
        values: Digests of the contents alone, and of contents and targets, (N, 2).
    """

    texts: NDArray[np.uint8]
    identities: NDArray[np.int64]
    values: NDArray[np.uint64]

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any] | None) -> "ContainerDigests | None":
        """Return what :meth:`arrays` gave; None where it is missing or damaged."""
        if arrays is None:
            return None
        try:
            texts, numbers = arrays["texts"].astype(np.uint8), arrays["numbers"].astype(np.int64)
            whole = numbers.shape == (len(numbers), 5) and np.count_nonzero(texts == 0) == 2 * len(numbers) - 1
            return cls(texts, numbers[:, :3], numbers[:, 3:].view(np.uint64)) if whole else None
        except (KeyError, ValueError, TypeError):
            return None

    def arrays(self) -> dict[str, Any]:
        """Return what the cache stores: two arrays, since each takes its time to load."""
        return {"texts": self.texts, "numbers": np.column_stack([self.identities, self.values.view(np.int64)])}

    def rows_of(self, texts: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
        """Return in which row each of ``count`` images stands; -1 for those that are missing, or have another truth."""
        if np.array_equal(self.texts, texts):
            return np.arange(count)
        at = {image: row for row, image in enumerate(zip(*split_names(self.texts, len(self.values)), strict=True))}
        return np.array([at.get(image, -1) for image in zip(*split_names(texts, count), strict=True)], np.int64)

    def with_others_of(self, before: "ContainerDigests | None") -> "ContainerDigests":
        """Return these images and those that only an earlier state has."""
        if before is None:
            return self
        names, truths = split_names(self.texts, len(self.values))
        earlier_names, earlier_truths = split_names(before.texts, len(before.values))
        here = {*names}
        rows = [row for row, name in enumerate(earlier_names) if name not in here]
        names += [earlier_names[row] for row in rows]
        truths += [earlier_truths[row] for row in rows]
        return ContainerDigests(
            packed(names + truths),
            np.concatenate([self.identities, before.identities[rows]]),
            np.concatenate([self.values, before.values[rows]]),
        )


def split_names(texts: NDArray[np.uint8], count: int) -> tuple[list[str], list[str]]:
    """Return the names and the truths of ``count`` images, which were packed one after the other."""
    columns = unpacked(texts)
    return columns[:count], columns[count:]

"""Find the images in a folder, at any depth, and count skipped files."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from splitbench.datasets.base import named

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)  # fmt: skip
"""Endings of images, in lower case: those that torchvision and timm read, ``.jfif`` and ``.gif``."""

_ENDINGS = tuple(SUFFIXES)

FolderOfImages = tuple[str, list[str]]
"""A folder, and the names of images in it."""


@dataclass(frozen=True)
class PassedOver:
    """Files that were taken for no pictures: hidden ones, those without an ending, and others by their ending."""

    hidden: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    others: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """For a message: ``2 hidden (._a.png, .DS_Store), 1 without an ending (scan), 3 .txt``; empty for none."""
        texts = [
            f"{len(files):,} {what} ({named(files)})"
            for files, what in ((self.hidden, "hidden"), (self.bare, "without an ending"))
            if files
        ]
        return ", ".join([*texts, *(f"{count:,} {ending}" for ending, count in sorted(self.others.items()))])

    @classmethod
    def of(cls, names: Iterable[str]) -> "PassedOver":
        """Sort the names of files into the three kinds."""
        every = sorted(names)
        hidden = tuple(name for name in every if name.startswith("."))
        visible = [name for name in every if not name.startswith(".")]
        bare = tuple(name for name in visible if not Path(name).suffix)
        return cls(hidden, bare, Counter(Path(name).suffix.lower() for name in visible if Path(name).suffix))


def is_image(name: str) -> bool:
    """Return whether a file is an image by its name; hidden ones are not, as macOS leaves ``._a.png``."""
    return name.lower().endswith(_ENDINGS) and not name.startswith(".")


def list_images(folder: Path, deep: bool = True) -> tuple[list[FolderOfImages], list[str]]:
    """Find the images in a folder, in the order of their paths.

    Args:
        folder: where to look. Links to folders are followed, as torchvision does.
        deep: look into its subfolders, too, but for hidden ones.

    Returns:
        Each folder that holds images, with their names, and the names of files that are none.
    """
    found, others = [], []
    for place, names in _files(folder, deep):
        images = sorted(filter(is_image, names))
        if images:
            found.append((place, images))
        if len(images) < len(names):
            others += [name for name in names if not is_image(name)]
    return sorted(found), others


def has_images(folder: Path, deep: bool = True) -> bool:
    """Return whether there is an image in the folder, at any depth if ``deep``; reads no further than to the first."""
    with suppress(OSError), os.scandir(folder) as entries:
        if any(is_image(entry.name) and not entry.is_dir() for entry in entries):
            return True
    return deep and any(any(map(is_image, names)) for _, names in _files(folder, deep))


def _files(folder: Path, deep: bool) -> Iterator[tuple[str, list[str]]]:
    """Every folder with the names of its files. Folders that a link leads back to are visited once."""
    seen, waiting = set[str](), [str(folder)]
    while waiting:
        place = waiting.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        folders, files = _entries(place)
        yield place, files
        if deep:
            waiting += [os.path.join(place, name) for name in sorted(folders, reverse=True) if name[0] != "."]  # noqa: PTH118


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of folders in one and those of files, as os.walk does in twice the time; none if unreadable."""
    folders: list[str] = []
    files: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            (folders if entry.is_dir() else files).append(entry.name)
    return folders, files


def unique_names(folders: Sequence[FolderOfImages], root: str) -> list[str]:
    """Name each file: by its stem; where stems repeat, with the folder; then by the whole path below ``root``.

    Args:
        folders: Folders with the names of files in them; a folder may come again.
        root: The folder that they lie below.
    """
    stems = [_stem(name) for _, names in folders for name in names]
    count = len(stems)
    if len({*stems}) == count:
        return stems
    short = [f"{os.path.basename(folder)}/{_stem(name)}" for folder, names in folders for name in names]  # noqa: PTH119
    if len({*short}) == count:
        return short
    paths = [Path(os.path.relpath(f"{folder}/{name}", root)) for folder, names in folders for name in names]
    without = [path.with_suffix("").as_posix() for path in paths]
    return without if len({*without}) == count else [path.as_posix() for path in paths]


def _stem(name: str) -> str:
    """Return what ``Path(name).stem`` does, in a tenth of the time: there are a million names."""
    return name.rpartition(".")[0] or name

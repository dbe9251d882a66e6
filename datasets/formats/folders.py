"""Find the images in a folder, at any depth, and count skipped files."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from splitbench.datasets.base import named

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)  # fmt: skip
"""Endings of images, in lower case: those that torchvision and timm read, ``.jfif`` and ``.gif``."""


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
    """Return whether a file is an image by its name; hidden ones are not: macOS leaves ``._a.png`` beside ``a.png``."""
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def list_images(folder: Path, deep: bool = True) -> tuple[list[Path], list[str]]:
    """Find the images in a folder, in the order of their paths.

    Args:
        folder: where to look. Links to folders are followed, as torchvision does.
        deep: look into its subfolders, too, but for hidden ones.

    Returns:
        The images, and the names of files that are none.
    """
    images, others = [], []
    for place, name in _files(folder, deep):
        if is_image(name):
            images.append((place, name))
        else:
            others.append(name)
    # Folder and name sort as whole paths do; comparing whole paths takes twice as long.
    return [Path(place, name) for place, name in sorted(images)], others


def has_images(folder: Path) -> bool:
    """Return whether there is an image in the folder, at any depth."""
    return any(is_image(name) for _, name in _files(folder, deep=True))


def _files(folder: Path, deep: bool) -> Iterator[tuple[str, str]]:
    """Folder and name of every file. Folders that a link leads back to are visited once."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if not deep or real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from ((place, name) for name in files)
        seen.add(real)


def unique_names(files: Sequence[Path], root: Path) -> list[str]:
    """Name each file: by its stem; where stems repeat, with the folder; then by the whole path below ``root``."""
    stems = [file.stem for file in files]
    if len({*stems}) == len(files):
        return stems
    short = [f"{file.parent.name}/{stem}" for file, stem in zip(files, stems, strict=True)]
    if len({*short}) == len(files):
        return short
    paths = [Path(os.path.relpath(file, root)) for file in files]
    without = [path.with_suffix("").as_posix() for path in paths]
    return without if len({*without}) == len(files) else [path.as_posix() for path in paths]

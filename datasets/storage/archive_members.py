"""What archives of image files have in common, whatever their format."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.base import DataError
from splitbench.datasets.storage.stored_images import identity


class Member(Protocol):
    """A file in an archive: where it begins, and how many bytes it has when unpacked."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102


M = TypeVar("M", bound=Member)


@dataclass(frozen=True)
class MemberArchive(Generic[M]):
    """An archive whose files are listed.

    Attributes:
        path: The archive.
        members: Its files by their names.
    """

    path: Path
    members: dict[str, M]

    def identities(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the archive's identity for each name."""
        return np.tile(np.array(identity(self.path), np.int64), (len(names), 1))

    def sizes(self, names: Sequence[str]) -> list[int]:
        """Return the bytes of each file, unpacked."""
        return [self.members[name].size for name in names]

    def positions(self, names: Sequence[str]) -> Sequence[int]:
        """Return where each file begins: files are read fastest in this order."""
        return [self.members[name].offset for name in names]


def check_member_name(path: Path, name: str) -> None:
    """Refuse names that lead out of an archive. Raises DataError."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
        raise DataError(f"{path} holds {name!r}, a path outside of it, as no archive of this dataset does: replace it")

"""Images in tar archives, read where they lie; nothing is unpacked.

An archive of archives (ImageNet's training images: a tar per class in one tar) is one archive.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, ClassVar, NamedTuple

from splitbench.datasets.base import DataError, ImageError
from splitbench.datasets.storage.archive_members import MemberArchive, check_member_name

_BLOCK = tarfile.BLOCKSIZE


class TarMember(NamedTuple):
    """A file in the archive: where its bytes begin, and how many there are."""

    offset: int
    size: int


@dataclass(frozen=True)
class TarImages(MemberArchive[TarMember]):
    """A tar archive that is not compressed.

    Attributes:
        path: The archive.
        members: Its files by their names; those of an archive in it, ``n01440764.tar``, begin with that one's name.
    """

    sequential: ClassVar[bool] = True

    @classmethod
    def open(cls, path: Path) -> "TarImages":
        """List an archive, which takes as long as it has files. Raises DataError for one that is damaged."""
        try:
            with path.open("rb") as stream:
                return cls(path, dict(_files(path, stream, 0, "")))
        except (tarfile.TarError, OSError) as error:
            raise DataError(f"{path} is no whole tar archive ({error}): is it still being copied?") from None

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        member = self.members[name]
        with self.path.open("rb", buffering=0) as stream:
            data = os.pread(stream.fileno(), member.size, member.offset)
        if len(data) != member.size:
            raise ImageError(f"{self.path} is cut off: {name} is not whole")
        return data


def _files(path: Path, stream: BinaryIO, start: int, prefix: str) -> Iterator[tuple[str, TarMember]]:
    """Yield the files of the archive that begins at ``start``."""
    stream.seek(start)
    end = start
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            check_member_name(path, member.name)
            end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
            if member.isreg() and not member.issparse():
                name = prefix + str(PurePosixPath(member.name))
                if not prefix and name.endswith(".tar"):
                    yield from _files(path, stream, member.offset_data, f"{name}/")
                else:
                    yield name, TarMember(member.offset_data, member.size)
            tar.members = []  # type: ignore[attr-defined]  # they are kept otherwise
    stream.seek(end)
    if stream.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("it is cut off: its end is missing")

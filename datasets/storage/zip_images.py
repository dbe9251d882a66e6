"""Images in a zip archive, read where they lie, by any number of threads; every one is checked by its CRC-32."""

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from splitbench.datasets.base import DataError, ImageError
from splitbench.datasets.storage.archive_members import MemberArchive, check_member_name

_LOCAL = struct.Struct("<4s22xHH")
"""The header before each file: a signature, and how long its name and what follows that are."""


class ZipMember(NamedTuple):
    """A file in the archive: where its header is, its sizes as it lies there and whole, and its checksum."""

    offset: int
    compressed: int
    size: int
    deflated: bool
    crc: int


@dataclass(frozen=True)
class ZipImages(MemberArchive[ZipMember]):
    """A zip archive."""

    sequential: ClassVar[bool] = False

    @classmethod
    def open(cls, path: Path) -> "ZipImages":
        """List an archive. Raises DataError for one that is damaged, encrypted or packed in a rare way."""
        try:
            with zipfile.ZipFile(path) as archive:
                infos = [info for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise DataError(f"{path} is no whole zip archive ({error}): is it still being copied?") from None
        for info in infos:
            check_member_name(path, info.filename)
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(f"{path}: {info.filename} is encrypted, or not packed by deflate: unpack the archive")
        return cls(
            path,
            {
                info.filename: ZipMember(
                    info.header_offset,
                    info.compress_size,
                    info.file_size,
                    info.compress_type == zipfile.ZIP_DEFLATED,
                    info.CRC,
                )
                for info in infos
            },
        )

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        member = self.members[name]
        with self.path.open("rb", buffering=0) as stream:
            head = os.pread(stream.fileno(), _LOCAL.size, member.offset)
            signature, *lengths = _LOCAL.unpack(head) if len(head) == _LOCAL.size else (b"",)
            data = os.pread(stream.fileno(), member.compressed, member.offset + _LOCAL.size + sum(lengths))
        try:
            data = zlib.decompress(data, -zlib.MAX_WBITS, member.size) if member.deflated else data
        except zlib.error:
            data = b""
        if signature != b"PK\3\4" or len(data) != member.size or zlib.crc32(data) != member.crc:
            raise ImageError(f"{self.path} is damaged: {name} is not what its checksum says")
        return data


@dataclass(frozen=True)
class ZippedFile:
    """A text file in a zip archive, read as a Path is."""

    archive: Path
    member: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.member}"

    @property
    def name(self) -> str:
        """Without the folder."""
        return self.member.rpartition("/")[2]

    def stat(self) -> os.stat_result:
        """Return the archive's."""
        return self.archive.stat()

    def read_text(self, encoding: str) -> str:
        """Return the file's text. Raises DataError where the archive is damaged."""
        return self.read_bytes().decode(encoding)

    def read_bytes(self) -> bytes:
        """Return the file's content. Raises DataError where the archive is damaged."""
        try:
            return ZipImages.open(self.archive).read(self.member)
        except ImageError as error:
            raise DataError(f"{error}: replace it") from None

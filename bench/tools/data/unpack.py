"""Check an archive's content and move the wanted items into place, all of them or none."""

import hashlib
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from splitbench.bench.tools.data.archives import Item
from splitbench.bench.utils import progress
from splitbench.bench.utils.errors import UserError

_BLOCK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, tarfile.TarError, EOFError, NotImplementedError, RuntimeError)


def sha256(file: Path) -> str:
    """Return a file's SHA-256 in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with (
        file.open("rb") as stream,
        progress.bar(total=file.stat().st_size, desc="verifying", unit="B", unit_scale=True) as bar,
    ):
        while block := stream.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def unpack(file: Path, items: Sequence[Item], folder: Path) -> None:
    """Extract ``items`` from a .zip or .tar.gz below ``folder``.

    Everything is written to a temporary folder first, and checked: numbers and sizes of files, and in a .zip every
    file's CRC. Interrupted, it leaves nothing behind.

    Raises:
        UserError: A damaged archive, a link or a path that leads elsewhere in it, unexpected files, or no space.
    """
    temporary = folder / f".{file.name}.unpacking"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        with _entries(file) as entries:
            _check_paths(file, entries)
            wanted = [(entry, item) for entry in entries for item in items if _belongs(entry.path, item)]
            _check_items(file, items, wanted)
            _check_disk(folder, sum(entry.size for entry, _ in wanted))
            for entry, _ in progress.track(wanted, "unpacking", unit="files"):
                target = temporary / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                with entry.open() as source, target.open("wb") as stream:
                    shutil.copyfileobj(source, stream, _BLOCK)
        for item in items:
            (folder / item.path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / item.path).replace(folder / item.path)
    except _DAMAGED as error:
        raise _damaged(file, error) from None
    except OSError as error:
        if error.strerror is None:  # gzip's BadGzipFile
            raise _damaged(file, error) from None
        raise UserError(f"cannot unpack {file} into {folder} ({error.strerror})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class _PackedFile:
    """A file in an archive; a link or a special file where it is not ``regular``."""

    path: PurePosixPath
    name: str
    size: int
    regular: bool
    open: Callable[[], IO[bytes]]


@contextmanager
def _entries(file: Path) -> Iterator[list[_PackedFile]]:
    if file.name.endswith(".zip"):
        with zipfile.ZipFile(file) as archive:
            yield [_zipped(archive, info) for info in archive.infolist() if not info.is_dir()]
    else:
        with tarfile.open(file, "r:gz") as packed:
            yield [_tarred(packed, info) for info in packed.getmembers() if not info.isdir()]


def _zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _PackedFile:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return _PackedFile(
        PurePosixPath(info.filename),
        info.filename,
        info.file_size,
        kind in (0, stat.S_IFREG),
        lambda: archive.open(info),
    )


def _tarred(packed: tarfile.TarFile, info: tarfile.TarInfo) -> _PackedFile:
    return _PackedFile(
        PurePosixPath(info.name),
        info.name,
        info.size,
        info.isreg(),
        lambda: cast(IO[bytes], packed.extractfile(info)),  # None only for what is not regular
    )


def _check_paths(file: Path, entries: Sequence[_PackedFile]) -> None:
    for entry in entries:
        leads_out = entry.path.is_absolute() or ".." in entry.path.parts or "\\" in entry.name or ":" in entry.name
        if leads_out or not entry.regular:
            what = "leads out of the folder" if leads_out else "is a link or the like"
            raise UserError(f"{file} is refused: {entry.name!r} in it {what}; nothing was unpacked")


def _belongs(path: PurePosixPath, item: Item) -> bool:
    return path.is_relative_to(item.path) if item.files is not None else path == PurePosixPath(item.path)


def _check_items(file: Path, items: Sequence[Item], wanted: Sequence[tuple[_PackedFile, Item]]) -> None:
    for item in items:
        sizes = {entry.path: entry.size for entry, belongs in wanted if belongs == item}
        expected = 1 if item.files is None else item.files
        if len(sizes) != expected:
            raise UserError(f"{file} holds {len(sizes):,} files for {item.path}, not {expected:,}: another archive")
        if item.bytes is not None and sum(sizes.values()) != item.bytes:
            raise UserError(f"{file}: {item.path} has {sum(sizes.values()):,} bytes in it, not {item.bytes:,}")


def _check_disk(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(f"{folder} has {free / 1e9:.1f} GB free, but unpacking takes {size / 1e9:.1f} GB: free some")


def _damaged(file: Path, error: Exception) -> UserError:
    return UserError(f"{file} is damaged ({error}): remove it and run the same command again")

"""A run as one file to share: the table, what it was made of, and a manifest with the SHA-256 of every file.

The archive is a zip laid out as a run's folder, so that unpacking it makes one. It is untrusted input: it is read as it
lies, and nothing of it is believed before all of it has been compared with ``manifest.json``.
"""

import csv
import hashlib
import io
import json
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from splitbench.bench.utils.errors import UserError

ENDING = ".zip"
MANIFEST, ENVIRONMENT, TABLE = "manifest.json", "environment.json", "cells.csv"
_FORMAT = "splitbench run 1"

_SINGLE = (TABLE, "plan.json", "runs.json", "sweep.yaml")
_FOLDERS = ("cells/*.json", "images/*.txt", "learning/**/*.csv")
_CIRCUMSTANCES = ("versions", "commit", "device", "image_decoder", "precision")

_MOST_BYTES, _MOST_FILES, _MOST_MANIFEST = 8 * 2**30, 200_000, 64 * 2**20
_BLOCK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


def is_archive(path: Path) -> bool:
    """Return whether a path names an archive, and not a run's folder or table."""
    return path.suffix.lower() == ENDING and not path.is_dir()


def check_free(folder: Path, file: Path) -> None:
    """Raise UserError where the file exists and is not an archive of this run, with its table or one of its cells."""
    if not file.exists():
        return
    try:
        with _opened(file) as archive:
            listed = _listed(file, archive)
    except UserError:
        listed = {}
    mine = {path.relative_to(folder).as_posix(): path for path in _files(folder, records=False)}
    try:
        if any(
            _entry(path.open("rb")) == listed.get(name)
            for name, path in mine.items()
            if name.startswith((TABLE, "cells/"))
        ):
            return
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror or error}") from None
    raise UserError(
        f"{file} is there already, and is no archive of {folder}: name another file, or replace it by --force"
    )


def export(folder: Path, file: Path, *, records: bool = True) -> int:
    """Write a run's folder into an archive; the same folder yields the same bytes.

    Args:
        folder: The run's folder, with its ``cells.csv``.
        file: The archive to write.
        records: Whether to take in the per-image records, which paired tests and figures of how bytes spread need.

    Returns:
        The number of the run's files in it.

    Raises:
        UserError: The folder holds no table, or a file cannot be read or written.
    """
    if not (folder / TABLE).is_file():
        raise UserError(f"no {TABLE} in the folder {folder}: name the folder of a run")
    environment = json.dumps(_environment(folder / TABLE), indent=1).encode()
    temporary = file.with_name(f".{file.name}.part")
    try:
        paths = {path.relative_to(folder).as_posix(): path for path in _files(folder, records)}
        entries = {name: _entry(path.open("rb")) for name, path in paths.items()}
        entries[ENVIRONMENT] = _entry(io.BytesIO(environment))
        manifest = json.dumps({"format": _FORMAT, "files": dict(sorted(entries.items()))}, indent=1).encode()
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, content in ((MANIFEST, manifest), (ENVIRONMENT, environment)):
                _add(archive, name, io.BytesIO(content))
            for name, path in sorted(paths.items()):
                _add(archive, name, path.open("rb"))
        temporary.replace(file)
    except OSError as error:
        raise UserError(f"cannot write the archive {file} of {folder} ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)
    return len(entries)


def _files(folder: Path, records: bool) -> Iterator[Path]:
    yield from (folder / name for name in _SINGLE if (folder / name).is_file())
    for pattern in (*_FOLDERS, *["records/*.npz"] * records):
        yield from (path for path in folder.glob(pattern) if path.is_file())


def _environment(table: Path) -> dict[str, list[str]]:
    """Return what the rows were measured with: the distinct values of each column that says so."""
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{table} is not a table of comma-separated values in UTF-8: run its sweep again") from None
    except OSError as error:
        raise UserError(f"cannot read {table}: {error.strerror or error}") from None
    return {name: sorted({row.get(name) or "" for row in rows} - {""}) for name in _CIRCUMSTANCES}


def _entry(stream: IO[bytes]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _add(archive: zipfile.ZipFile, name: str, source: IO[bytes]) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, (stat.S_IFREG | 0o644) << 16
    with source, archive.open(info, "w") as target:
        while block := source.read(_BLOCK):
            target.write(block)


def verify(file: Path) -> None:
    """Compare an archive with its manifest.

    Raises:
        UserError: It is damaged or no archive of a run, or holds what none does: a path that leads elsewhere, a link, a
            file that is not listed, or more than can be meant seriously.
    """
    with _opened(file) as archive:
        entries = archive.infolist()
        _check_entries(file, entries)
        listed = _listed(file, archive)
        names = [entry.filename for entry in entries]
        if sorted(names) != sorted([MANIFEST, *listed]):
            odd = sorted({*names} ^ {MANIFEST, *listed})
            what = f"{odd[0]!r} is missing or not listed" if odd else "a file is there twice"
            raise UserError(f"{file} is refused: {what} in its manifest")
        for name, expected in listed.items():
            if archive.getinfo(name).file_size != expected["bytes"] or _entry(archive.open(name)) != expected:
                raise UserError(f"{file} is damaged: {name} in it is not what the manifest says; get it again")


def read(file: Path, name: str) -> bytes | None:
    """Return a file of an archive that has been verified, or None where it has none of that name."""
    with _opened(file) as archive:
        return archive.read(name) if name in archive.namelist() else None


def contains(file: Path, name: str) -> bool:
    """Return whether an archive that has been verified has a file of that name."""
    with _opened(file) as archive:
        return name in archive.namelist()


def unpack(file: Path, prefixes: tuple[str, ...], folder: Path) -> None:
    """Write the files whose names begin with one of some prefixes from a verified archive below a folder."""
    with _opened(file) as archive:
        for entry in archive.infolist():
            if entry.filename.startswith(prefixes):
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except _DAMAGED as error:
        raise UserError(f"{file} is damaged, or no archive that `splitbench export` wrote ({error})") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from None


def _check_entries(file: Path, entries: list[zipfile.ZipInfo]) -> None:
    size = sum(entry.file_size for entry in entries)
    if len(entries) > _MOST_FILES or size > _MOST_BYTES:
        raise UserError(
            f"{file} is refused: unpacked it would be {len(entries):,} files of {size / 1e9:,.1f} GB, more than a run's"
        )
    for entry in entries:
        path, kind = PurePosixPath(entry.filename), stat.S_IFMT(entry.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
            raise UserError(f"{file} is refused: {entry.filename!r} in it leads out of the folder")
        if entry.is_dir() or kind not in (0, stat.S_IFREG):
            raise UserError(f"{file} is refused: {entry.filename!r} in it is a link or the like, and no file")


def _listed(file: Path, archive: zipfile.ZipFile) -> Mapping[str, Mapping[str, Any]]:
    """Return what the manifest lists."""
    if MANIFEST not in archive.namelist() or archive.getinfo(MANIFEST).file_size > _MOST_MANIFEST:
        raise UserError(f"{file} is no archive that `splitbench export` wrote: it has no {MANIFEST}")
    try:
        content = json.loads(archive.read(MANIFEST))
    except RecursionError:
        content = None
    listed = content.get("files") if isinstance(content, dict) and content.get("format") == _FORMAT else None
    if not isinstance(listed, dict) or TABLE not in listed or not all(map(_is_entry, listed.values())):
        raise UserError(f"{file} is no archive of a run: its {MANIFEST} is not of the form {_FORMAT!r}")
    return listed


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str)

"""Fetch COCO and CIFAR-10 from where they are published, and explain how to get ImageNet.

FOLDER/val2017.zip.part                       received so far; the next try resumes from there
FOLDER/val2017.zip                            the whole archive, removed once it is unpacked
FOLDER/val2017, FOLDER/annotations/...        as the datasets read them, complete or absent
"""

import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from splitbench.bench.tools.data.archives import Archive, Item
from splitbench.bench.tools.data.download import BLOCK, download, partial, remote_size
from splitbench.bench.tools.data.folder_report import format_size
from splitbench.bench.tools.data.unpack import sha256, unpack
from splitbench.bench.utils.errors import UserError

_SPARE = 100_000_000
"""Bytes to leave free on the disk."""


def fetch(
    archives: Sequence[Archive],
    folder: Path,
    base: str,
    *,
    keep: bool = False,
    say: Callable[[str], None] = print,
    wait: float = 2.0,
    block: int = BLOCK,
) -> None:
    """Download, verify and unpack what is not below ``folder`` yet.

    Remote sizes and free disk space are checked before the first byte is requested. Interrupted at any point, the same
    call resumes from there.

    Args:
        archives: What to fetch, and which items to extract.
        folder: The data folder, made where it is missing.
        base: The server's address, before the archives' paths.
        keep: Whether to keep the archives after they are unpacked.
        say: Receives a line for each step.
        wait: Seconds before a broken connection is retried.
        block: Bytes to read at a time, at most.

    Raises:
        UserError: No connection, an unexpected file on the server or here, or not enough disk space.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder} ({error.strerror})") from None
    missing = [(archive, [item for item in archive.items if not _is_complete(folder, item)]) for archive in archives]
    missing = [(archive, items) for archive, items in missing if items]
    if not missing:
        say(f"already there: {', '.join(item.path for archive in archives for item in archive.items)}")
        return
    for archive, _ in missing:
        _check_size(archive, folder, base)
    _check_disk([archive for archive, _ in missing], folder, keep)
    for archive, items in missing:
        file = folder / archive.name
        if not file.is_file():
            say(f"downloading {_address(base, archive)} ({format_size(archive.size)})")
            download(_address(base, archive), file, archive.size, wait=wait, block=block)
        _verify(archive, file)
        unpack(file, items, folder)
        for item in items:
            say(f"wrote {folder / item.path}")
        if not keep:
            file.unlink()


def _is_complete(folder: Path, item: Item) -> bool:
    """Return whether an item is complete. Raises UserError where something else has its place."""
    if item.files is None:
        place = folder / item.path
        if not place.exists():
            return False
        count, expected, unit = place.stat().st_size, item.bytes, "bytes"
    else:
        places = [folder / item.path, folder / "images" / item.path]  # COCO's loader searches both
        place = next((place for place in places if place.is_dir() and any(place.iterdir())), places[0])
        if not place.is_dir() or not any(place.iterdir()):
            return False
        count, expected, unit = sum(1 for path in place.rglob("*") if path.is_file()), item.files, "files"
    if count != expected:
        raise UserError(
            f"{place} exists, but has {count:,} {unit} instead of {expected:,}: move it away, and run the same command "
            f"again; nothing was changed"
        )
    return True


def _check_size(archive: Archive, folder: Path, base: str) -> None:
    """Raise UserError where the archive here or on the server has another size than the official one."""
    file = folder / archive.name
    if file.is_file():
        if file.stat().st_size != archive.size:
            raise UserError(f"{file} has {file.stat().st_size:,} bytes, not {archive.size:,}: remove it, or finish it")
        return
    remote = remote_size(_address(base, archive))
    if remote is not None and remote != archive.size:
        raise UserError(
            f"{_address(base, archive)} has {remote:,} bytes, not {archive.size:,}: not the official file; a proxy or "
            f"a login page may be in between"
        )


def _check_disk(archives: Sequence[Archive], folder: Path, keep: bool) -> None:
    """Raise UserError where the peak does not fit: an archive, its content, and the content of earlier archives."""
    before = need = 0
    for archive in archives:
        present = [
            file.stat().st_size for file in (folder / archive.name, partial(folder / archive.name)) if file.is_file()
        ]
        rest = max(0, archive.size - sum(present))
        need = max(need, before + rest + archive.unpacked)
        before += archive.unpacked + (rest if keep else 0)
    free = shutil.disk_usage(folder).free
    if free < need + _SPARE:
        raise UserError(
            f"{folder} has {format_size(free)} free, but {format_size(need + _SPARE)} are needed to download and "
            f"unpack {', '.join(archive.name for archive in archives)}: free some, or choose a folder on another disk"
        )


def _verify(archive: Archive, file: Path) -> None:
    try:
        digest = sha256(file)
        if digest != archive.sha256:
            file.unlink()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror})") from None
    if digest != archive.sha256:
        raise UserError(
            f"{file} was damaged in transit and is removed: its SHA-256 is {digest}, not {archive.sha256}; run the "
            f"same command again"
        )


def _address(base: str, archive: Archive) -> str:
    return f"{base.rstrip('/')}/{archive.path}"


def imagenet_guide(folder: Path) -> list[str]:
    """Return lines on how to get ImageNet and where its files go."""
    from torchvision.datasets.imagenet import ARCHIVE_META

    names = {part: f"{name} (MD5 {digest})" for part, (name, digest) in ARCHIVE_META.items()}
    place = shlex.quote(str(folder))
    return [
        "ImageNet (ILSVRC 2012) cannot be fetched: its terms of access are accepted by a person, with an account.",
        "1. Register at https://image-net.org/download.php and download from ILSVRC 2012, task 1:",
        f"     {names['val']}, to evaluate on",
        f"     {names['devkit']}, which holds the labels",
        f"     {names['train']}, to calibrate and train on",
        "2. Unpack the photographs to evaluate on, and the labels beside them:",
        f"     mkdir -p {place}/val && tar -xf ILSVRC2012_img_val.tar -C {place}/val",
        f"     tar -xf ILSVRC2012_devkit_t12.tar.gz -C {place}",
        "3. Unpack the photographs to train on, an archive per class, into a folder per class:",
        f"     mkdir -p {place}/train && tar -xf ILSVRC2012_img_train.tar -C {place}/train",
        f'     for f in {place}/train/*.tar; do mkdir "${{f%.tar}}" && tar -xf "$f" -C "${{f%.tar}}" && rm "$f"; done',
        f"4. splitbench data check imagenet {place}",
    ]

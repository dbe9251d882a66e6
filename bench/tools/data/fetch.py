"""Fetches COCO and CIFAR-10 from where they are published, and says how to come by ImageNet.

FOLDER/val2017.zip.part                       what has come so far; the next try goes on from there
FOLDER/val2017.zip                            all of it, removed when it is unpacked
FOLDER/val2017, FOLDER/annotations/...        as the datasets read them, there whole or not at all
"""

import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from splitbench.bench.tools.data.archives import Archive, Item
from splitbench.bench.tools.data.download import download, partial, remote_size
from splitbench.bench.tools.data.report import size
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
) -> None:
    """Download, verify and unpack what is not below ``folder`` yet.

    Sizes are asked for and the disk is looked at before the first byte comes. Interrupted at any point, the same call
    goes on from there.

    Args:
        archives: What to fetch, and what to take from it.
        folder: The data folder, made where it is missing.
        base: The server's address, before the archives' paths.
        keep: Whether the archives stay when they are unpacked.
        say: Is told each step.
        wait: Seconds before a broken connection is tried again.

    Raises:
        UserError: no connection, another file than expected on the server or here, or no place on the disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder} ({error.strerror})") from None
    missing = [(archive, [item for item in archive.items if not _is_there(folder, item)]) for archive in archives]
    missing = [(archive, items) for archive, items in missing if items]
    if not missing:
        say(f"already there: {', '.join(item.path for archive in archives for item in archive.items)}")
        return
    for archive, _ in missing:
        _refuse_others(archive, folder, base)
    _refuse_without_place([archive for archive, _ in missing], folder, keep)
    for archive, items in missing:
        file = folder / archive.name
        if not file.is_file():
            say(f"downloading {_address(base, archive)} ({size(archive.size)})")
            download(_address(base, archive), file, archive.size, wait)
        _verify(archive, file)
        unpack(file, items, folder)
        for item in items:
            say(f"wrote {folder / item.path}")
        if not keep:
            file.unlink()


def _is_there(folder: Path, item: Item) -> bool:
    """Whether an item is whole. Raises UserError where something else has its place."""
    if item.files is None:
        place = folder / item.path
        if not place.exists():
            return False
        found, expected, unit = place.stat().st_size, item.bytes, "bytes"
    else:
        places = [folder / item.path, folder / "images" / item.path]  # COCO's loader looks into both
        place = next((place for place in places if place.is_dir() and any(place.iterdir())), places[0])
        if not place.is_dir() or not any(place.iterdir()):
            return False
        found, expected, unit = sum(1 for path in place.rglob("*") if path.is_file()), item.files, "files"
    if found != expected:
        raise UserError(
            f"{place} is there, but has {found:,} {unit} and not {expected:,}: move it away, and give the same command "
            f"again; nothing was changed"
        )
    return True


def _refuse_others(archive: Archive, folder: Path, base: str) -> None:
    """Raise UserError where the archive here or on the server has another size than the official one."""
    file = folder / archive.name
    if file.is_file():
        if file.stat().st_size != archive.size:
            raise UserError(f"{file} has {file.stat().st_size:,} bytes, not {archive.size:,}: remove it, or finish it")
        return
    found = remote_size(_address(base, archive))
    if found is not None and found != archive.size:
        raise UserError(
            f"{_address(base, archive)} has {found:,} bytes, not {archive.size:,}: not the official file; a proxy or a "
            f"login page may be in between"
        )


def _refuse_without_place(archives: Sequence[Archive], folder: Path, keep: bool) -> None:
    """The most that is on the disk at once: an archive beside its content, and the content of those before it."""
    before = need = 0
    for archive in archives:
        here = [
            file.stat().st_size for file in (folder / archive.name, partial(folder / archive.name)) if file.is_file()
        ]
        rest = max(0, archive.size - sum(here))
        need = max(need, before + rest + archive.unpacked)
        before += archive.unpacked + (rest if keep else 0)
    free = shutil.disk_usage(folder).free
    if free < need + _SPARE:
        raise UserError(
            f"{folder} has {size(free)} free, but {size(need + _SPARE)} are needed to download and unpack "
            f"{', '.join(archive.name for archive in archives)}: free some, or choose a folder on another disk"
        )


def _verify(archive: Archive, file: Path) -> None:
    try:
        found = sha256(file)
        if found != archive.sha256:
            file.unlink()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror})") from None
    if found != archive.sha256:
        raise UserError(
            f"{file} was damaged on the way and is removed: its SHA-256 is {found}, not {archive.sha256}; give the "
            f"same command again"
        )


def _address(base: str, archive: Archive) -> str:
    return f"{base.rstrip('/')}/{archive.path}"


def imagenet_guide(folder: Path) -> list[str]:
    """How to come by ImageNet, and where its files go, line by line."""
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

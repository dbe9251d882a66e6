"""ImageNet's development kit: which class each validation image is of."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from splitbench.datasets.base import DataError

ARCHIVE = "ILSVRC2012_devkit_t12.tar.gz"
_TRUTH, _META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
_IMAGES = {"train", "val", "validation", "test"}
"""Folders below which the devkit is not looked for: they can hold a million files."""


@dataclass(frozen=True)
class Devkit:
    """The development kit.

    Attributes:
        place: The file of the ground truth, or the archive that it is in.
        read: Returns the content of one of its files; raises OSError or KeyError where that is impossible.
    """

    place: Path
    read: Callable[[str], bytes]

    def labels(self) -> list[int]:
        """Return the class index of each validation image, in the order of their names.

        The devkit numbers classes in another order, which ``meta.mat`` translates. Raises DataError.
        """
        from scipy.io import loadmat

        try:
            meta = self.read(_META)
        except (OSError, KeyError):
            raise DataError(
                f"{self.place} needs {_META} from the devkit beside it, which numbers the classes"
            ) from None
        index = synset_indices()
        try:
            synsets = loadmat(io.BytesIO(meta), squeeze_me=True, struct_as_record=True)["synsets"]
            synset = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
            return [index[synset[int(number)]] for number in self.read(_TRUTH).decode().split()]
        except Exception as error:  # scipy raises a dozen kinds for damaged files
            raise DataError(
                f"{self.place} and {self.place.with_name(_META)} do not number ImageNet's classes ({error!r})"
            ) from None


def find_devkit(root: Path) -> Devkit | None:
    """Return the devkit in or below a folder, unpacked or not; None where there is none."""
    for place in _places(root):
        if (place / _TRUTH).is_file():
            return Devkit(place / _TRUTH, lambda name, place=place: (place / name).read_bytes())  # type: ignore[misc]
    archive = root / ARCHIVE
    return Devkit(archive, lambda name: _from_archive(archive, name)) if archive.is_file() else None


def _places(root: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(place)
        yield from (Path(place) / name for name in folders if name in _IMAGES)
        folders[:] = [name for name in folders if name not in _IMAGES]


def _from_archive(archive: Path, name: str) -> bytes:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if Path(member.name).name == name and (stream := tar.extractfile(member)) is not None:
                    return stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} is damaged ({error}): download it again") from None
    raise KeyError(name)


@cache
def synset_indices() -> dict[str, int]:
    """ImageNet-1k's synsets to class indices, 0 to 999, in sorted order."""
    from timm.data import ImageNetInfo

    return {name: index for index, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}

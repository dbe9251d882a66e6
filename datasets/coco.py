"""COCO as people have it: photographs in folders, boxes in one JSON per subset.

Below ``root``, the folder ``images/val2017`` or ``val2017`` with ``annotations/instances_val2017.json`` (``train2017``
for calibration and training); or one flat folder ``images`` with the only ``instances_*.json`` in ``root``.
``annotations`` names another file. Any dataset annotated in COCO's format is read the same way. COCO's archives are
read as they are: ``annotations_trainval2017.zip`` for the boxes, ``val2017.zip`` for the images.

All annotations are checked when the dataset is opened; faults are reported with their counts. Images are
read when they are decoded.
"""

import io
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from splitbench.datasets import base
from splitbench.datasets.base import DataError, ImageError, Subset, check_ids, named
from splitbench.datasets.formats.categories import format_category
from splitbench.datasets.formats.coco_json import AnnotatedImage, Annotations, JsonFile, read
from splitbench.datasets.formats.decoding import open_image, read_size
from splitbench.datasets.formats.detection_dataset import Box, Target, target_of
from splitbench.datasets.storage.stored_images import Container, Folder, StoredBase, StoredImages, content_digest
from splitbench.datasets.storage.zip_images import ZipImages, ZippedFile

_YEARS: dict[Subset, tuple[str, ...]] = {
    "evaluation": ("val2017", "val2014", "val"),
    "calibration": ("train2017", "train2014", "train"),
    "train": ("train2017", "train2014", "train"),
}


class Options(base.Options):
    """``root``: the folder; in a sweep, below that of the data. ``annotations``: the JSON file, by path or below it.

    ``limit``: a random subset of that many images, the same for the same ``seed``; ``ids``: only these image ids;
    ``exclude``: image ids left out. ``faulty: drop`` leaves out boxes without a width or height and boxes outside their
    image, of which COCO's training subset has some; by default they are refused in evaluation images.
    ``categories``: only boxes of these categories, by name or id; all images stay.
    """

    root: Path | None = None
    annotations: Path | None = None
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    ids: frozenset[int] | None = None
    exclude: frozenset[int] = frozenset()
    faulty: Literal["refuse", "drop"] = "refuse"
    categories: frozenset[str | int] | None = None


@dataclass(frozen=True, kw_only=True)
class AnnotatedImages(StoredBase):
    """Stored images with boxes, in ascending order of COCO's image ids.

    ``place`` is the folder or archive that they lie in. ``category_names`` are those of the file; ``box_counts`` count
    its boxes by category, those of all images.
    """

    place: Path
    images: Sequence[AnnotatedImage]
    annotated: Mapping[int, Sequence[Box]]
    categories: Sequence[int]
    category_names: Mapping[int, str] = field(default_factory=dict)
    box_counts: Mapping[int, int] = field(default_factory=dict)
    task: str = "detection"

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> int:
        """How many categories there are."""
        return len(self.categories)

    @property
    def ids(self) -> Sequence[str]:
        """The names of the image files without suffix: in COCO, the image id in 12 digits."""
        return tuple(str(Path(entry.file).with_suffix("")) for entry in self.images)

    @property
    def global_ids(self) -> bool:
        """COCO's image ids mean the same photograph in all of its subsets."""
        return all(Path(name).name.isdecimal() and len(Path(name).name) == 12 for name in self.ids)

    def size(self, index: int) -> tuple[int, int]:
        """Height and width as annotated; :meth:`image` makes sure of them."""
        return self.images[index].size

    def image(self, index: int) -> Image.Image:
        """Return the image as RGB, its EXIF rotation left alone as COCO's annotations do."""
        file, expected = self.stored.place(index), self.size(index)
        image = open_image(io.BytesIO(self.read_checked(index)), file)
        if (image.height, image.width) != expected:
            turned = (image.width, image.height) == expected
            why = (
                " (width and height exchanged: were the boxes drawn on the image as its EXIF tag turns it? Images "
                "are read as they are stored, as COCO's are: store it turned, without the tag)"
            )
            raise ImageError(
                f"{file} is {image.width} x {image.height}, but annotated as {expected[1]} x {expected[0]}, image "
                f"{self.images[index].id}{why if turned else ''}"
            )
        return image

    def count_boxes(self) -> Mapping[int, int]:
        """Return how many boxes the file has of each category, whichever images were chosen."""
        return self.box_counts

    def boxes(self, index: int) -> list[Box]:
        """Return the annotations, in the file's order."""
        return list(self.annotated.get(self.images[index].id, ()))

    def target(self, index: int) -> Target:
        """Corners and category ids; no crowds."""
        return target_of(self.boxes(index))

    def truth(self, index: int) -> str:
        """Return the annotations and the annotated size."""
        return f"{self.boxes(index)!r}{self.size(index)}"

    def digests_of(self, index: int, data: bytes) -> tuple[str, str]:
        """Of the file's bytes, and of these and the annotations: and the annotated size where it is another."""
        other = self.size(index) if read_size(io.BytesIO(data)) != self.size(index) else ""
        return content_digest(data), content_digest(data + f"{self.boxes(index)!r}{other}".encode())


class COCO:
    """Photographs with boxes."""

    task: ClassVar[str] = "detection"
    Options: ClassVar[type[base.Options]] = Options

    def load(self, options: Any, subset: Subset) -> AnnotatedImages:
        """Find the files, read and check the annotations, take the subset. Raises DataError with what was wrong."""
        if options.root is None:
            raise DataError("the dataset coco needs a folder: name it by --data, or by `root` in the sweep")
        if not options.root.is_dir():
            raise DataError(f"data folder not found: {options.root}")
        file = annotations_file(options, subset)
        annotations = read(file, drop=subset != "evaluation" or options.faulty == "drop")
        images = _select_images(annotations, options, file)
        container, names = _find_images(options.root, file, images)
        kept = {entry.id for entry in images}
        annotated: dict[int, list[Box]] = {}
        categories = _select_categories(annotations, options, file)
        boxes = [(image, box) for image, box in annotations.boxes if box["category_id"] in categories]
        for image, box in boxes:
            if image in kept:
                annotated.setdefault(image, []).append(box)
        counts = Counter(box["category_id"] for _, box in boxes)
        return AnnotatedImages(
            stored=StoredImages([container], np.zeros(len(names), np.int32), names),
            place=container.path,
            images=images,
            annotated=annotated,
            categories=list(categories),
            category_names=categories,
            box_counts=counts,
        )


def annotations_file(options: Options, subset: Subset) -> JsonFile:
    """Return the file of a subset's boxes. Raises DataError where there is none."""
    root = options.root or Path()
    if options.annotations is not None:
        for file in (root / options.annotations, root / "annotations" / options.annotations):
            if file.is_file():
                return file
        raise DataError(f"annotations not found: {root / options.annotations}")
    wanted = [f"instances_{year}.json" for year in _YEARS[subset]]
    for name in wanted:
        for file in (root / "annotations" / name, root / name):
            if file.is_file():
                return file
    for zipped in _zipped_boxes(root):
        if zipped.name in wanted:
            return zipped
    candidates = sorted({*root.glob("instances_*.json"), *root.glob("annotations/instances_*.json")})
    others = {f"instances_{year}.json" for years in _YEARS.values() for year in years}
    if len(candidates) == 1 and candidates[0].name not in others and (root / "images").is_dir():
        return candidates[0]
    tables = sorted({*root.glob("*.json"), *root.glob("annotations/*.json")})
    named = f"{', '.join(file.name for file in tables[:5])}{', ...' if len(tables) > 5 else ''}"
    beside = ", or another name in `annotations`"
    beside = f"; there are {named}: name one in `annotations` (--annotations)" if tables else beside
    raise DataError(f"no boxes for {subset} in {root}: expected annotations/{wanted[0]} below it{beside}")


def box_files(root: Path) -> list[str]:
    """Return the names of all files of boxes below a folder, those in archives included. Raises DataError."""
    names = [file.name for file in (*root.glob("instances_*.json"), *root.glob("annotations/instances_*.json"))]
    return names + [file.name for file in _zipped_boxes(root)]


def _zipped_boxes(root: Path) -> list[ZippedFile]:
    archives = sorted({*root.glob("annotations*.zip"), *root.glob("annotations/annotations*.zip")})
    files = [ZippedFile(archive, member) for archive in archives for member in ZipImages.open(archive).members]
    return [file for file in files if file.name.startswith("instances_")]


def _select_images(annotations: Annotations, options: Options, file: JsonFile) -> list[AnnotatedImage]:
    """Return the images asked for, in ascending order of their ids."""
    known = {entry.id: entry for entry in sorted(annotations.images, key=lambda entry: entry.id)}
    check_ids("ids", options.ids or (), known, file)
    check_ids("exclude", options.exclude, known, file)
    ids = [i for i in known if (options.ids is None or i in options.ids) and i not in options.exclude]
    if options.limit is not None and options.limit < len(ids):
        ids = sorted(random.Random(options.seed).sample(ids, options.limit))
    return [known[i] for i in ids]


def _select_categories(annotations: Annotations, options: Options, file: JsonFile) -> dict[int, str]:
    """Return the categories asked for, with their names. Raises DataError for those that are not there."""
    known = annotations.categories
    if options.categories is None:
        return dict(known)
    missing = sorted(
        str(wanted) for wanted in options.categories if wanted not in known and wanted not in known.values()
    )
    if missing:
        raise DataError(
            f"{len(missing)} of `categories` are not in {file}: {named(missing)} "
            f"(there are {named([format_category(category, name) for category, name in known.items()])})"
        )
    return {category: name for category, name in known.items() if {category, name} & options.categories}


def _find_images(root: Path, file: JsonFile, images: Sequence[AnnotatedImage]) -> tuple[Container, list[str]]:
    """Return where the images lie, all of them, and their names there.

    Folders come first, then archives. Raises DataError with how many are missing where most of them are.
    """
    year = PurePosixPath(file.name).stem.removeprefix("instances_")
    names = [entry.file for entry in images]
    folders = [root / "images" / year, root / year, root / "images", root]
    missing: dict[Path, list[str]] = {}
    for folder in filter(Path.is_dir, folders):
        missing[folder] = [name for name in names if not (folder / name).is_file()]
        if not missing[folder]:
            return Folder(folder), names
    for path in filter(Path.is_file, (root / "images" / f"{year}.zip", root / f"{year}.zip")):
        archive = ZipImages.open(path)
        prefix = "" if names[:1] and names[0] in archive.members else f"{year}/"
        zipped = [f"{prefix}{name}" for name in names]
        missing[path] = [name for name in zipped if name not in archive.members]
        if not missing[path]:
            return archive, zipped
    best = min(missing, key=lambda place: len(missing[place]))
    where = " or ".join(str(folder) for folder in folders[:3])
    raise DataError(
        f"{file} names {len(missing[best])} images of {len(images)} that are missing: {named(missing[best])}; "
        f"they belong in {where}, or in {root / year}.zip; to leave images out, use `exclude` or `ids`"
    )


DATASET = COCO()

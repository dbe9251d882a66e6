"""ImageNet (ILSVRC 2012) as people have it: any of the usual layouts, found by looking.

In ``root``, or in its subfolder ``val`` or ``validation`` (``train`` for calibration and training):

1. *a folder per class*: ``n01440764/*.JPEG``, images at any depth in it. Classes that are ImageNet's synsets get
   ImageNet's indices (the sorted synsets, as in torchvision), however few of them are there. Names that are numbers are
   the indices. Any other names are numbered from 0 in sorted order, over the folders of ``val`` and ``train`` together.
2. *one flat folder and a CSV of labels*: columns ``file`` (or ``ImageId``) and ``label`` (an index from 0, of whatever
   classes) or ``PredictionString`` (a synset first, as in Kaggle's LOC_val_solution.csv). ``labels`` names it, or it is
   found.
3. *one flat folder and the devkit*: ``ILSVRC2012_validation_ground_truth.txt`` and ``meta.mat``, anywhere below
   ``root``, or ``ILSVRC2012_devkit_t12.tar.gz`` in it; the devkit numbers classes in another order, which ``meta.mat``
   translates.
4. *archives*, read as they are (:mod:`splitbench.datasets.formats.labelled_archives`).
"""

import csv
import io
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from splitbench.datasets import base
from splitbench.datasets.base import DataError, Dataset, Subset, check_ids, named
from splitbench.datasets.formats import labelled_archives
from splitbench.datasets.formats.decoding import open_image
from splitbench.datasets.formats.devkit import Devkit, find_devkit, synset_indices
from splitbench.datasets.formats.folders import FolderOfImages, PassedOver, has_images, list_images, unique_names
from splitbench.datasets.storage.cache import Cache, default_folder
from splitbench.datasets.storage.stored_images import StoredBase, StoredImages, content_digest

_IMAGENET_NAME = re.compile(r"ILSVRC2012_(val|test)_\d+|n\d{8}_\d+")
_SUBSETS: dict[Subset, tuple[str, ...]] = {
    "evaluation": ("val", "validation"),
    "calibration": ("train",),
    "train": ("train",),
}
_SUBSET_NAMES = ("val", "validation", "train", "test")
"""Folders of images of all classes, and never a class."""


class Options(base.Options):
    """``root``: the folder; in a sweep, below that of the data. ``labels``: the CSV of labels, by path or in ``root``.

    In the folder are ``val`` and ``train``, each with a folder per class (ImageNet's synsets; 0, 1, ...; or names,
    numbered in sorted order over both), or images with a CSV (``file,label``) or the devkit's ground truth.
    ``limit``: a random subset of that many images, the same for the same ``seed``; ``exclude``: ids left out.
    ``cache``: where it is kept what lies where in archives; by default the user's cache folder. ``anew``: list it anew.
    """

    root: Path | None = None
    labels: Path | None = None
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    exclude: frozenset[str] = frozenset()
    cache: Path | None = None
    anew: bool = False


@dataclass(frozen=True, kw_only=True)
class StoredLabelledImages(StoredBase):
    """Stored images with class indices.

    ``class_names`` are those of folders that were numbered here, if any were; ``passed_over`` counts the files beside
    the images that were taken for none.
    """

    labels: tuple[int, ...]
    ids: tuple[str, ...]
    classes: int
    class_names: tuple[str, ...] = ()
    passed_over: PassedOver = field(default_factory=PassedOver)
    task: str = "classification"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def files(self) -> tuple[Path, ...]:
        """The paths of the images; in an archive, below its path."""
        return tuple(Path(self.stored.place(index)) for index in range(len(self)))

    @property
    def numbering_advice(self) -> str:
        """What to do where folders were numbered in sorted order, or as ImageNet's synsets are."""
        if self.class_names:
            return (
                f"its class folders are numbered in sorted order ({named(self.class_names)}): name them by their "
                "numbers in the backbone (0, 1, ...), or give a CSV of labels (file,label)"
            )
        names = {self.stored.containers[number].path.name for number in np.unique(self.stored.numbers)}
        synsets = len(names & {*synset_indices()})
        if not synsets or self.classes <= len(names):
            return ""
        return (
            f"its {synsets} class folders are ImageNet's synsets and have ImageNet's numbers. For a backbone with "
            "classes of its own, name the folders by its numbers (0, 1, ...), or give a CSV (file,label)"
        )

    @property
    def global_ids(self) -> bool:
        """ImageNet's own file names mean the same photograph everywhere, whatever its size."""
        return all(_IMAGENET_NAME.match(name) for name in self.ids)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Classes that were numbered here, and visible files that were passed over."""
        lines = []
        if self.class_names:
            lines.append(
                f"the {len(self.class_names)} class folders were numbered in sorted order ({named(self.class_names)}), "
                "and the backbone is trusted to number its classes so"
            )
        if visible := str(replace(self.passed_over, hidden=())):
            lines.append(f"files were skipped, since their names are not those of image files: {visible}")
        return tuple(lines)

    def image(self, index: int) -> Image.Image:
        """Return the image as RGB, its EXIF rotation left alone as ImageNet's users do."""
        return open_image(io.BytesIO(self.read_checked(index)), self.stored.place(index))

    def target(self, index: int) -> int:
        """Return the class index."""
        return self.labels[index]

    def truth(self, index: int) -> str:
        """Return the label."""
        return str(self.labels[index])

    def digests_of(self, index: int, data: bytes) -> tuple[str, str]:
        """Of the file's bytes, and of these and the label."""
        return content_digest(data), content_digest(data + f" {self.labels[index]}".encode())


class ImageNet:
    """Folders of photographs with labels."""

    task: ClassVar[str] = "classification"
    Options: ClassVar[type[base.Options]] = Options

    def load(self, options: Any, subset: Subset) -> Dataset:
        """Find the layout, read the labels, take the subset. Raises DataError with what was expected where."""
        if options.root is None:
            raise DataError("the dataset imagenet needs a folder: name it by --data, or by `root` in the sweep")
        if not options.root.is_dir():
            raise DataError(f"data folder not found: {options.root}")
        layout = _find_layout(options, subset)
        check_ids("exclude", options.exclude, layout.ids, options.root)
        chosen: Sequence[int] = range(len(layout.ids))
        if options.exclude:
            chosen = [index for index, name in enumerate(layout.ids) if name not in options.exclude]
        if options.limit is not None and options.limit < len(chosen):
            chosen = sorted(random.Random(options.seed).sample(chosen, options.limit))
        every = len(chosen) == len(layout.ids)
        return StoredLabelledImages(
            stored=layout.stored if every else layout.stored.take(chosen),
            labels=tuple(layout.labels[index] for index in chosen),
            ids=tuple(layout.ids[index] for index in chosen),
            classes=layout.classes,
            class_names=layout.class_names,
            passed_over=PassedOver.of(layout.others),
        )


@dataclass(frozen=True)
class _Layout:
    """Images with labels and names, how many classes there are, and their names where they were numbered here.

    ``others`` are the names of the files that are not images.
    """

    stored: StoredImages
    labels: Sequence[int]
    ids: Sequence[str]
    classes: int
    class_names: tuple[str, ...] = ()
    others: Sequence[str] = ()

    @classmethod
    def of_files(
        cls,
        files: Sequence[FolderOfImages],
        labels: Sequence[int],
        folder: Path,
        classes: int,
        *,
        class_names: tuple[str, ...] = (),
        others: Sequence[str] = (),
    ) -> "_Layout":
        """Make one of files below ``folder``."""
        names = unique_names(files, str(folder))
        return cls(StoredImages.of_files(files), labels, names, classes, class_names, others)


def _find_layout(options: Options, subset: Subset) -> _Layout:
    root = options.root or Path()
    folder = next((root / name for name in _SUBSETS[subset] if (root / name).is_dir()), root)
    if folder == root and options.labels is None:
        archives = labelled_archives.find(root, subset, Cache(options.cache or default_folder(), options.anew))
        if archives is not None:
            return _Layout(archives.stored, archives.labels, archives.ids, archives.classes)
        if subset != "evaluation" and (root / "val").is_dir():
            raise DataError(f"{root} has no folder `train` for {subset}: name one in `{subset}: root`")
    if options.labels is not None:
        given = root / options.labels
        if not given.is_file():
            raise DataError(f"labels file not found: {given}")
        return _from_csv(given, folder)
    classes = _class_folders(folder)
    subsets = [root / name for name in _SUBSET_NAMES if (root / name).is_dir() and root / name != folder]
    if any(has_images(path, deep=False) for path in classes) and not _looks_flat(classes):
        return _from_folders(classes, subsets, folder)
    table = _table(root, folder)
    if table is not None:
        return _from_csv(table, folder)
    devkit = find_devkit(root)
    if devkit is not None:
        return _from_devkit(devkit, folder)
    if len(classes) > 1 and not any(path.name in _SUBSET_NAMES or any(path.glob("*.csv")) for path in classes):
        return _from_folders(classes, subsets, folder)  # images lie deeper in each of them
    raise DataError(
        f"no labelled images in {folder}: expected a folder per class (n01440764/*.JPEG), or images with a CSV of "
        f"labels (columns file, label) or the devkit's ground truth beside them, or ImageNet's archives (its tar with "
        "the devkit, tar shards or parquet files of the subset)"
    )


def _table(root: Path, folder: Path) -> Path | None:
    """Return the CSV of labels beside the images: Kaggle's for the subset asked for, or the only one."""
    tables = sorted({*root.glob("*.csv"), *folder.glob("*.csv")})
    kaggle = [path for path in tables if path.name == f"LOC_{folder.name}_solution.csv"]
    tables = kaggle or [path for path in tables if not path.name.startswith("LOC_")]
    if len(tables) > 1:
        names = ", ".join(str(path) for path in tables)
        raise DataError(f"several tables could hold the labels of {folder}: name one in `labels` ({names})")
    return tables[0] if tables else None


def _looks_flat(classes: list[Path]) -> bool:
    """One folder called ``images`` holds images of all classes; its labels come from a CSV."""
    return len(classes) == 1 and classes[0].name == "images"


def _class_folders(folder: Path) -> list[Path]:
    """Return those with images in them, at any depth."""
    visible = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(path for path in visible if has_images(path))


def _from_folders(classes: list[Path], subsets: list[Path], folder: Path) -> _Layout:
    """Number the class folders of all subsets: a class without images here keeps its number."""
    index = synset_indices()
    names: tuple[str, ...] = ()
    unknown = [path for path in classes if path.name not in index]
    if unknown and len(unknown) < len(classes):
        raise DataError(f"{unknown[0]} is no synset of ImageNet, but other folders beside it are: move it away")
    if unknown and all(path.name.isdecimal() for path in classes):
        index = {path.name: int(path.name) for path in classes}
    elif unknown:
        others = [path for subset in subsets for path in _class_folders(subset)]
        names = tuple(sorted({path.name for path in (*classes, *others)}))
        index = {name: number for number, name in enumerate(names)}
    images: list[FolderOfImages] = []
    labels: list[int] = []
    ignored: list[str] = []
    for path in classes:
        files, names_of_others = list_images(path)
        images += files
        labels += [index[path.name]] * sum(len(names) for _, names in files)
        ignored += names_of_others
    return _Layout.of_files(images, labels, folder, max(index.values()) + 1, class_names=names, others=ignored)


def _from_csv(table: Path, folder: Path) -> _Layout:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is not a CSV of labels ({error})") from None
    label_of = _label_reader(table, set(rows[0]) if rows else set())
    places = (folder, folder / "images", table.parent)
    pairs, missing = [], []
    for row in rows:
        name = row.get("file") or row.get("ImageId") or ""
        names = [name] if Path(name).suffix else [f"{name}.JPEG", f"{name}.jpg", f"{name}.png"]
        file = next((place / n for n in names for place in places if (place / n).is_file()), None)
        if file is None:
            missing.append(name)
        else:
            pairs.append((file, label_of(row)))
    twice = [str(file) for file, count in Counter(file for file, _ in pairs).items() if count > 1]
    if twice:
        raise DataError(f"{table} names {len(twice)} images more than once: {named(twice)}")
    if missing:
        raise DataError(
            f"{table} names {len(missing)} images of {len(rows)} that are not in {folder}: {named(missing)}"
        )
    labels = [label for _, label in pairs]
    return _Layout.of_files([(str(file.parent), [file.name]) for file, _ in pairs], labels, folder, max(labels) + 1)


def _label_reader(table: Path, columns: set[str]) -> Callable[[dict[str, str]], int]:
    """Return how to read a row's class index, by the table's columns."""
    index = synset_indices()

    def number(row: dict[str, str]) -> int:
        if not (row["label"] or "").isdecimal():
            raise DataError(f"{table}: label {row['label']!r} of {row.get('file')} is not a class index (0, 1, ...)")
        return int(row["label"])

    def synset(row: dict[str, str]) -> int:
        name = (row["PredictionString"] or "").split(" ")[0]
        if name not in index:
            raise DataError(f"{table}: {name!r} is no ImageNet synset")
        return index[name]

    if {"file", "label"} <= columns:
        return number
    if {"ImageId", "PredictionString"} <= columns:
        return synset
    raise DataError(f"{table}: expected the columns file,label or ImageId,PredictionString, not {sorted(columns)}")


def _from_devkit(devkit: Devkit, folder: Path) -> _Layout:
    labels = devkit.labels()
    files, others = list_images(folder, deep=False)
    count = sum(len(names) for _, names in files)
    if count != len(labels):
        raise DataError(f"{folder} has {count} images, but {devkit.place} has {len(labels)} labels: both must be whole")
    return _Layout.of_files(files, labels, folder, len(synset_indices()), others=others)


DATASET = ImageNet()

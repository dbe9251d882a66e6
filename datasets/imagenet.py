"""ImageNet (ILSVRC 2012) as people have it: any of the usual layouts, found by looking.

In ``root``, or in its subfolder ``val`` or ``validation`` (``train`` for calibration and training):

1. *a folder per class*: ``n01440764/*.JPEG``, images at any depth in it. Classes that are ImageNet's synsets get
   ImageNet's indices (the sorted synsets, as in torchvision), however few of them are there. Names that are numbers are
   the indices. Any other names are numbered from 0 in sorted order, over the folders of ``val`` and ``train`` together.
2. *one flat folder and a CSV of labels*: columns ``file`` (or ``ImageId``) and ``label`` (an index from 0, of whatever
   classes) or ``PredictionString`` (a synset first, as in Kaggle's LOC_val_solution.csv). ``labels`` names it, or it is
   found.
3. *one flat folder and the devkit*: ``ILSVRC2012_validation_ground_truth.txt`` and ``meta.mat``, anywhere below
   ``root``; the devkit numbers classes in its own order, which ``meta.mat`` translates.
"""

import csv
import hashlib
import io
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from pydantic import Field

from splitbench.datasets import base
from splitbench.datasets.base import DataError, Dataset, ImageError, Subset, check_ids, named
from splitbench.datasets.formats.decoding import open_image
from splitbench.datasets.formats.folders import PassedOver, has_images, list_images, unique_names

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
    """

    root: Path | None = None
    labels: Path | None = None
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LabelledFiles:
    """Image files with class indices.

    ``class_names`` are those of folders that were numbered here, if any were; ``passed_over`` counts the files beside
    the images that were taken for none.
    """

    files: tuple[Path, ...]
    labels: tuple[int, ...]
    ids: tuple[str, ...]
    classes: int
    class_names: tuple[str, ...] = ()
    passed_over: PassedOver = field(default_factory=PassedOver)
    task: str = "classification"

    def __len__(self) -> int:
        return len(self.files)

    @property
    def synsets(self) -> int:
        """How many folders of the chosen images are named as ImageNet's synsets are, whose numbers they have."""
        index, names = synset_indices(), {file.parent.name for file in self.files}
        return len(names & {*index}) if self.classes > len(names) else 0

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
        return open_image(self.files[index], self.files[index])

    def target(self, index: int) -> int:
        """Return the class index."""
        return self.labels[index]

    def content(self, index: int) -> str:
        """Of the file's bytes."""
        return hashlib.sha256(self._bytes(index)).hexdigest()[:16]

    def digest(self, index: int) -> str:
        """Of the file's bytes and the label."""
        return hashlib.sha256(self._bytes(index) + f" {self.labels[index]}".encode()).hexdigest()[:16]

    def _bytes(self, index: int) -> bytes:
        try:
            return self.files[index].read_bytes()
        except OSError as error:
            raise ImageError(f"{self.files[index]} cannot be read ({error.strerror})") from None


class ImageNet:
    """Folders of photographs with labels."""

    task: ClassVar[str] = "classification"
    Options: ClassVar[type[base.Options]] = Options

    def load(self, options: Any, subset: Subset) -> Dataset:
        """Find the layout, read the labels, take the subset. Raises DataError with what was expected where."""
        if options.root is None:
            raise DataError("the dataset imagenet needs a folder: set DATA= (--data), or `root` in the sweep")
        if not options.root.is_dir():
            raise DataError(f"data folder not found: {options.root}")
        folder = next(
            (options.root / name for name in _SUBSETS[subset] if (options.root / name).is_dir()), options.root
        )
        if subset != "evaluation" and folder == options.root and (options.root / "val").is_dir():
            raise DataError(f"{options.root} has no folder `train` for {subset}: name one in `{subset}: root`")
        layout = _find_layout(options, folder)
        ids = unique_names([file for file, _ in layout.pairs], folder)
        check_ids("exclude", options.exclude, ids, folder)
        rows = [(name, *pair) for name, pair in zip(ids, layout.pairs, strict=True) if name not in options.exclude]
        if options.limit is not None and options.limit < len(rows):
            chosen = random.Random(options.seed).sample(range(len(rows)), options.limit)
            rows = [rows[index] for index in sorted(chosen)]
        names, files, labels = zip(*rows, strict=True) if rows else ((), (), ())
        return LabelledFiles(files, labels, names, layout.classes, layout.class_names, PassedOver.of(layout.others))


@dataclass(frozen=True)
class _Layout:
    """Files with labels, how many classes there are, and the classes' names where they were numbered here.

    ``others`` are the names of files beside them that are no images.
    """

    pairs: list[tuple[Path, int]]
    classes: int
    class_names: tuple[str, ...] = ()
    others: Sequence[str] = ()


def _find_layout(options: Options, folder: Path) -> _Layout:
    if options.labels is not None:
        given = options.labels if options.labels.is_absolute() else options.root / options.labels  # type: ignore[operator]
        if not given.is_file():
            raise DataError(f"labels file not found: {given}")
        return _from_csv(given, folder)
    classes = _class_folders(folder)
    root = options.root or folder
    subsets = [root / name for name in _SUBSET_NAMES if (root / name).is_dir() and root / name != folder]
    if any(list_images(path, deep=False)[0] for path in classes) and not _looks_flat(classes):
        return _from_folders(classes, subsets)
    table = _table(options.root or folder, folder)
    if table is not None:
        return _from_csv(table, folder)
    truth = next(options.root.rglob("ILSVRC2012_validation_ground_truth.txt"), None) if options.root else None
    if truth is not None:
        return _from_devkit(truth, folder)
    if len(classes) > 1 and not any(path.name in _SUBSET_NAMES or any(path.glob("*.csv")) for path in classes):
        return _from_folders(classes, subsets)  # images lie deeper in each of them
    raise DataError(
        f"no labelled images in {folder}: expected a folder per class (n01440764/*.JPEG), or images with a CSV of "
        f"labels (columns file, label) or the devkit's ground truth beside them"
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


def _from_folders(classes: list[Path], subsets: list[Path]) -> _Layout:
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
    pairs: list[tuple[Path, int]] = []
    ignored: list[str] = []
    for path in classes:
        files, names_of_others = list_images(path)
        pairs += [(file, index[path.name]) for file in files]
        ignored += names_of_others
    return _Layout(pairs, max(index.values()) + 1, names, ignored)


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
    return _Layout(pairs, max(label for _, label in pairs) + 1)


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


def _from_devkit(truth: Path, folder: Path) -> _Layout:
    from scipy.io import loadmat

    meta = truth.with_name("meta.mat")
    if not meta.is_file():
        raise DataError(f"{truth} needs meta.mat from the devkit beside it, which numbers the classes")
    index = synset_indices()
    try:
        synsets = loadmat(io.BytesIO(meta.read_bytes()), squeeze_me=True, struct_as_record=True)["synsets"]
        synset = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        labels = [index[synset[int(number)]] for number in truth.read_text(encoding="utf-8").split()]
    except Exception as error:  # scipy raises a dozen kinds for damaged files
        raise DataError(f"{truth} and {meta} do not number ImageNet's classes ({error!r})") from None
    files, others = list_images(folder, deep=False)
    if len(files) != len(labels):
        raise DataError(f"{folder} has {len(files)} images, but {truth} has {len(labels)} labels: both must be whole")
    return _Layout(list(zip(files, labels, strict=True)), len(index), others=others)


@cache
def synset_indices() -> dict[str, int]:
    """ImageNet-1k's synsets to class indices, 0 to 999, in sorted order."""
    from timm.data import ImageNetInfo

    return {name: index for index, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}


DATASET = ImageNet()

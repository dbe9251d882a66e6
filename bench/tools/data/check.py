"""Tells how complete a folder with a dataset is, and whether the datasets here can read it.

What is usable is decided by the loaders themselves; what is complete, by the official counts and, where there are any,
digests.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from splitbench.bench.tools.data import check_cifar10
from splitbench.bench.tools.data.archives import COCO_BOXES
from splitbench.bench.tools.data.report import Found, Report, decoded, size, spread, weighed
from splitbench.bench.tools.data.unpack import sha256
from splitbench.bench.utils.errors import UserError
from splitbench.datasets import coco, imagenet
from splitbench.datasets.base import DataError, Subset

Name = Literal["imagenet", "coco", "cifar10"]

SUBSETS: tuple[Subset, ...] = ("evaluation", "train")

_IMAGENET: Mapping[Subset, tuple[tuple[str, ...], int]] = {
    "evaluation": (("val", "validation"), 50_000),
    "train": (("train",), 1_281_167),
}
"""Folders, and how many images ImageNet has there, of 1,000 classes."""
_CLASSES = 1000
_PER_CLASS = 50
"""Of the images to evaluate on; training images are not evenly spread."""
_COCO: Mapping[Subset, tuple[str, str]] = {"evaluation": ("val", "val2017"), "train": ("train", "train2017")}
"""How files of boxes begin, and the official subset."""


def check(
    name: Name, folder: Path, subsets: Sequence[Subset] = SUBSETS, full: bool = False, annotations: Path | None = None
) -> Report:
    """Look at a folder.

    Args:
        name: Which dataset it should hold.
        folder: Where.
        subsets: Which subsets are wanted: ``evaluation``, ``train`` or both.
        full: Whether to decode all images, instead of a sample.
        annotations: A file of boxes in COCO's format that is called otherwise, by path or below the folder.

    Raises:
        UserError: no such folder, or annotations for what is not COCO.
    """
    if not folder.is_dir():
        raise UserError(f"data folder not found: {folder}")
    if annotations is not None and name != "coco":
        raise UserError(f"--annotations names a file of boxes: {name} has none")
    try:
        if annotations is not None:
            return Report("COCO 2017", [_coco_subset(folder, subsets[0], full, annotations)], {})
        return _CHECKS[name](folder, subsets, full)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read ({error.strerror})") from None


def _imagenet(folder: Path, subsets: Sequence[Subset], full: bool) -> Report:
    named = [
        (subset, place) for subset in SUBSETS for name in _IMAGENET[subset][0] if (place := folder / name).is_dir()
    ]
    if named:
        found = [_imagenet_subset(folder, subset, str(place), full) for subset, place in named if subset in subsets]
        there = {subset for subset, _ in named}
    else:
        found, there = [_imagenet_subset(folder, "evaluation", str(folder), full)], {"evaluation"}
        if not found[0].facts:
            below = [place for place in sorted(folder.iterdir()) if place.is_dir() and not place.name.startswith(".")]
            tried = [
                _imagenet_subset(place, "evaluation", f"{place} (a folder of its own: DATA={place})", full)
                for place in below
            ]
            # Folders that hold no such images at all are none of ImageNet's; the one above tells what was expected.
            found, there = [one for one in tried if one.facts] or found, {"evaluation"}
    absent = {subset: _IMAGENET[subset][1] for subset in subsets if subset not in there}
    return Report("ImageNet", found, absent)


def _imagenet_subset(root: Path, subset: Subset, place: str, full: bool) -> Found:
    try:
        dataset = cast(imagenet.LabelledFiles, imagenet.DATASET.load(imagenet.Options(root=root), subset))
    except DataError as error:
        return Found(subset, place, faults=[str(error)])
    if not len(dataset):
        return Found(subset, place, faults=["no images"])
    official = _IMAGENET[subset][1]
    count, labels = len(dataset), Counter(dataset.labels)
    total, faults = weighed(dataset.files)
    fact, damaged = decoded(dataset, full)
    folders = {file.parent for file in dataset.files}
    layout = "a folder per class" if len(folders) == len(labels) > 1 else "one folder, its labels in a file beside it"
    facts = [
        layout,
        f"{count:,} images of {len(labels):,} classes, {spread(labels.values())} per class, {size(total)}",
        fact,
    ]
    if str(dataset.passed_over):
        facts.append(f"passed over, since they are no pictures by their names: {dataset.passed_over}")
    lacks = []
    if count != official:
        lacks.append(f"{count:,} images, where ImageNet has {official:,}")
    if len(labels) != _CLASSES:
        lacks.append(f"{len(labels):,} classes, where ImageNet has {_CLASSES:,}")
    if subset == "evaluation" and count == official and set(labels.values()) != {_PER_CLASS}:
        lacks.append(f"{spread(labels.values())} images per class, where ImageNet has {_PER_CLASS}")
    if not dataset.global_ids:
        lacks.append("files are not named as ImageNet's own")
    return Found(subset, place, facts, lacks, faults + damaged)


def _coco(folder: Path, subsets: Sequence[Subset], full: bool) -> Report:
    boxes = [file.name for file in (*folder.glob("instances_*.json"), *folder.glob("annotations/instances_*.json"))]
    there = [subset for subset in SUBSETS if any(name.startswith(f"instances_{_COCO[subset][0]}") for name in boxes)]
    # A file of boxes with a name of its own serves for every subset; without any, the loader says what it expected.
    wanted = [subset for subset in there if subset in subsets] if there else ["evaluation"]
    found = [_coco_subset(folder, cast(Subset, subset), full) for subset in wanted]
    absent = {
        subset: COCO_BOXES[_COCO[subset][1]].images for subset in subsets if subset not in (there or ["evaluation"])
    }
    return Report("COCO 2017", found, absent)


def _coco_subset(folder: Path, subset: Subset, full: bool, annotations: Path | None = None) -> Found:
    official = COCO_BOXES[_COCO[subset][1]]
    try:
        dataset = coco.DATASET.load(coco.Options(root=folder, annotations=annotations), subset)
    except DataError as error:
        return Found(subset, str(folder), faults=[str(error)])
    files = [dataset.folder / picture.file for picture in dataset.pictures]
    total, faults = weighed(files)
    fact, damaged = decoded(dataset, full)
    count = sum(map(len, dataset.annotated.values()))
    facts = [
        f"{len(files):,} images, {size(total)}; {count:,} boxes of {dataset.classes} categories in "
        f"{len(dataset.annotated):,} of the images",
        fact,
    ]
    lacks = []
    if len(files) != official.images:
        lacks.append(f"{len(files):,} images, where COCO has {official.images:,}")
    places = (folder / official.path, folder / Path(official.path).name)
    file = next((place for place in places if place.is_file()), None)
    if file is not None and file.stat().st_size == official.bytes and sha256(file) == official.sha256:
        facts.append(f"{file.name} is the official file (SHA-256 agrees), which lists {official.boxes:,} boxes")
    else:
        lacks.append(f"the boxes are not COCO's official file of {official.boxes:,}")
    return Found(subset, str(dataset.folder), facts, lacks, faults + damaged)


_CHECKS: Mapping[Name, Callable[[Path, Sequence[Subset], bool], Report]] = {
    "imagenet": _imagenet,
    "coco": _coco,
    "cifar10": check_cifar10.check,
}

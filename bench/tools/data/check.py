"""Check how complete a dataset's folder is, and whether the loaders can read it.

The loaders themselves decide what is usable; official counts and digests, where there are any, what is complete.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from splitbench.bench.tools.data import check_cifar10
from splitbench.bench.tools.data.archives import COCO_BOXES, AnnotationFile
from splitbench.bench.tools.data.folder_report import (
    FolderReport,
    OfficialSize,
    SubsetReport,
    decode_images,
    describe_layout,
    format_range,
    format_size,
    total_size,
)
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import missing_path
from splitbench.datasets import coco, imagenet
from splitbench.datasets.base import DataError, Subset
from splitbench.datasets.formats.labelled_archives import has_archives

Checkable = Literal["imagenet", "coco", "cifar10"]

SUBSETS: tuple[Subset, ...] = ("evaluation", "train")

IMAGENET = OfficialSize({"evaluation": 50_000, "train": 1_281_167}, classes=1000)
_IMAGENET_FOLDERS: Mapping[Subset, tuple[str, ...]] = {"evaluation": ("val", "validation"), "train": ("train",)}
_COCO: Mapping[Subset, tuple[str, str]] = {"evaluation": ("val", "val2017"), "train": ("train", "train2017")}
"""The prefix in the names of annotation files, and the official subset."""


def check(
    name: Checkable,
    folder: Path,
    subsets: Sequence[Subset] = SUBSETS,
    *,
    full: bool = False,
    annotations: Path | None = None,
) -> FolderReport:
    """Check a dataset's folder.

    Args:
        name: Which dataset it should hold.
        folder: Where.
        subsets: Which subsets are wanted: ``evaluation``, ``train`` or both.
        full: Whether to decode all images, instead of a sample.
        annotations: A file of boxes in COCO's format under another name, as a path or below the folder.

    Raises:
        UserError: No such folder, or annotations for a dataset other than COCO.
    """
    if not folder.is_dir():
        raise UserError(missing_path(folder, "data folder"))
    if annotations is not None and name != "coco":
        raise UserError(f"--annotations names a file of boxes: {name} has none")
    try:
        if annotations is not None:
            return FolderReport(
                "COCO 2017", [_coco_subset(folder, subsets[0], full, official=COCO_BOXES, annotations=annotations)], {}
            )
        return _CHECKS[name](folder, subsets, full)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read ({error.strerror})") from None


def check_imagenet(
    folder: Path, subsets: Sequence[Subset], full: bool, *, official: OfficialSize = IMAGENET
) -> FolderReport:
    """Check a folder with ImageNet; arguments as in :func:`check`. Raises OSError."""

    def report(root: Path, subset: Subset, place: str) -> SubsetReport:
        return _imagenet_subset(root, subset, place, full, official=official)

    named = [
        (subset, path) for subset in SUBSETS for name in _IMAGENET_FOLDERS[subset] if (path := folder / name).is_dir()
    ]
    in_folders = {subset for subset, _ in named}
    named += [(subset, folder) for subset in SUBSETS if subset not in in_folders and has_archives(folder, subset)]
    if named:
        reports = [report(folder, subset, str(path)) for subset, path in named if subset in subsets]
        present = {subset for subset, _ in named}
    else:
        reports, present = [report(folder, "evaluation", str(folder))], {"evaluation"}
        if not reports[0].facts:
            subfolders = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
            tried = [report(path, "evaluation", f"{path} (a separate folder: --data {path})") for path in subfolders]
            # Folders without any such images are not ImageNet's; the report on their parent says what was expected.
            reports = [tried_report for tried_report in tried if tried_report.facts] or reports
    absent = {subset: official.images[subset] for subset in subsets if subset not in present}
    return FolderReport("ImageNet", reports, absent)


def _imagenet_subset(root: Path, subset: Subset, place: str, full: bool, *, official: OfficialSize) -> SubsetReport:
    try:
        dataset = cast(imagenet.StoredLabelledImages, imagenet.DATASET.load(imagenet.Options(root=root), subset))
    except DataError as error:
        return SubsetReport(subset, place, faults=[str(error)])
    if not len(dataset):
        return SubsetReport(subset, place, faults=["no images"])
    expected, per_class = official.images[subset], official.images["evaluation"] // official.classes
    count, labels = len(dataset), Counter(dataset.labels)
    total, faults = total_size(dataset.stored)
    fact, damaged = decode_images(dataset, full)
    layout = describe_layout(dataset.stored, len(labels))
    facts = [
        layout,
        f"{count:,} images of {len(labels):,} classes, {format_range(labels.values())} per class, {format_size(total)}",
        fact,
    ]
    if str(dataset.passed_over):
        facts.append(f"skipped, since their names are not those of image files: {dataset.passed_over}")
    differences = []
    if count != expected:
        differences.append(f"{count:,} images, where ImageNet has {expected:,}")
    if len(labels) != official.classes:
        differences.append(f"{len(labels):,} classes, where ImageNet has {official.classes:,}")
    if subset == "evaluation" and count == expected and set(labels.values()) != {per_class}:
        differences.append(f"{format_range(labels.values())} images per class, where ImageNet has {per_class}")
    if not dataset.global_ids:
        differences.append("files are not named as ImageNet's own")
    return SubsetReport(subset, place, facts, differences, faults + damaged)


def check_coco(
    folder: Path, subsets: Sequence[Subset], full: bool, *, official: Mapping[str, AnnotationFile] = COCO_BOXES
) -> FolderReport:
    """Check a folder with COCO; arguments as in :func:`check`. Raises OSError."""
    boxes = coco.box_files(folder)
    present = [subset for subset in SUBSETS if any(name.startswith(f"instances_{_COCO[subset][0]}") for name in boxes)]
    # A file of boxes with another name serves every subset; without any, the loader says what it expected.
    present = present or ["evaluation"]
    wanted = [subset for subset in present if subset in subsets] if boxes else present
    reports = [_coco_subset(folder, subset, full, official=official) for subset in wanted]
    absent = {subset: official[_COCO[subset][1]].images for subset in subsets if subset not in present}
    return FolderReport("COCO 2017", reports, absent)


def _coco_subset(
    folder: Path, subset: Subset, full: bool, *, official: Mapping[str, AnnotationFile], annotations: Path | None = None
) -> SubsetReport:
    expected = official[_COCO[subset][1]]
    try:
        dataset = coco.DATASET.load(coco.Options(root=folder, annotations=annotations), subset)
    except DataError as error:
        return SubsetReport(subset, str(folder), faults=[str(error)])
    total, faults = total_size(dataset.stored)
    fact, damaged = decode_images(dataset, full)
    count = sum(map(len, dataset.annotated.values()))
    facts = [
        f"{len(dataset):,} images, {format_size(total)}; {count:,} boxes of {dataset.classes} categories in "
        f"{len(dataset.annotated):,} of the images",
        fact,
    ]
    differences = []
    if len(dataset) != expected.images:
        differences.append(f"{len(dataset):,} images, where COCO has {expected.images:,}")
    file = coco.annotations_file(coco.Options(root=folder, annotations=annotations), subset)
    if file.name == Path(expected.path).name and hashlib.sha256(file.read_bytes()).hexdigest() == expected.sha256:
        facts.append(f"{file.name} is the official file (SHA-256 agrees), which lists {expected.boxes:,} boxes")
    else:
        differences.append(f"the boxes are not COCO's official file of {expected.boxes:,}")
    return SubsetReport(subset, str(dataset.place), facts, differences, faults + damaged)


_CHECKS: Mapping[Checkable, Callable[[Path, Sequence[Subset], bool], FolderReport]] = {
    "imagenet": check_imagenet,
    "coco": check_coco,
    "cifar10": check_cifar10.check,
}

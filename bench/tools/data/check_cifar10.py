"""Check how complete a folder with CIFAR-10 is: the official files, or others that a sweep names."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from splitbench.bench.tools.data.archives import CIFAR_BATCHES
from splitbench.bench.tools.data.folder_report import (
    FolderReport,
    OfficialSize,
    SubsetReport,
    decode_images,
    format_range,
    format_size,
)
from splitbench.datasets import cifar10
from splitbench.datasets.base import DataError, Subset

CIFAR10 = OfficialSize({"evaluation": 10_000, "train": 50_000}, classes=len(cifar10.CLASSES))
_BATCHES: Mapping[Subset, tuple[str, ...]] = {"evaluation": ("test_batch",), "train": CIFAR_BATCHES}
_WORDS: Mapping[Subset, str] = {"evaluation": "test", "train": "train"}
"""What the names of a subset's files hold."""
_FOLDERS = ("", "cifar-10-batches-bin", "cifar-10-batches-py")


def check(folder: Path, subsets: Sequence[Subset], full: bool, *, official: OfficialSize = CIFAR10) -> FolderReport:
    """Check the official files where there are some, otherwise every .npz and .zip. Raises OSError."""
    wanted = [subset for subset in _WORDS if subset in subsets]
    batches = {subset: _batches(folder, subset) for subset in wanted}
    chosen: list[tuple[Subset, list[Path], Path | None]]
    if any(batches.values()):
        chosen = [(subset, files, None) for subset, files in batches.items() if files]
    else:
        chosen = [(subset, [file], file) for subset in wanted for file in _user_files(folder, subset)]
    if not chosen:  # the loader says what it expected
        return FolderReport("CIFAR-10", [_subset(folder, wanted[0], [], full=full, official=official)], {})
    reports = [
        _subset(folder, subset, files, user_file=file, full=full, official=official) for subset, files, file in chosen
    ]
    present = {report.subset for report in reports}
    absent = {subset: official.images[subset] for subset in wanted if subset not in present}
    return FolderReport("CIFAR-10", reports, absent)


def _batches(folder: Path, subset: Subset) -> list[Path]:
    """Return the official batches in the first place that has any."""
    for name in _FOLDERS:
        for suffix in (".bin", ""):
            paths = [folder / name / f"{batch}{suffix}" for batch in _BATCHES[subset]]
            if files := [path for path in paths if path.is_file()]:
                return files
    return []


def _user_files(folder: Path, subset: Subset) -> list[Path]:
    """Return other files that may hold a subset, by their names; one that names neither may hold both."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".npz", ".zip") and path.is_file())
    (other,) = (word for name, word in _WORDS.items() if name != subset)
    return [file for file in files if _WORDS[subset] in file.name or other not in file.name]


def _subset(
    folder: Path,
    subset: Subset,
    files: Sequence[Path],
    *,
    user_file: Path | None = None,
    full: bool,
    official: OfficialSize,
) -> SubsetReport:
    place = str(files[0] if len(files) == 1 else files[0].parent if files else folder)
    key, expected = f"{_WORDS[subset]}_file", official.images[subset]
    named = {key: user_file.relative_to(folder)} if user_file else {}
    try:
        kind = cifar10.Options.model_validate({"root": folder, **named})
        dataset = cast(cifar10.CifarImages, cifar10.DATASET.load(kind, subset))
    except DataError as error:
        return SubsetReport(subset, place, faults=[str(error)])
    if not len(dataset):
        return SubsetReport(subset, place, faults=["no images"])
    labels = Counter(entry.label for entry in dataset.images)
    fact, damaged = decode_images(dataset, full)
    facts = [
        f"{len(dataset):,} images of {len(labels)} classes, {format_range(labels.values())} per class, "
        f"{format_size(sum(file.stat().st_size for file in files))}",
        fact,
    ]
    differences = []
    if len(dataset) != expected:
        differences.append(f"{len(dataset):,} images, where CIFAR-10 has {expected:,}")
    elif set(labels.values()) != {expected // official.classes}:
        differences.append(
            f"{format_range(labels.values())} images per class, where CIFAR-10 has the same number of each"
        )
    if named:
        facts.append(f"for a sweep: `{key}: {named[key]}`")
        differences.append("not one of the official files, so its pixels need not be CIFAR-10's")
    else:
        changed = _changed(files)
        differences += [f"{', '.join(changed)}: another MD5 than the official file's"] if changed else []
    return SubsetReport(subset, place, facts, differences, damaged)


def _changed(files: Sequence[Path]) -> list[str]:
    """Return the files of Python's version whose MD5 is not torchvision's; the binary version has no known digests."""
    from torchvision.datasets import CIFAR10

    known = dict([*CIFAR10.train_list, *CIFAR10.test_list])
    return [
        file.name
        for file in files
        if file.name in known and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() != known[file.name]
    ]

"""Tells how complete a folder with CIFAR-10 is: the official files, or others that are named in a sweep."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from splitbench.bench.tools.data.archives import CIFAR_BATCHES
from splitbench.bench.tools.data.report import Found, Report, decoded, size, spread
from splitbench.datasets import cifar10
from splitbench.datasets.base import DataError, Subset

_HALVES: Mapping[Subset, str] = {"evaluation": "test", "train": "train"}
_IMAGES: Mapping[str, int] = {"test": 10_000, "train": 50_000}
_BATCHES: Mapping[str, tuple[str, ...]] = {"test": ("test_batch",), "train": CIFAR_BATCHES}
_FOLDERS = ("", "cifar-10-batches-bin", "cifar-10-batches-py")


def check(folder: Path, subsets: Sequence[Subset], full: bool) -> Report:
    """Look at the official files where there are some, otherwise at every .npz and .zip. Raises OSError."""
    wanted = [subset for subset in _HALVES if subset in subsets]
    files = {subset: _official(folder, _HALVES[subset]) for subset in wanted}
    if any(files.values()):
        found = [_subset(folder, subset, files[subset], {}, full) for subset in wanted if files[subset]]
        there = {subset for subset in wanted if files[subset]}
    else:
        own = [(subset, file) for subset in wanted for file in _own(folder, _HALVES[subset])]
        found = [_subset(folder, subset, [file], {f"{_HALVES[subset]}_file": file}, full) for subset, file in own]
        there = {subset for subset, _ in own}
        if not own:  # the loader says what it expected
            found, there = [_subset(folder, wanted[0], [], {}, full)], set(wanted)
    absent = {subset: _IMAGES[_HALVES[subset]] for subset in wanted if subset not in there}
    return Report("CIFAR-10", found, absent)


def _official(folder: Path, half: str) -> list[Path]:
    """The batches that are there, in the first place that has any."""
    for place in _FOLDERS:
        for suffix in (".bin", ""):
            files = [folder / place / f"{batch}{suffix}" for batch in _BATCHES[half]]
            there = [file for file in files if file.is_file()]
            if there:
                return there
    return []


def _own(folder: Path, half: str) -> list[Path]:
    """Other files that could hold one of the halves, by their names; one that names neither may hold both."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".npz", ".zip") and path.is_file())
    other = "train" if half == "test" else "test"
    return [file for file in files if half in file.name or other not in file.name]


def _subset(folder: Path, subset: Subset, files: Sequence[Path], named: Mapping[str, Path], full: bool) -> Found:
    half = _HALVES[subset]
    place = str(files[0] if len(files) == 1 else files[0].parent if files else folder)
    options = {key: file.relative_to(folder) for key, file in named.items()}
    try:
        kind = cifar10.Options.model_validate({"root": folder, **options})
        dataset = cast(cifar10.Pictures, cifar10.DATASET.load(kind, subset))
    except DataError as error:
        return Found(subset, place, faults=[str(error)])
    if not len(dataset):
        return Found(subset, place, faults=["no images"])
    labels = Counter(picture.label for picture in dataset.pictures)
    fact, damaged = decoded(dataset, full)
    facts = [
        f"{len(dataset):,} images of {len(labels)} classes, {spread(labels.values())} per class, "
        f"{size(sum(file.stat().st_size for file in files))}",
        fact,
    ]
    lacks = []
    if len(dataset) != _IMAGES[half]:
        lacks.append(f"{len(dataset):,} images, where CIFAR-10 has {_IMAGES[half]:,}")
    elif set(labels.values()) != {_IMAGES[half] // len(cifar10.CLASSES)}:
        lacks.append(f"{spread(labels.values())} images per class, where CIFAR-10 has the same number of each")
    if named:
        key, file = next(iter(options.items()))
        facts.append(f"for a sweep: `{key}: {file}`")
        lacks.append("not one of the official files, so its pixels need not be CIFAR-10's")
    else:
        changed = _changed(files)
        lacks += [f"{', '.join(changed)}: another MD5 than the official file's"] if changed else []
    return Found(subset, place, facts, lacks, damaged)


def _changed(files: Sequence[Path]) -> list[str]:
    """Files of Python's version with another digest than the one that torchvision knows; the binary's has none."""
    from torchvision.datasets import CIFAR10

    known = dict([*CIFAR10.train_list, *CIFAR10.test_list])
    return [
        file.name
        for file in files
        if file.name in known and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() != known[file.name]
    ]

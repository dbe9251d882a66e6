"""Recognizes what a folder holds: every dataset that reads folders tries to open it."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import missing_path
from splitbench.bench.utils.plugins import DATASETS
from splitbench.bench.utils.text import format_count
from splitbench.datasets.base import DataError, Dataset, DatasetKind, Subset, Task, named
from splitbench.datasets.formats.folders import list_images


@dataclass(frozen=True)
class FoundData:
    """Labelled images in a folder.

    Attributes:
        kind: The dataset that reads it, by name.
        folder: The folder, absolute.
        task: What its labels are for.
        images: How many there are to evaluate on.
        classes: How many classes they are of, as far as is known.
        train_images: How many others there are to calibrate and train on; 0 for none, and where names are shared.
        shared: The names that images to train on share with some that are evaluated on.
    """

    kind: str
    folder: Path
    task: Task
    images: int
    classes: int
    train_images: int
    shared: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For a message: ``120 images with labels for classification (dataset imagenet)``."""
        others = f"{self.train_images:,} others to calibrate and train on" if self.train_images else "no others"
        if self.shared:
            others = f"none to calibrate or train on, since images there have the same names ({named(self.shared)})"
        labels = "boxes" if self.task == "detection" else "labels"
        return f"{self.images:,} images with {labels} to evaluate on, {others} (dataset {self.kind})"


def recognize(folder: Path, task: Task | None = None) -> FoundData:
    """Return what a folder holds.

    Args:
        folder: The folder.
        task: What the labels must be for; None for either.

    Raises:
        UserError: There is no such folder, or nothing in it that a sweep could be run on; the message says what to do.
    """
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise UserError(missing_path(folder, "data folder"))
    found, faults = _opened(folder)
    fitting = [data for data in found if task in (None, data.task)]
    if fitting:
        return fitting[0]
    if found:
        other = found[0].task
        raise UserError(
            f"{folder} holds images with labels for {other}, and the backbone is for {task}: choose another "
            f"(`splitbench list backbones --task {other}`)"
        )
    below = [path for path in sorted(folder.iterdir()) if path.is_dir() and _opened(path)[0]]
    if below:
        raise UserError(f"{folder} holds no labelled images itself: name one of {', '.join(map(str, below[:5]))}")
    images = sum(len(names) for _, names in list_images(folder)[0])
    if not images:
        raise UserError(f"{folder} holds no images: name the folder that holds your pictures")
    if annotated := [fault for name, fault in faults.items() if name == "coco" and any(folder.rglob("*.json"))]:
        raise UserError(annotated[0])
    raise UserError(
        f"{folder} holds {format_count(images, 'image')} without labels: put those of each class into a folder of its "
        f"own ({folder.name}/val/cat/*), or a CSV beside them (columns file,label), or boxes in COCO's format "
        f"({folder.name}/instances_val.json)"
    )


def _opened(folder: Path) -> tuple[list[FoundData], dict[str, str]]:
    """Return what the datasets that read folders find there, and why the others cannot, by name."""
    found, faults = [], {}
    for name in DATASETS.names():
        try:
            kind = DATASETS.get(name)
            if "root" in kind.Options.model_fields:
                dataset = _load(kind, folder, "evaluation")
                others, shared = _others(kind, folder, dataset)
                task = cast(Task, kind.task)
                found.append(FoundData(name, folder, task, len(dataset), dataset.classes, others, shared))
        except (DataError, UserError) as error:
            faults[name] = str(error)
    return found, faults


def _load(kind: DatasetKind, folder: Path, subset: Subset) -> Dataset:
    dataset = kind.load(kind.Options.model_validate({"root": folder}), subset)
    if not len(dataset):
        raise DataError(f"no images in {folder}")
    return dataset


def _others(kind: DatasetKind, folder: Path, evaluation: Dataset) -> tuple[int, tuple[str, ...]]:
    """Return how many images there are to train on, or the names that forbid it: they are evaluated on, too."""
    try:
        train = _load(kind, folder, "train")
    except DataError:
        return 0, ()
    if set(train.ids) == set(evaluation.ids):  # the same images: the folder has but one subset
        return 0, ()
    shared = tuple(sorted(set(train.ids) & set(evaluation.ids)))
    return (0, shared) if shared else (len(train), ())

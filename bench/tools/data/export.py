"""Write the synthetic dataset as files for other tools, which this project's loaders read, too.

    classification   OUT/val/03/evaluation-000000.png, a folder per class; OUT/classes.txt names the classes
    detection        OUT/images/val/evaluation-000000.png, OUT/annotations/instances_val.json in COCO's format

Training and calibration images go to ``train`` instead of ``val``. Images are PNG: every pixel as it was drawn.
"""

import json
from pathlib import Path
from typing import Any

from splitbench.bench.utils import progress
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import write_file
from splitbench.datasets import synthetic, synthetic_detection
from splitbench.datasets.base import Dataset, Subset, Task
from splitbench.datasets.formats.detection_dataset import DetectionDataset

FOLDERS: dict[Subset, str] = {"evaluation": "val", "calibration": "train", "train": "train"}
"""Where ImageNet's and COCO's loaders search for each subset."""


def export(out: Path, task: Task, subset: Subset, limit: int | None = None, *, seed: int = 0) -> list[Path]:
    """Write a subset of the synthetic dataset below ``out``.

    Args:
        out: The folder, created where it is missing.
        task: Which view of the scenes: single objects with a class, or whole scenes with boxes.
        subset: Which subset; ``calibration`` and ``train`` go to the same folder.
        limit: Number of images, from the first; all where None.
        seed: Seed of the drawing.

    Returns:
        The folder of the images and the file of their labels.

    Raises:
        UserError: The folder of the images is not empty, or cannot be written.
    """
    images = out / FOLDERS[subset] if task == "classification" else out / "images" / FOLDERS[subset]
    options = synthetic.Options(limit=limit, seed=seed)
    try:
        if images.is_dir() and any(images.iterdir()):
            raise UserError(f"{images} is not empty: choose another folder, or remove it")
        images.mkdir(parents=True, exist_ok=True)
        if task == "classification":
            labels = _classes(synthetic.DATASET.load(options, subset), images, out)
        else:
            labels = _coco(synthetic_detection.DATASET.load(options, subset), images, out)
    except OSError as error:
        raise UserError(f"cannot write to {out} ({error.strerror})") from None
    return [images, labels]


def _classes(dataset: synthetic.SyntheticClassification, images: Path, out: Path) -> Path:
    # Folders are named by class number: names would be numbered differently where a class has no image.
    folders = [images / f"{number:02}" for number in range(dataset.classes)]
    for index in progress.track(range(len(dataset)), "writing", unit="images"):
        folder = folders[dataset.target(index)]
        folder.mkdir(exist_ok=True)
        _write(dataset, index, folder)
    names = out / "classes.txt"
    return write_file(names, "".join(f"{n:02} {name}\n" for n, name in enumerate(dataset.class_names)))


def _coco(dataset: synthetic_detection.SyntheticDetection, images: Path, out: Path) -> Path:
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in progress.track(range(len(dataset)), "writing", unit="images"):
        file = _write(dataset, index, images)
        height, width = dataset.size(index)
        number = index + 1
        entries.append({"id": number, "file_name": file.name, "height": height, "width": width})
        for box in dataset.boxes(index):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **box})
    content = {
        "info": {"description": f"splitbench's synthetic dataset, {dataset.subset} subset, seed {dataset.seed}"},
        "images": entries,
        "annotations": annotations,
        "categories": [
            {"id": category, "name": name, "supercategory": "thing"}
            for category, name in zip(dataset.categories, dataset.class_names, strict=True)
        ],
    }
    file = out / "annotations" / f"instances_{images.name}.json"
    return write_file(file, json.dumps(content))


def _write(dataset: Dataset | DetectionDataset, index: int, folder: Path) -> Path:
    file = folder / f"{dataset.ids[index]}.png"
    dataset.image(index).save(file)
    return file

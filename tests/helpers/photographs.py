"""Small images in ImageNet's folders."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image


def write_photographs(folder: Path, count: int, first: int = 0, size: int = 80) -> list[Path]:
    """Smooth random images as JPEG files: they compress like photographs, not like noise."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(first, first + count):
        rng = np.random.default_rng(index)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
        image = coarse.resize((size + 10 + index % 7, size + index % 5), Image.Resampling.BICUBIC)
        files.append(folder / f"photo_{index:04d}.JPEG")
        image.save(files[-1], quality=92)
    return files


def photographs_in(root: Path) -> Path:
    """A folder with 12 evaluation photographs and 8 for calibration, each with a CSV of labels."""
    for part, count, first in (("val", 12, 0), ("train", 8, 100)):
        files = write_photographs(root / part / "images", count, first)
        with (root / part / "labels.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["file", "label"])
            writer.writerows([f"images/{file.name}", index % 10] for index, file in enumerate(files))
    return root


def picture(width: int, height: int) -> Image.Image:
    """Colours that change slowly, always the same for a size."""
    rng = np.random.default_rng(width)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)

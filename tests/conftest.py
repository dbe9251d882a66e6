"""Small generated data for all tests, and the pack of real weights and photographs where it is present."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from tests.helpers.small_sweep import SMALL

torch.set_num_threads(1)  # small batches: threads that wait for one another cost more than they save
settings.register_profile("splitbench", deadline=None)  # machines are noisy, and numba compiles at first use
settings.load_profile("splitbench")

_PACK = Path(os.environ.get("SPLITBENCH_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))


def write_photographs(folder: Path, count: int, first: int = 0, size: int = 80) -> list[Path]:
    """Smooth random pictures as JPEG files: they compress like photographs, not like noise."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(first, first + count):
        rng = np.random.default_rng(index)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
        picture = coarse.resize((size + 10 + index % 7, size + index % 5), Image.Resampling.BICUBIC)
        files.append(folder / f"photo_{index:04d}.JPEG")
        picture.save(files[-1], quality=92)
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


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return photographs_in(tmp_path / "data")


@pytest.fixture(scope="session")
def pack() -> Path:
    """The pack of real weights and labelled photographs; tests that need it skip where it is absent."""
    if not (_PACK / "PROVENANCE.md").is_file():
        pytest.skip("the pack of real weights and photographs is not here (SPLITBENCH_REALDATA names it)")
    return _PACK


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A sweep's file; tests change its text."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path

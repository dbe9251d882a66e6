"""Dataset objects of other libraries as datasets here."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from torchvision.datasets import FakeData
from torchvision.transforms import v2

from splitbench.datasets import DataError, ImageError, ObjectDataset, fingerprint
from tests.helpers.command_line import rows, splitbench

OPTIONS = ObjectDataset.Options()
ROOT = Path(__file__).resolve().parents[2]


class Mappings:
    """Items as Hugging Face's ``Dataset`` has them."""

    class Feature:
        num_classes = 7

    features: ClassVar[Mapping[str, Any]] = {"image": object(), "label": Feature()}

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": Image.new("L", (8, 6), 50 * index), "label": index, "id": str(index)}


def test_torchvisions_objects_are_the_same_images_with_the_same_labels():
    fake = FakeData(6, (3, 8, 8), num_classes=5)
    dataset = ObjectDataset(lambda: fake, classes=5).load(OPTIONS, "evaluation")
    assert (len(dataset), dataset.classes, dataset.task) == (6, 5, "classification")
    assert dataset.ids == tuple(f"evaluation-{index}" for index in range(6))
    for index in range(6):
        image, label = fake[index]
        assert dataset.image(index).tobytes() == image.tobytes() and dataset.target(index) == int(label)
    again = ObjectDataset(lambda: FakeData(6, (3, 8, 8), num_classes=5), classes=5).load(OPTIONS, "evaluation")
    assert fingerprint(dataset) == fingerprint(again)
    other = FakeData(6, (3, 8, 8), num_classes=5, random_offset=1)
    assert fingerprint(dataset) != fingerprint(ObjectDataset(lambda: other).load(OPTIONS, "evaluation"))


def test_objects_that_only_one_thread_may_read_are_read_by_one_at_a_time():
    """FakeData seeds the library's one generator for each item."""

    def digest() -> str:
        return fingerprint(ObjectDataset(lambda: FakeData(300, (3, 32, 32))).load(OPTIONS, "evaluation"))

    assert digest() == digest()


def test_hugging_faces_objects_have_named_fields():
    dataset = ObjectDataset(Mappings).load(OPTIONS, "evaluation")
    assert dataset.classes == 7 and dataset.target(3) == 3
    assert dataset.image(2).mode == "RGB" and dataset.image(2).getpixel((0, 0)) == (100, 100, 100)
    with pytest.raises(DataError, match="have no 'picture', but image, label, id: name the keys by"):
        ObjectDataset(Mappings, image="picture").load(OPTIONS, "evaluation")


HUGGING_FACE = """
try:
    from datasets import ClassLabel, Dataset, Features, Image
except ImportError:
    raise SystemExit(5)
import numpy, PIL.Image
from splitbench.datasets import ObjectDataset
pictures = [PIL.Image.fromarray(numpy.full((6, 8, 3), value, "uint8")) for value in (0, 200)]
features = Features({"image": Image(), "label": ClassLabel(names=["cat", "dog"])})
theirs = Dataset.from_dict({"image": pictures, "label": [0, 1]}, features=features)
dataset = ObjectDataset(lambda: theirs).load(ObjectDataset.Options(), "evaluation")
print(dataset.classes, dataset.target(1), dataset.image(1).size, dataset.image(1).getpixel((3, 3)))
"""


def test_the_package_of_hugging_face(tmp_path: Path):
    # In a process whose path does not hold this project's folder, which has a `datasets` of its own.
    paths = [path for path in map(Path, sys.path) if path.is_dir() and path.resolve() != ROOT]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-c", HUGGING_FACE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)  # noqa: S603
    if done.returncode == 5:
        pytest.skip("the package `datasets` of Hugging Face is not installed")
    assert done.stdout.split() == ["2", "1", "(8,", "6)", "(200,", "200,", "200)"], done.stderr


@pytest.mark.parametrize(
    "transform", [v2.PILToTensor(), v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])]
)
def test_tensors_are_pictures_as_long_as_they_are_not_normalized(transform):
    dataset = ObjectDataset(lambda: FakeData(2, (3, 8, 6), transform=transform)).load(OPTIONS, "evaluation")
    assert dataset.image(1).tobytes() == FakeData(2, (3, 8, 6))[1][0].tobytes()
    shifted = v2.Compose([transform, v2.ToDtype(torch.float32), v2.Normalize([0.5] * 3, [0.25] * 3)])
    with pytest.raises(ImageError, match="leave the transform out"):
        ObjectDataset(lambda: FakeData(2, (3, 8, 6), transform=shifted)).load(OPTIONS, "evaluation")


def test_a_limit_takes_the_same_images_each_time():
    kind = ObjectDataset(lambda: FakeData(50, (3, 8, 8)), train=lambda: FakeData(9, (3, 8, 8), random_offset=1))
    chosen = kind.load(kind.Options(limit=5), "evaluation").ids
    assert len(chosen) == 5 == len(set(chosen)) and chosen == kind.load(kind.Options(limit=5), "evaluation").ids
    assert chosen != kind.load(kind.Options(limit=5, seed=1), "evaluation").ids
    assert kind.load(OPTIONS, "train").ids == kind.load(OPTIONS, "calibration").ids
    with pytest.raises(DataError, match=r"there are no train images: give ObjectDataset `train=\.\.\.`"):
        ObjectDataset(Mappings).load(OPTIONS, "train")


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([1, 2], "are no pairs"),
        ([("a", 1)], "is no picture"),
        ([(Image.new("L", (2, 2)), "cat")], "the label 'cat' of item 0 is no class index"),
    ],
)
def test_items_that_are_no_labelled_pictures(items, sentence):
    with pytest.raises(DataError, match=sentence):
        ObjectDataset(lambda: items).load(OPTIONS, "evaluation")


OWN = """
from torchvision.datasets import FakeData
from splitbench.datasets import ObjectDataset

DATASET = ObjectDataset(lambda: FakeData(8, (3, 96, 96)), train=lambda: FakeData(8, (3, 96, 96), random_offset=8))
"""
SWEEP = """
datasets: [{name: "object_of_mine:DATASET", limit: 4}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods: [{name: quantize-rle, bits: [4], range: calibrated}]
"""


@pytest.mark.usefixtures("no_figures")
def test_a_sweep_names_one_by_its_import_path(tmp_path: Path, monkeypatch):
    (tmp_path / "object_of_mine.py").write_text(OWN)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    assert splitbench("run", "sweep.yaml", "--out", "out") == 0
    (row,) = rows(tmp_path / "out")
    assert (row["status"], row["images"]) == ("ok", "4")


@pytest.mark.usefixtures("no_figures")
def test_the_dataset_that_the_docs_show_runs(tmp_path: Path, monkeypatch):
    page = (ROOT / "docs" / "your-own.md").read_text(encoding="utf-8")
    code = re.search(r'```python\n("""named: .*?)```', page, re.DOTALL)
    assert code is not None
    (tmp_path / "named.py").write_text(code[1])
    for subset, first in (("val", 0), ("train", 5)):
        (tmp_path / "pictures" / subset).mkdir(parents=True)
        for number in range(first, first + 5):
            Image.new("RGB", (96, 96), (number * 25, 0, 0)).save(tmp_path / "pictures" / subset / f"{number}_a.png")
    sweep = SWEEP.replace("object_of_mine:DATASET", "named:DATASET").replace("limit: 4", "root: pictures")
    (tmp_path / "sweep.yaml").write_text(sweep)
    monkeypatch.chdir(tmp_path)
    assert splitbench("run", "sweep.yaml", "--out", "out") == 0
    (row,) = rows(tmp_path / "out")
    assert (row["status"], row["images"]) == ("ok", "5")

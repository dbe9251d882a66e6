"""What a check tells of folders: whole, in part, damaged, of another kind, and of the pack's real photographs."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from splitbench.bench.tools.data import check as check_module
from splitbench.bench.tools.data import check_cifar10
from splitbench.bench.tools.data.archives import Annotations
from splitbench.bench.tools.data.check import check
from splitbench.bench.utils.errors import UserError
from splitbench.datasets.imagenet import synset_indices
from tests.helpers.coco_samples import write_coco
from tests.helpers.command_line import splitbench
from tests.helpers.photographs import write_photographs


def told(report) -> str:
    return "\n".join(report.lines())


@pytest.fixture
def small_imagenet(tmp_path, monkeypatch) -> Path:
    """Two classes of two images to evaluate on and three to train on, and an ImageNet that is as small."""
    official = {"evaluation": (("val", "validation"), 4), "train": (("train",), 6)}
    monkeypatch.setattr(check_module, "_IMAGENET", official)
    monkeypatch.setattr(check_module, "_CLASSES", 2)
    monkeypatch.setattr(check_module, "_PER_CLASS", 2)
    for number, synset in enumerate(sorted(synset_indices())[:2]):
        for part, count in (("val", 2), ("train", 3)):
            for index, file in enumerate(write_photographs(tmp_path / part / synset, count)):
                name = f"ILSVRC2012_val_{2 * number + index:08}" if part == "val" else f"{synset}_{index}"
                file.rename(file.with_name(f"{name}.JPEG"))
    return tmp_path


def test_a_whole_imagenet_is_complete(small_imagenet):
    report = check("imagenet", small_imagenet, full=True)
    assert report.code == 0
    assert "evaluation and train images of ImageNet are all here" in report.verdict
    assert "a folder per class" in told(report) and "4 images of 2 classes, 2 per class" in told(report)


def test_imagenet_without_training_images_compares_with_published_scores(small_imagenet):
    (small_imagenet / "train").rename(small_imagenet / "other")
    report = check("imagenet", small_imagenet)
    assert report.code == 1
    assert "absent: train images, of which ImageNet has 6" in told(report)
    assert "all images to evaluate on are here" in report.verdict
    assert check("imagenet", small_imagenet, ["evaluation"]).code == 0


def test_a_missing_image_and_an_uneven_class_are_told(small_imagenet):
    first, second = sorted((small_imagenet / "val").iterdir())
    one = next(first.iterdir())
    one.rename(second / one.name)
    report = check("imagenet", small_imagenet)
    assert report.code == 1 and "1 to 3 images per class, where ImageNet has 2" in told(report)
    (second / one.name).unlink()
    report = check("imagenet", small_imagenet)
    assert "3 images, where ImageNet has 4" in told(report) and "do not compare" in report.verdict


@pytest.mark.parametrize(("content", "fault"), [(b"", "are empty"), (b"no JPEG", "cannot be decoded")])
def test_damaged_images_make_a_folder_unusable(small_imagenet, content, fault):
    next((small_imagenet / "val").rglob("*.JPEG")).write_bytes(content)
    report = check("imagenet", small_imagenet)
    assert report.code == 2 and fault in told(report) and "not usable" in report.verdict


def test_only_a_sample_is_decoded_unless_all_are_asked_for(tmp_path):
    files = write_photographs(tmp_path / "val" / "images", 70, size=16)
    with (tmp_path / "val" / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["file", "label"], *([f"images/{file.name}", 0] for file in files)])
    assert "64 images decoded" in told(check("imagenet", tmp_path))
    assert "all images decoded" in told(check("imagenet", tmp_path, full=True))
    for file in files:
        file.write_bytes(b"no JPEG")
    assert "64 of 64 images cannot" in told(check("imagenet", tmp_path))
    assert "70 of 70 images cannot" in told(check("imagenet", tmp_path, full=True))


def test_labels_of_images_that_are_not_there_are_told(photographs):
    (photographs / "val" / "images" / "photo_0003.JPEG").unlink()
    report = check("imagenet", photographs)
    assert report.code == 2 and "names 1 images of 12 that are not in" in told(report)


def small_coco(root: Path, monkeypatch, **parts: Path) -> None:
    """An official COCO that is what ``parts`` hold."""
    official = {}
    for part, file in parts.items():
        content = json.loads(file.read_text())
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        counts = len(content["images"]), len(content["annotations"])
        official[part] = Annotations(f"annotations/{file.name}", file.stat().st_size, digest, *counts)
    monkeypatch.setattr(check_module, "COCO_BOXES", official)


def test_a_whole_coco_is_complete(tmp_path, monkeypatch):
    files = {"val2017": write_coco(tmp_path), "train2017": write_coco(tmp_path, "train2017", first=100)}
    small_coco(tmp_path, monkeypatch, **files)
    report = check("coco", tmp_path)
    assert report.code == 0 and "6 boxes of 3 categories in 5 of the images" in told(report)
    files["val2017"].write_text(files["val2017"].read_text().replace("30", "31", 1))
    report = check("coco", tmp_path)
    assert report.code == 1 and "not COCO's official file of 6" in told(report)


def test_a_subset_of_coco_is_usable_and_missing_images_are_not(tmp_path):
    write_coco(tmp_path)
    report = check("coco", tmp_path)
    assert report.code == 1
    assert "6 images, where COCO has 5,000" in told(report)
    assert "absent: train images, of which COCO 2017 has 118,287" in told(report)
    (tmp_path / "images" / "val2017" / "000000000002.jpg").unlink()
    report = check("coco", tmp_path)
    assert report.code == 2 and "names 1 images of 6 that are missing: 000000000002.jpg" in told(report)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("imagenet", "expected a folder per class"), ("coco", "expected annotations/"), ("cifar10", "no CIFAR-10 in")],
)
def test_an_empty_folder_is_not_usable_and_tells_what_was_expected(tmp_path, name, expected, capsys):
    assert splitbench("data", "check", name, tmp_path) == 2
    assert expected in capsys.readouterr().out
    with pytest.raises(UserError, match="not found"):
        check(name, tmp_path / "nowhere")


def write_cifar10(folder: Path) -> None:
    """Two pictures of every class in each file of the binary version."""
    folder.mkdir(parents=True)
    rows = np.random.default_rng(0).integers(0, 256, (20, 3073), np.uint8)
    rows[:, 0] = np.arange(20) % 10
    for name in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (folder / f"{name}.bin").write_bytes(rows.tobytes())


def test_cifar10s_official_files(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-bin"
    write_cifar10(folder)
    report = check("cifar10", tmp_path)
    assert report.code == 1 and "20 images, where CIFAR-10 has 10,000" in told(report)
    monkeypatch.setattr(check_cifar10, "_IMAGES", {"test": 20, "train": 100})
    report = check("cifar10", tmp_path, full=True)
    assert report.code == 0 and "100 images of 10 classes, 10 per class" in told(report)
    (folder / "data_batch_4.bin").unlink()
    report = check("cifar10", tmp_path)
    assert report.code == 2 and "data_batch_4.bin is missing" in told(report)
    (folder / "test_batch.bin").unlink()
    assert "absent: evaluation images" in told(check("cifar10", tmp_path))


def test_cifar10_in_files_of_ones_own_tells_how_to_name_them(tmp_path):
    for name in ("mine_test.npz", "mine_train.npz"):
        np.savez(tmp_path / name, x=np.zeros((4, 32, 32, 3), np.uint8), y=np.arange(4))
    report = check("cifar10", tmp_path)
    assert report.code == 1 and len(report.subsets) == 2
    assert "`test_file: mine_test.npz`" in told(report) and "`train_file: mine_train.npz`" in told(report)
    (tmp_path / "mine_test.npz").write_bytes(b"PK")
    assert check("cifar10", tmp_path).code == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("imagenet", ["120 images of", "650 images of", "where ImageNet has 50,000"]),
        ("coco", ["158 images", "1,424 boxes of 80 categories", "where COCO has 5,000"]),
        ("cifar10", ["20,000 images of 10 classes", "where CIFAR-10 has 50,000"]),
    ],
)
def test_the_pack_is_usable_but_not_complete(pack, name, expected, capsys):
    assert splitbench("data", "check", name, pack / name) == 1
    printed = capsys.readouterr().out
    assert all(words in printed for words in expected)
    assert "usable, but not all of" in printed and "do not compare with published ones" in printed


def test_a_file_of_boxes_with_a_name_of_its_own_is_named_by_an_option(tmp_path, capsys):
    write_coco(tmp_path)
    (file,) = tmp_path.rglob("instances_*.json")
    file.rename(tmp_path / "boxes.json")
    for picture in (tmp_path / "images" / "val2017").iterdir():
        picture.rename(tmp_path / "images" / picture.name)
    assert splitbench("data", "check", "coco", tmp_path) == 2
    assert "there are boxes.json: name one in `annotations`" in capsys.readouterr().out
    assert splitbench("data", "check", "coco", tmp_path, "--annotations", "boxes.json") == 1
    assert "usable, but not all of COCO 2017" in capsys.readouterr().out
    assert splitbench("data", "check", "imagenet", tmp_path, "--annotations", "boxes.json") == 2
    assert "--annotations names a file of boxes: imagenet has none" in capsys.readouterr().err

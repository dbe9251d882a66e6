"""What a check reports of folders: whole, in part, damaged, of another kind, and of the pack's real photographs."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from splitbench.bench.tools.data import check_cifar10
from splitbench.bench.tools.data.archives import AnnotationFile
from splitbench.bench.tools.data.check import SUBSETS, check, check_coco, check_imagenet
from splitbench.bench.tools.data.folder_report import OfficialSize
from splitbench.bench.utils.errors import UserError
from splitbench.datasets.formats.devkit import synset_indices
from tests.helpers.coco_samples import write_coco
from tests.helpers.command_line import splitbench
from tests.helpers.photographs import write_photographs

SMALL_IMAGENET = OfficialSize({"evaluation": 4, "train": 6}, classes=2)


def lines_of(report) -> str:
    return "\n".join(report.lines())


def check_small(folder: Path, subsets=SUBSETS, full: bool = False):
    return check_imagenet(folder, subsets, full, official=SMALL_IMAGENET)


@pytest.fixture
def small_imagenet(tmp_path) -> Path:
    """Two classes of two evaluation images and three training images: all of ``SMALL_IMAGENET``."""
    for number, synset in enumerate(sorted(synset_indices())[:2]):
        for part, count in (("val", 2), ("train", 3)):
            for index, file in enumerate(write_photographs(tmp_path / part / synset, count)):
                name = f"ILSVRC2012_val_{2 * number + index:08}" if part == "val" else f"{synset}_{index}"
                file.rename(file.with_name(f"{name}.JPEG"))
    return tmp_path


def test_a_whole_imagenet_is_complete(small_imagenet):
    report = check_small(small_imagenet, full=True)
    assert report.complete
    assert "evaluation and train images of ImageNet are all here" in report.verdict
    assert "a folder per class" in lines_of(report) and "4 images of 2 classes, 2 per class" in lines_of(report)


def test_imagenet_without_training_images_compares_with_published_scores(small_imagenet):
    (small_imagenet / "train").rename(small_imagenet / "other")
    report = check_small(small_imagenet)
    assert report.usable and not report.complete
    assert "absent: train images, of which ImageNet has 6" in lines_of(report)
    assert "all images to evaluate on are here" in report.verdict
    assert check_small(small_imagenet, ["evaluation"]).complete


def test_a_missing_image_and_an_uneven_class_are_reported(small_imagenet):
    first, second = sorted((small_imagenet / "val").iterdir())
    moved = next(first.iterdir())
    moved.rename(second / moved.name)
    report = check_small(small_imagenet)
    assert report.usable and not report.complete and "1 to 3 images per class, where ImageNet has 2" in lines_of(report)
    (second / moved.name).unlink()
    report = check_small(small_imagenet)
    assert "3 images, where ImageNet has 4" in lines_of(report) and "do not compare" in report.verdict


@pytest.mark.parametrize(("content", "fault"), [(b"", "are empty"), (b"no JPEG", "cannot be decoded")])
def test_damaged_images_make_a_folder_unusable(small_imagenet, content, fault):
    next((small_imagenet / "val").rglob("*.JPEG")).write_bytes(content)
    report = check_small(small_imagenet)
    assert not report.usable and fault in lines_of(report) and "not usable" in report.verdict


def test_only_a_sample_is_decoded_unless_all_are_asked_for(tmp_path):
    files = write_photographs(tmp_path / "val" / "images", 70, size=16)
    with (tmp_path / "val" / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["file", "label"], *([f"images/{file.name}", 0] for file in files)])
    assert "64 images decoded" in lines_of(check("imagenet", tmp_path))
    assert "all images decoded" in lines_of(check("imagenet", tmp_path, full=True))
    for file in files:
        file.write_bytes(b"no JPEG")
    assert "64 of 64 images cannot" in lines_of(check("imagenet", tmp_path))
    assert "70 of 70 images cannot" in lines_of(check("imagenet", tmp_path, full=True))


def test_labels_of_images_that_are_not_there_are_reported(photographs):
    (photographs / "val" / "images" / "photo_0003.JPEG").unlink()
    report = check("imagenet", photographs)
    assert not report.usable and "names 1 images of 12 that are not in" in lines_of(report)


def official_coco(**parts: Path) -> dict[str, AnnotationFile]:
    """An official COCO that has just the files ``parts``."""
    official = {}
    for part, file in parts.items():
        content = json.loads(file.read_text())
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        counts = len(content["images"]), len(content["annotations"])
        official[part] = AnnotationFile(f"annotations/{file.name}", file.stat().st_size, digest, *counts)
    return official


def test_a_whole_coco_is_complete(tmp_path):
    files = {"val2017": write_coco(tmp_path), "train2017": write_coco(tmp_path, "train2017", first=100)}
    official = official_coco(**files)
    report = check_coco(tmp_path, SUBSETS, full=False, official=official)
    assert report.complete and "6 boxes of 3 categories in 5 of the images" in lines_of(report)
    files["val2017"].write_text(files["val2017"].read_text().replace("30", "31", 1))
    report = check_coco(tmp_path, SUBSETS, full=False, official=official)
    assert report.usable and not report.complete and "not COCO's official file of 6" in lines_of(report)


def test_a_subset_of_coco_is_usable_and_missing_images_are_not(tmp_path):
    write_coco(tmp_path)
    report = check("coco", tmp_path)
    assert report.usable and not report.complete
    assert "6 images, where COCO has 5,000" in lines_of(report)
    assert "absent: train images, of which COCO 2017 has 118,287" in lines_of(report)
    (tmp_path / "images" / "val2017" / "000000000002.jpg").unlink()
    report = check("coco", tmp_path)
    assert not report.usable and "names 1 images of 6 that are missing: 000000000002.jpg" in lines_of(report)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("imagenet", "expected a folder per class"), ("coco", "expected annotations/"), ("cifar10", "no CIFAR-10 in")],
)
def test_an_empty_folder_is_not_usable_and_says_what_was_expected(tmp_path, name, expected, capsys):
    assert splitbench("data", "check", name, tmp_path) == 2
    assert expected in capsys.readouterr().out
    with pytest.raises(UserError, match="not found"):
        check(name, tmp_path / "nowhere")


def write_cifar10(folder: Path) -> None:
    """Two images of every class in each file of the binary version."""
    folder.mkdir(parents=True)
    rows = np.random.default_rng(0).integers(0, 256, (20, 3073), np.uint8)
    rows[:, 0] = np.arange(20) % 10
    for name in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (folder / f"{name}.bin").write_bytes(rows.tobytes())


def test_cifar10s_official_files(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    write_cifar10(folder)
    report = check("cifar10", tmp_path)
    assert report.usable and not report.complete and "20 images, where CIFAR-10 has 10,000" in lines_of(report)
    official = OfficialSize({"evaluation": 20, "train": 100}, classes=10)
    report = check_cifar10.check(tmp_path, SUBSETS, full=True, official=official)
    assert report.complete and "100 images of 10 classes, 10 per class" in lines_of(report)
    (folder / "data_batch_4.bin").unlink()
    report = check("cifar10", tmp_path)
    assert not report.usable and "data_batch_4.bin is missing" in lines_of(report)
    (folder / "test_batch.bin").unlink()
    assert "absent: evaluation images" in lines_of(check("cifar10", tmp_path))


def test_cifar10_in_user_files_says_how_to_name_them(tmp_path):
    for name in ("mine_test.npz", "mine_train.npz"):
        np.savez(tmp_path / name, x=np.zeros((4, 32, 32, 3), np.uint8), y=np.arange(4))
    report = check("cifar10", tmp_path)
    assert report.usable and not report.complete and len(report.subsets) == 2
    assert "`test_file: mine_test.npz`" in lines_of(report) and "`train_file: mine_train.npz`" in lines_of(report)
    (tmp_path / "mine_test.npz").write_bytes(b"PK")
    assert not check("cifar10", tmp_path).usable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("imagenet", ["120 images of", "650 images of", "where ImageNet has 50,000"]),
        ("coco", ["158 images", "1,424 boxes of 80 categories", "where COCO has 5,000"]),
        ("cifar10", ["20,000 images of 10 classes", "where CIFAR-10 has 50,000"]),
    ],
)
def test_the_pack_is_usable_but_not_complete(pack, name, expected, capsys):
    assert splitbench("data", "check", name, pack / name) == 0
    printed = capsys.readouterr().out
    assert all(words in printed for words in expected)
    assert "usable, but not all of" in printed and "do not compare with published ones" in printed


def test_a_file_of_boxes_with_another_name_is_named_by_an_option(tmp_path, capsys):
    write_coco(tmp_path)
    (file,) = tmp_path.rglob("instances_*.json")
    file.rename(tmp_path / "boxes.json")
    for image in (tmp_path / "images" / "val2017").iterdir():
        image.rename(tmp_path / "images" / image.name)
    assert splitbench("data", "check", "coco", tmp_path) == 2
    assert "there are boxes.json: name one in `annotations`" in capsys.readouterr().out
    assert splitbench("data", "check", "coco", tmp_path, "--annotations", "boxes.json") == 0
    assert "usable, but not all of COCO 2017" in capsys.readouterr().out
    assert splitbench("data", "check", "imagenet", tmp_path, "--annotations", "boxes.json") == 2
    assert "--annotations names a file of boxes: imagenet has none" in capsys.readouterr().err

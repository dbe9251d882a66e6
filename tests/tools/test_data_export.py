"""The synthetic dataset as files: what is written reads back through the loaders for ImageNet and COCO."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest
from pycocotools.coco import COCO

from splitbench.bench.tools.data.export import export
from splitbench.bench.utils.errors import UserError
from splitbench.datasets import coco, imagenet, synthetic, synthetic_detection
from tests.helpers.command_line import splitbench

LIMIT = 8


@pytest.mark.parametrize("part", ["evaluation", "calibration"])
def test_class_folders_read_back_pixel_by_pixel(tmp_path, part):
    images, names = export(tmp_path, "classification", part, LIMIT)
    drawn = synthetic.DATASET.load(synthetic.Options(limit=LIMIT), part)
    read = imagenet.DATASET.load(imagenet.Options(root=tmp_path), part)
    assert images == tmp_path / ("val" if part == "evaluation" else "train")
    assert sorted(read.ids) == sorted(drawn.ids)
    for index, name in enumerate(drawn.ids):
        again = read.ids.index(name)
        assert read.target(again) == drawn.target(index)
        assert np.array_equal(np.array(read.image(again)), np.array(drawn.image(index)))
    assert names.read_text().splitlines()[3] == "03 thin cross"


@pytest.mark.parametrize("part", ["evaluation", "train"])
def test_coco_files_read_back_box_by_box(tmp_path, part):
    images, annotations = export(tmp_path, "detection", part, LIMIT, seed=3)
    drawn = synthetic_detection.DATASET.load(synthetic.Options(limit=LIMIT, seed=3), part)
    read = coco.DATASET.load(coco.Options(root=tmp_path), part)
    with redirect_stdout(io.StringIO()):
        official = COCO(annotations)
    assert list(read.ids) == list(drawn.ids)
    assert list(read.categories) == list(drawn.categories) == official.getCatIds()
    assert [entry["name"] for entry in official.loadCats(official.getCatIds())] == list(drawn.class_names)
    for index in range(LIMIT):
        assert np.array_equal(np.array(read.image(index)), np.array(drawn.image(index)))
        assert read.boxes(index) == drawn.boxes(index)
        (entry,) = (image for image in official.dataset["images"] if image["file_name"] == f"{drawn.ids[index]}.png")
        result = official.loadAnns(official.getAnnIds(imgIds=entry["id"]))
        assert [(tuple(box["bbox"]), box["category_id"], box["area"]) for box in result] == [
            (box["bbox"], box["category_id"], box["area"]) for box in drawn.boxes(index)
        ]
        assert (images / entry["file_name"]).is_file()


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path, task):
    folder = tmp_path / "val" if task == "classification" else tmp_path / "images" / "val"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        export(tmp_path, task, "evaluation", 1)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mine.txt"]


def test_parts_share_a_root_but_training_and_calibration_no_folder(tmp_path):
    export(tmp_path, "detection", "evaluation", 1)
    export(tmp_path, "detection", "calibration", 1)
    with pytest.raises(UserError, match="not empty"):
        export(tmp_path, "detection", "train", 1)
    names = [path.name for path in (tmp_path / "annotations").iterdir()]
    assert sorted(names) == ["instances_train.json", "instances_val.json"]


def test_a_file_in_the_way_is_reported(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        export(tmp_path / "out", "classification", "evaluation", 1)


def test_the_command_writes_and_says_where(tmp_path, capsys):
    assert splitbench("data", "export", tmp_path / "a", "--task", "detection", "--limit", 2) == 0
    printed = capsys.readouterr().out
    assert f"wrote {tmp_path / 'a' / 'annotations' / 'instances_val.json'}" in printed
    assert len(json.loads((tmp_path / "a" / "annotations" / "instances_val.json").read_text())["images"]) == 2
    assert splitbench("data", "export", tmp_path / "a", "--task", "detection", "--limit", 2) == 2
    assert "not empty" in capsys.readouterr().err

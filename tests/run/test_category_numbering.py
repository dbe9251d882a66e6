"""Annotations whose categories are numbered in another way than the detector's give the same accuracy, or none."""

import json
import random

import numpy as np
import pytest

from splitbench.bench.backbones.detectors import is_detector
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils.errors import UserError
from tests.helpers.coco_samples import NamedSquares, annotate_by_detections, write_coco
from tests.helpers.command_line import rows, splitbench

NAMES = {1: "person", 3: "car", 90: "hair drier"}
RENUMBERED = {
    "from 0": {1: 0, 3: 1, 90: 2},
    "permuted": {1: 90, 3: 1, 90: 3},
    "beyond": {1: 501, 3: 502, 90: 503},
}

SWEEP = """
task: detection
datasets:
  - {{name: coco}}
{others}
backbones: [{{name: "{backbone}", label: detector, weights: {weights}, splits: [{split}]}}]
methods: [{{name: quantize-rle, bits: [4]}}]
"""


def write_renumbered(file, ids, name, names=True):
    """A copy of a file of boxes with other category ids; boxes of others are left out."""
    content = json.loads(file.read_text())
    boxes = [box for box in content["annotations"] if box["category_id"] in ids]
    content["annotations"] = [box | {"category_id": ids[box["category_id"]]} for box in boxes]
    kept = [one for one in content["categories"] if one["id"] in ids]
    content["categories"] = [
        (one if names else {}) | {"id": ids[one["id"]]} for one in sorted(kept, key=lambda one: ids[one["id"]])
    ]
    copy = file.parent / name / file.name
    copy.parent.mkdir()
    copy.write_text(json.dumps(content))
    return copy


def write_annotated(root, part="val2017", first=0):
    file = write_coco(root, part, first, categories=[{"id": number, "name": name} for number, name in NAMES.items()])
    annotate_by_detections(file)
    return file


def sweep(path, backbone, *, others="", weights="none", split="body"):
    path.write_text(SWEEP.format(backbone=backbone, weights=weights, split=split, others=others))
    return path


def test_renumbered_categories_give_the_same_rows(tmp_path, capsys):
    file = write_annotated(tmp_path)
    for name, ids in RENUMBERED.items():
        write_renumbered(file, ids, name.replace(" ", "-"))
    others = "\n".join(
        f"  - {{name: coco, label: {name}, annotations: {name.replace(' ', '-')}/{file.name}}}" for name in RENUMBERED
    )
    path = sweep(tmp_path / "own.yaml", "tests.helpers.coco_samples:named_squares", others=others)
    assert splitbench("run", path, "--data", tmp_path, "--out", tmp_path / "out", "--device", "cpu") == 0
    table = rows(tmp_path / "out")
    assert len({row["key"] for row in table}) == 4 and len({row["fingerprint"] for row in table}) == 4
    assert {row["ap"] for row in table} == {table[0]["ap"]} and float(table[0]["ap"]) > 10
    assert table[0]["warnings"] == ""
    assert "the ids of 3 categories are not the detector's, and names were used: 0 (person)" in table[1]["warnings"]
    assert all("names were used" in row["warnings"] for row in table[1:])
    kept = [dict(np.load(tmp_path / "out" / "records" / f"{row['key']}.npz")) for row in table]
    for records in kept[1:]:
        assert records["truth_labels"].tolist() == kept[0]["truth_labels"].tolist()
        assert records["labels"].tolist() == kept[0]["labels"].tolist()


def test_a_row_says_that_ids_were_trusted(tmp_path, capsys):
    write_annotated(tmp_path)
    path = sweep(tmp_path / "own.yaml", "tests.helpers.coco_samples:squares")
    assert splitbench("run", path, "--data", tmp_path, "--out", tmp_path / "out", "--device", "cpu") == 0
    (row,) = rows(tmp_path / "out")
    messages = "the detector gives no `category_names`: category ids were trusted to mean what they mean to it"
    assert row["warnings"] == messages and messages in capsys.readouterr().out


def planned(tmp_path, backbone="tests.helpers.coco_samples:named_squares", others=""):
    return list(plan_passes(read(sweep(tmp_path / "own.yaml", backbone, others=others)), Sources(tmp_path)))


def test_what_a_name_stands_for_is_in_the_key(tmp_path):
    """Boxes and fingerprint stay while two names are exchanged: rows must not."""
    file = write_annotated(tmp_path)
    (before,) = planned(tmp_path)
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 3, "name": "person"}, {"id": 1, "name": "car"}, {"id": 90, "name": "hair drier"}]
    file.write_text(json.dumps(content))
    (after,) = planned(tmp_path)
    assert before.fingerprint == after.fingerprint and before.cells[0].key != after.cells[0].key
    assert "categories" not in before.cells[0].ingredients, "official ids keep the keys that they had"
    assert after.cells[0].ingredients["categories"] == {"1": 3, "3": 1}
    assert after.dataset.boxes(0)[0]["category_id"] != before.dataset.boxes(0)[0]["category_id"]


@pytest.mark.parametrize("chosen", ["exclude: [2]", "ids: [1]", "limit: 2"])
def test_ids_that_only_happen_to_fit_are_refused_whatever_the_limit(tmp_path, chosen):
    """Numbered from 0 without names, only the category 0 is unknown: the image that has it may not be chosen."""
    file = write_coco(tmp_path)
    write_renumbered(file, {1: 1, 3: 3, 90: 0}, "nameless", names=False)
    with pytest.raises(UserError, match=r"1 boxes of 6 are of 1 categories that the detector does not know \(0\)"):
        planned(tmp_path, others=f"  - {{name: coco, label: some, annotations: nameless/{file.name}, {chosen}}}")


def test_training_images_of_other_numbers_are_matched_too(tmp_path):
    write_annotated(tmp_path)
    train = write_annotated(tmp_path, "train2017", first=100)
    write_renumbered(train, RENUMBERED["from 0"], "new").replace(train)
    (pass_,) = planned(tmp_path)
    assert {box["category_id"] for index in range(6) for box in pass_.train().dataset.boxes(index)} <= {0, 1, 2}
    assert {box["category_id"] for index in range(6) for box in pass_.train().boxes(index)} <= {1, 3, 90}
    assert {int(label) for index in range(6) for label in pass_.calibration().target(index)["labels"]} <= {1, 3, 90}


@pytest.mark.parametrize("names", [("person",), ("person", "car", "Car")])
def test_names_that_are_not_one_for_each_category_are_refused(names, monkeypatch):
    monkeypatch.setattr(NamedSquares, "category_names", names)
    with pytest.raises(UserError, match="category_names must be 3 different names, one for each of `categories`"):
        is_detector(NamedSquares())


def test_photographs_of_the_pack_give_one_average_precision_however_they_are_numbered(pack, tmp_path):
    official = json.loads((pack / "coco" / "instances_val2017_158.json").read_text())
    ids = [one["id"] for one in official["categories"]]
    shuffled = random.Random(0).sample(ids, len(ids))
    few = ids[:12]
    (tmp_path / "images").symlink_to(pack / "coco" / "images")
    file = tmp_path / "instances_official.json"
    file.write_text(json.dumps(official))
    write_renumbered(file, {number: place for place, number in enumerate(ids)}, "from-0")
    write_renumbered(file, dict(zip(ids, shuffled, strict=True)), "permuted")
    write_renumbered(file, {number: place for place, number in enumerate(few)}, "few")
    entry = "  - {{name: coco, limit: 20, {}}}".format
    others = [
        entry("annotations: from-0/instances_official.json, label: from 0"),
        entry("annotations: permuted/instances_official.json, label: permuted"),
        entry("annotations: few/instances_official.json, label: few"),
        entry(f"annotations: instances_official.json, label: official few, categories: {few}"),
        entry("annotations: instances_official.json, label: official"),
    ]
    text = "\n".join(others)
    path = sweep(tmp_path / "own.yaml", "splitbench/fastestdet", others=text, weights="default", split="SPP")
    path.write_text(path.read_text().replace("  - {name: coco}\n", ""))
    arguments = ("--data", tmp_path, "--weights", pack / "weights", "--out", tmp_path / "out", "--device", "cpu")
    assert splitbench("run", path, *arguments) == 0
    ap = {row["dataset"]: (row["baseline"], row["ap"]) for row in rows(tmp_path / "out")}
    assert ap["from 0"] == ap["permuted"] == ap["official"] != ap["few"] == ap["official few"]
    assert float(ap["official"][0]) > 10

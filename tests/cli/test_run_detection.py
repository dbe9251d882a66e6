"""Detection from end to end on the command line: tables, comparison and figures; bad input in a sentence."""

import csv
import json

import numpy as np
import pytest

from splitbench.bench.metrics.bootstrap import average_precisions, interval
from splitbench.bench.results.columns import NAMES
from tests.helpers.closeness import AVERAGE_PRECISION
from tests.helpers.coco_samples import SIZES, write_coco
from tests.helpers.command_line import rows, splitbench

SWEEP = """
task: detection
datasets: [{name: coco, label: boxes}]
backbones: [{name: "tests.helpers.coco_samples:squares", label: squares, weights: none, splits: [stem, body]}]
methods:
  - {name: raw}
  - {name: quantize-rle, bits: [1, 4, 8]}
  - {name: image, quality: [10, 90]}
  - {name: boxes, score: [0.0, 0.5]}
batch: 3
"""


def run(tmp_path, text=SWEEP, *words):
    path = tmp_path / "small.yaml"
    path.write_text(text)
    data = () if "name: synthetic" in text else ("--data", tmp_path)
    return splitbench("run", path, *data, "--out", tmp_path / "out", "--device", "cpu", *words)


def test_a_run_ends_in_table_comparison_and_figures(tmp_path, capsys):
    write_coco(tmp_path)
    assert run(tmp_path) == 0
    out = tmp_path / "out"
    table = rows(out)
    assert len(table) == 2 * (2 + 3) + 2 + 2 and tuple(table[0]) == NAMES
    assert {(row["status"], row["task"], row["metric"], row["images"]) for row in table} == {
        ("ok", "detection", "ap", "6")
    }
    pixels = np.mean([height * width for height, width in SIZES])
    for row in table:
        assert row["accuracy"] == row["ap"] and row["ap50"] and row["ar100"] and row["top5"] == ""
        assert row["ap_large"] == "", "none of the boxes is large"
        assert float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"])
        assert float(row["bits_per_pixel"]) == pytest.approx(8 * float(row["bytes_mean"]) / pixels, rel=1e-6)
        parts = sum(float(row[name]) for name in ("payload_bytes", "side_bytes", "framing_bytes"))
        assert parts == pytest.approx(float(row["bytes_mean"]), rel=1e-6)
        with np.load(out / "records" / f"{row['key']}.npz") as records:
            kept = dict(records)
        assert kept["bytes"].mean() == pytest.approx(float(row["bytes_mean"]))
        assert kept["image"].tolist() == list(range(6)) and kept["detections"].sum() == len(kept["boxes"])
        assert np.array_equal(kept["samples"], average_precisions(kept), equal_nan=True)
        low, high = interval(kept["samples"], float(row["ap"]))
        assert (low, high) == pytest.approx((float(row["accuracy_low"]), float(row["accuracy_high"])), abs=1e-4)
    by = {(row["split"], row["method"], row["value"]): row for row in table}
    exact = by["body", "raw", "float32"]
    assert float(exact["baseline"]) > 0 and float(exact["drop"]) == 0
    assert exact["bytes_max"] == str(4 * 8 * 8 * 8 + 4) and exact["framing_bytes"] == "4"
    assert by["output", "boxes", "0"]["macs_tail"] == "0" and by["input", "image", "10"]["macs_head"] == "0"
    said = capsys.readouterr().out
    assert "(6 images, " in said and "Fewest bytes per image" in said, said
    figures = [path.read_text() for path in (out / "figures").glob("*.svg")]
    assert figures and all("box AP" in text for text in figures if "accuracy" in text)

    assert splitbench("compare", out) == 0
    assert splitbench("figures", out, "--out", tmp_path / "drawn") == 0
    assert run(tmp_path) == 0
    assert "0 cells run, 14 kept, 0 failed" in capsys.readouterr().out


@pytest.mark.usefixtures("no_figures")
def test_torchvisions_detectors_run_on_the_synthetic_scenes(tmp_path):
    text = """
task: detection
datasets: [{name: synthetic-detection, limit: 4, calibration: {limit: 2}}]
backbones:
  - name: torchvision/ssdlite320_mobilenet_v3_large
    weights: none
    args: {num_classes: 13, score_thresh: 0.0}
    splits: [backbone.features.0, backbone.extra.0]
methods:
  - {name: raw, dtype: [float32]}
  - {name: quantize-rle, bits: [8], range: calibrated}
  - {name: image, quality: [50]}
  - {name: boxes, score: [0.1]}
batch: 2
"""
    assert run(tmp_path, text) == 0
    table = rows(tmp_path / "out")
    assert {row["status"] for row in table} == {"ok"} and len(table) == 6
    raw = [row for row in table if row["method"] == "raw"]
    assert {row["drop"] for row in raw} == {"0"}
    assert sorted(row["cut"].count(" + ") for row in raw) == [0, 2], "the pyramid needs more than its last layer"
    whole = {int(row["macs_head"]) + int(row["macs_tail"]) for row in table}
    assert len(whole) == 1


def test_the_key_follows_boxes_and_not_the_batch(tmp_path, capsys):
    def keys(text=SWEEP):
        path = tmp_path / "small.yaml"
        path.write_text(text)
        assert splitbench("validate", path, "--data", tmp_path, "--device", "cpu") == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
        return {words[0] for words in lines if words[0] != "warning:"}

    file = write_coco(tmp_path)
    first = keys()
    assert keys(SWEEP.replace("batch: 3", "batch: 1").replace("label: boxes", "label: others")) == first
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"][0] += 1
    file.write_text(json.dumps(content))
    assert not keys() & first


@pytest.mark.usefixtures("no_figures")
def test_one_bad_image_fails_the_cells_or_is_left_out_by_choice(tmp_path, capsys):
    write_coco(tmp_path)
    (tmp_path / "images/val2017/000000000001.jpg").write_bytes(b"no image")
    assert run(tmp_path) == 1
    assert "1 images cannot be read" in capsys.readouterr().err
    assert run(tmp_path, SWEEP.replace("label: boxes", "label: boxes, unreadable: skip")) == 0
    table = rows(tmp_path / "out")
    assert {(row["status"], row["images"], row["images_unreadable"]) for row in table} == {("ok", "5", "1")}
    with np.load(tmp_path / "out" / "records" / f"{table[0]['key']}.npz") as records:
        assert records["image"].tolist() == [0, 2, 3, 4, 5]


def crowds_only(content):
    for box in content["annotations"]:
        box["iscrowd"] = 1


def unknown_category(content):
    content["categories"].append({"id": 4})
    content["annotations"][0]["category_id"] = content["annotations"][2]["category_id"] = 4


def twice(content):
    content["images"].append(content["images"][0])
    content["annotations"].append(content["annotations"][0])


def flat_and_outside(content):
    for number, bbox in enumerate(([1, 2, 0, 5], [1, 2, 3, 0], [90, 2, 40, 5])):
        content["annotations"][number]["bbox"] = bbox


def infinite(content):
    content["annotations"][0]["category_id"] = 1e400


def of_missing_images(content):
    for number in (1, 4):
        content["images"][number]["file_name"] = f"missing{number}.jpg"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ("boxes, score: [0.0, 0.5]", "label-only"),
            "label-only is a method for classification, but the sweep's task is",
        ),
        (
            ("coco, label: boxes", "synthetic"),
            "synthetic is a dataset for classification, but the sweep's task is detection",
        ),
        (("task: detection", "task: classification"), "coco is a dataset for detection"),
        (('"tests.helpers.coco_samples:squares"', "torchvision/squeezenet1_1"), "it finds no boxes: choose a detector"),
        (
            ('"tests.helpers.coco_samples:squares"', "torchvision/fasterrcnn_resnet50"),
            "did you mean fasterrcnn_resnet50_fpn",
        ),
        (("weights: none,", "weights: none, preprocessing: {crop: 5},"), "resizes and normalizes by itself"),
        (
            (":squares", ":unsure"),
            "Unsure.detections must give dicts of tensors `boxes`, `labels` and `scores`, not a dict",
        ),
        (("label: boxes", "label: boxes, ids: [1, 99]"), "1 of the 2 images of `ids` are not in "),
        (("label: boxes", "label: boxes, ids: [4]"), "no image has a box to find"),
        (("[stem, body]", "[stem, bod]"), "no split point 'bod'"),
        (("[0.0, 0.5]", "[0.0, 1.5]"), "less than or equal to 1"),
        (crowds_only, "no image has a box to find"),
        (unknown_category, "2 boxes of 6 are of 1 categories that the detector does not know (4); it knows 3"),
        (lambda content: content["annotations"].clear(), "6 images and 0 boxes"),
        (lambda content: content.clear(), "has no list of images and annotations and categories"),
        (lambda _: "", "instances_val2017.json is empty"),
        (lambda _: '{"images": [', "instances_val2017.json is not JSON"),
        (twice, "1 image ids come twice 0; 1 image files come twice 000000000000.jpg; 1 annotation ids come twice 1"),
        (
            flat_and_outside,
            "2 boxes have no width or height (`faulty: drop` leaves them out), in image 0 (annotation 1), image 0 (",
        ),
        (infinite, "is not in COCO's format"),
        (of_missing_images, "names 2 images of 6 that are missing: missing1.jpg, missing4.jpg"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(tmp_path, capsys, change, sentence):
    file = write_coco(tmp_path)
    text = SWEEP
    if callable(change):
        content = json.loads(file.read_text())
        instead = change(content)
        file.write_text(instead if isinstance(instead, str) else json.dumps(content))
    else:
        assert change[0] in SWEEP
        text = SWEEP.replace(*change)
    assert run(tmp_path, text) == 2
    printed = capsys.readouterr().err
    assert sentence in printed and "Traceback" not in printed
    assert len([line for line in printed.splitlines() if line.startswith("error:")]) == 1


def test_split_points_of_detectors_are_listed_and_chosen(tmp_path, capsys):
    assert splitbench("splits", "tests.helpers.coco_samples:squares") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "8x16x16" in lines["stem"] and "8x8x8" in lines["body"]
    write_coco(tmp_path)
    path = tmp_path / "auto.yaml"
    path.write_text(SWEEP.replace("[stem, body]", "{auto: 1}"))
    assert splitbench("validate", path, "--data", tmp_path, "--device", "cpu") == 0
    assert "squares: 6 images, 9 cells" in capsys.readouterr().out, "one split point, two methods without"


def test_a_detector_does_not_classify(tmp_path, capsys):
    text = """
datasets: [{name: synthetic, limit: 4}]
backbones: [{name: torchvision/ssdlite320_mobilenet_v3_large, weights: none, splits: [output]}]
methods: [{name: label-only}]
"""
    assert run(tmp_path, text) == 2
    assert "it finds boxes: choose a classifier" in capsys.readouterr().err


PUBLISHED = {
    "yolox_nano": (28.38, 44.63),
    "nanodet_m": (24.21, 39.76),
    "fastestdet": (16.58, 30.65),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_uncompressed_results_on_real_photographs_are_the_published_ones(pack, tmp_path, name):
    """The pack's own measurement, PROVENANCE.md, made without the project."""
    text = f"""
task: detection
datasets: [{{name: coco}}]
backbones: [{{name: splitbench/{name}, splits: [output]}}]
methods: [{{name: raw, dtype: [float32]}}]
"""
    path = tmp_path / "one.yaml"
    path.write_text(text)
    words = ("--data", pack / "coco", "--weights", pack / "weights", "--out", tmp_path / "out", "--device", "cpu")
    assert splitbench("run", path, *words) == 0
    with (tmp_path / "out" / "cells.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    result = float(row["baseline"]), float(row["ap50"])
    assert result == pytest.approx(PUBLISHED[name], abs=AVERAGE_PRECISION) and float(row["drop"]) == 0


def test_a_detector_of_several_input_shapes_is_trained(tmp_path):
    """Images whose inputs differ in shape are in one batch, and go through it shape by shape."""
    write_coco(tmp_path)
    write_coco(tmp_path, "train2017", first=100)
    more = "distortion: distill, epochs: 2, restore_epochs: 1, batch_size: 5, stride: 1"
    methods = f"[{{name: bottleneck, lmbda: [0.1], {more}}}]"
    text = SWEEP.partition("methods:")[0].replace(":squares", ":strips") + f"methods: {methods}\nbatch: 3\n"
    assert run(tmp_path, text) == 0
    table = rows(tmp_path / "out")
    assert [row["status"] for row in table] == ["ok", "ok"]
    assert all(row["train_images"] == "15" for row in table)  # five of six images, once to restore and twice
    assert all(float(row["bytes_mean"]) > 0 for row in table)

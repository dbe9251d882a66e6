"""Units and whole models trained on torchvision's detectors, by the detector's own loss and without labels."""

import csv
import math

import pytest

from tests.helpers.coco_samples import write_coco
from tests.helpers.command_line import rows, splitbench

pytestmark = pytest.mark.usefixtures("no_figures")

SSD = "{name: torchvision/ssdlite320_mobilenet_v3_large, args: {score_thresh: 0.0, topk_candidates: 9}, splits: [%s]}"
RCNN = (
    "{name: torchvision/fasterrcnn_mobilenet_v3_large_320_fpn, splits: [%s], "
    "args: {box_score_thresh: 0.0, rpn_post_nms_top_n_test: 20, min_size: 96, max_size: 128}}"
)
LOSSES = {
    SSD: {"bbox_regression", "classification"},
    RCNN: {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"},
}


def run(tmp_path, backbone, methods):
    write_coco(tmp_path)
    write_coco(tmp_path, "train2017", first=100)
    content = f"""
task: detection
datasets: [{{name: coco}}]
backbones: [{backbone.replace("splits:", "weights: none, splits:")}]
methods: [{", ".join(f"{{{method}, lmbda: [1], epochs: 1, batch_size: 3}}" for method in methods)}]
"""
    path = tmp_path / "learning.yaml"
    path.write_text(content)
    code = splitbench("run", path, "--data", tmp_path, "--out", tmp_path / "out", "--device", "cpu")
    return code, rows(tmp_path / "out")


def curves(tmp_path):
    """The learning curves' first epochs by method and distortion."""
    result = {}
    for file in (tmp_path / "out" / "learning").rglob("*.csv"):
        with file.open(newline="") as stream:
            result[file.parts[-3], "distill" in file.parts[-2]] = next(csv.DictReader(stream))
    return result


@pytest.mark.parametrize(
    ("backbone", "at"), [(RCNN, "backbone.body.6"), pytest.param(SSD, "backbone.features.0.6", marks=pytest.mark.slow)]
)
def test_what_is_learned_by_the_detectors_loss_and_what_without_labels(tmp_path, backbone, at):
    methods = [
        "name: bottleneck, restore_epochs: 1",
        "name: bottleneck, restore_epochs: 0, distortion: distill",
        "name: retrained, restore_epochs: 0",
        "name: retrained, restore_epochs: 0, distortion: distill",
    ]
    code, table = run(tmp_path, backbone % at, methods)
    *trained, last = [(row["status"], row["train_images"]) for row in table]
    assert trained == [("ok", "10"), ("ok", "5"), ("ok", "5")], "of six images one is held out"
    if backbone is RCNN:
        assert (code, last) == (1, ("failed", ""))
        assert "cannot train a two-stage detector's second stage: set `distortion: task`" in table[3]["reason"]
    else:
        assert (code, last) == (0, ("ok", "5"))
    printed = curves(tmp_path)
    names = {key: {column.removeprefix("train_") for column in row} & LOSSES[backbone] for key, row in printed.items()}
    assert names[("bottleneck", False)] == names[("retrained", False)] == LOSSES[backbone]
    assert names[("bottleneck", True)] == set()
    for row in printed.values():
        # However large: in a random SSDlite, features all but vanish, and errors are relative to them.
        assert 0 < float(row["train_loss"]) < math.inf and float(row["train_bits_per_pixel"]) > 0
    sizes = [file.stat().st_size for file in (tmp_path / "out" / "trainings").glob("*.safetensors")]
    assert max(sizes) > 20 * min(sizes), "a unit is small, and nothing else of the backbone is stored with it"

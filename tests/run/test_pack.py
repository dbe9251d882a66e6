"""Real weights and photographs: uncompressed scores must equal those of the pack's own measurement (PROVENANCE.md)."""

import csv

import pytest

from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.sweep.reading import read
from tests.helpers.closeness import accuracy
from tests.helpers.command_line import splitbench

PUBLISHED = {  # top-1 and top-5 in percent
    ("val120", "torchvision/squeezenet1_1"): (59.17, 75.00),
    ("val120", "timm/mobilenetv2_100"): (71.67, 86.67),
    ("val120", "torchvision/resnet18"): (60.00, 87.50),
    ("val120", "torchvision/resnet50"): (70.00, 87.50),
    ("val650", "torchvision/squeezenet1_1"): (72.31, 90.77),
    ("val650", "timm/mobilenetv2_100"): (79.85, 95.69),
    ("val650", "torchvision/resnet18"): (74.62, 92.77),
    ("val650", "torchvision/resnet50"): (77.54, 94.15),
}
FAST = {("val120", "torchvision/squeezenet1_1")}


@pytest.mark.parametrize(
    ("dataset", "backbone"),
    [pytest.param(*case, marks=[] if case in FAST else [pytest.mark.slow]) for case in PUBLISHED],
)
def test_uncompressed_scores_equal_the_published_ones(pack, tmp_path, dataset, backbone):
    """The sweep that ships, cut down to one dataset, one backbone and the label alone."""
    sweep = read(SWEEPS.get("photographs"))
    chosen = sweep.model_copy(
        update={
            "datasets": [spec for spec in sweep.datasets if spec.label == dataset],
            "backbones": [spec for spec in sweep.backbones if spec.name == backbone],
            "methods": [spec for spec in sweep.methods if spec.name == "label-only"],
        }
    )
    path = tmp_path / "one.yaml"
    path.write_text(chosen.model_dump_json())  # JSON is YAML
    words = ("--data", pack / "imagenet", "--weights", pack / "weights", "--out", tmp_path / "out", "--device", "cpu")
    assert splitbench("run", path, *words) == 0
    with (tmp_path / "out" / "cells.csv").open(newline="") as stream:
        rows = {row["value"]: row for row in csv.DictReader(stream)}
    scores = rows["5"]
    images = int(scores["images"])
    assert f"val{images}" == dataset
    result = float(scores["baseline"]), float(scores["top5_baseline"])
    assert result == tuple(accuracy(points, images) for points in PUBLISHED[dataset, backbone])
    # The labels sent are the backbone's own, so nothing is lost, and the likeliest five are all there.
    assert float(scores["drop"]) == 0 and scores["top5"] == scores["top5_baseline"]
    assert float(rows["1"]["bytes_mean"]) == 2

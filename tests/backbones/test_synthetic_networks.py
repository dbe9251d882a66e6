"""The synthetic benchmark's detector and the training of its networks."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import TensorDataset

from splitbench.bench.backbones import registry
from splitbench.bench.backbones.zoo import NETWORKS, WEIGHTS
from splitbench.bench.backbones.zoo.small_detector import small_detector
from splitbench.bench.split import split
from splitbench.bench.split.detectors import is_torchvisions
from splitbench.bench.tools.synthetic import train_detector
from splitbench.bench.tools.synthetic.train_detector import (
    Losses,
    augment,
    detection_step,
    evaluate_detector,
    initial_detector,
    load_images,
)
from splitbench.datasets import synthetic, synthetic_detection
from tests.helpers.closeness import LOSSES

REPORT = json.loads((WEIGHTS / "small_detector.json").read_text())


def evaluation(limit):
    return synthetic_detection.DATASET.load(synthetic.Options(limit=limit), "evaluation")


@pytest.fixture(scope="module")
def detector():
    return registry.build("splitbench/small_detector", {}, "default", {})


def test_the_detector_is_small_and_one_of_torchvisions():
    model = small_detector()
    assert is_torchvisions(model)
    assert sum(parameter.numel() for parameter in model.parameters()) <= 200_000
    assert (WEIGHTS / "small_detector.safetensors").stat().st_size <= 420_000
    assert model.categories == tuple(synthetic_detection.DATASET.load(synthetic.Options(limit=1), "train").categories)


@pytest.mark.parametrize(
    ("at", "shape"),
    [
        ("backbone.body.layer1", (24, 48, 48)),
        ("backbone.body.layer2", (48, 24, 24)),
        ("backbone.body.layer3", (96, 12, 12)),
        ("backbone", (40, 24, 24)),
    ],
)
def test_one_sparse_tensor_crosses_at_every_stage(detector, at, shape):
    images = [torch.from_numpy(np.array(evaluation(2).image(i))).permute(2, 0, 1) / 255 for i in range(2)]
    parts = split(detector.model, at, images)
    head, tail = parts.sides
    cut, *sizes = head(images)
    assert len(parts.specs) == 1
    assert cut.shape == (2, *shape)
    assert cut.min() == 0 and (cut == 0).float().mean() > 0.2
    whole = detector.model(images)
    for result, expected in zip(tail(cut, *sizes), whole, strict=True):
        assert all(torch.equal(result[name], expected[name]) for name in ("boxes", "labels", "scores"))


def test_the_shipped_detector_is_as_good_as_its_report_says(detector):
    # The first 150 of the evaluation images; the report is of all of them.
    result = evaluate_detector(detector, evaluation(150))
    assert 40 <= REPORT["ap"] <= 70
    assert abs(result["ap"] - REPORT["ap"]) < 5
    assert REPORT["evaluation_images"] == synthetic.SIZES["evaluation"]


def test_the_detector_begins_with_the_stages_of_a_classifier(tmp_path):
    shipped = json.loads((WEIGHTS / "small_resnet.json").read_text())
    network, digest = initial_detector(0)
    assert digest == shipped["weights"]
    trained = registry.build("splitbench/small_resnet", {}, "default", {}).model
    assert torch.equal(network.backbone.body.layer3.conv2.weight, trained.layer3.conv2.weight)
    other = {name: value + 1 for name, value in trained.state_dict().items()}
    save_file(other, tmp_path / "other.safetensors")
    network, another = initial_detector(0, tmp_path / "other.safetensors")
    assert another != digest
    assert torch.equal(network.backbone.body.layer3.conv2.weight, other["layer3.conv2.weight"])


def test_a_batch_is_drawn_once_with_its_boxes_padded():
    parts = load_images("evaluation", limit=3)
    assert isinstance(parts, TensorDataset)
    for index in range(3):
        pixels, corners, classes = parts[index]
        target = evaluation(3).target(index)
        count = len(target["labels"])
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.array(evaluation(3).image(index)))
        assert classes.tolist() == [*target["labels"].tolist(), *[0] * (6 - count)]
        assert np.array_equal(corners[:count].numpy(), target["boxes"])


def test_variations_turn_boxes_with_their_pixels():
    # White things on black: wherever a variation takes a box, exactly it is white.
    pixels = torch.zeros(64, 3, 192, 192, dtype=torch.uint8)
    corners = torch.zeros(64, 6, 4)
    pixels[:, :, 20:60, 30:90] = 255
    corners[:, 0] = torch.tensor([30.0, 20.0, 90.0, 60.0])
    varied, boxes, classes = augment((pixels, corners, torch.ones(64, 6)), torch.Generator().manual_seed(0))
    assert torch.equal(classes, torch.ones(64, 6))
    for image, box in zip(varied, boxes[:, 0], strict=True):
        left, top, right, bottom = box.int().tolist()
        assert image.sum() == 255 * 3 * 40 * 60
        assert image[:, top:bottom, left:right].eq(255).all()
    assert len({tuple(box) for box in boxes[:, 0].tolist()}) == 8


def test_losses_are_torchvisions_and_the_same_in_both_modes_but_for_batch_norm():
    model, _ = initial_detector(0)
    batch = load_images("train", limit=4)[:]
    losses = Losses(model.eval())(*batch)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    pixels, corners, classes = batch
    targets = [
        {"boxes": box[label > 0], "labels": label[label > 0]} for box, label in zip(corners, classes, strict=True)
    ]
    expected = model(list(pixels.float() / 255), targets)
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert value.item() == pytest.approx(losses[name].item(), rel=LOSSES)
    measures = detection_step(Losses(model), batch)
    assert measures["loss"].item() == pytest.approx(sum(value.item() for value in expected.values()), rel=LOSSES)


def test_training_the_detector_end_to_end_twice_gives_the_same_weights(tmp_path):
    reports = []
    for name in ("one", "two"):
        out = tmp_path / name / "small_detector.safetensors"
        reports.append(train_detector.train_small_detector(out, epochs=1, limit=40, evaluate=10))
        assert reports[-1] == json.loads(out.with_suffix(".json").read_text())
        assert sorted(file.name for file in out.parent.iterdir()) == ["small_detector.json", out.name]
    assert reports[0]["weights"] == reports[1]["weights"] != REPORT["weights"]
    assert reports[0]["train_images"] == 32
    assert reports[0].keys() == REPORT.keys() | {"processor", "versions"}  # what ships is older than these


def test_every_bundled_network_has_weights_and_a_command():
    bundled = {name: network.weights for name, network in NETWORKS.items() if network.weights}
    assert {*bundled} == {"small_resnet", "small_detector"}
    for name, weights in bundled.items():
        report = json.loads(weights.with_suffix(".json").read_text())
        assert report["backbone"] == f"splitbench/{name}"
        assert report["command"].startswith("splitbench train-synthetic")

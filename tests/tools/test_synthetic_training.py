"""The networks that ship: trained, saved and as good as their reports say."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import fx

from splitbench.bench import training
from splitbench.bench.backbones import registry
from splitbench.bench.backbones.zoo import NETWORKS, WEIGHTS
from splitbench.bench.backbones.zoo.small_resnet import small_resnet
from splitbench.bench.tools.synthetic import train_classifier


def test_variations_keep_shape_range_and_labels():
    pixels = torch.randint(256, (9, 3, 96, 96), dtype=torch.uint8)
    varied, labels = train_classifier.augment((pixels, torch.arange(9)), torch.Generator().manual_seed(0))
    assert varied.shape == pixels.shape
    assert labels.tolist() == list(range(9))
    assert varied.min() >= 0 and varied.max() <= 255
    assert not torch.equal(varied, pixels.float())


def test_the_bundled_classifier_can_be_traced_and_its_stages_are_sparse():
    model = small_resnet(num_classes=5).eval()
    names = {node.target for node in fx.symbolic_trace(model).graph.nodes if node.op == "call_module"}
    assert {"conv1", "layer1.relu", "layer4.relu", "avgpool", "fc"} <= names
    x = torch.randn(2, 3, 96, 96)
    assert model(x).shape == (2, 5)
    x = model.relu(model.bn1(model.conv1(x)))
    for stage, shape in zip(
        (model.layer1, model.layer2, model.layer3, model.layer4),
        ((24, 24, 24), (48, 12, 12), (96, 6, 6), (128, 3, 3)),
        strict=True,
    ):
        x = stage(x)
        assert x.shape == (2, *shape)
        assert x.min() == 0


@pytest.mark.parametrize("name", ["small_resnet", "small_detector"])
def test_shipped_weights_are_those_of_the_model(name):
    model = NETWORKS[name].build()
    model.load_state_dict(load_file(NETWORKS[name].weights), strict=True)
    report = json.loads(NETWORKS[name].weights.with_suffix(".json").read_text())
    backbone = registry.build(f"splitbench/{name}", {}, "default", {})
    assert backbone.weights == report["weights"]
    assert report["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert sum(file.stat().st_size for file in WEIGHTS.glob("*.safetensors")) < 12e6


def test_the_shipped_classifier_is_as_good_as_its_report_says():
    # The first 300 of the evaluation images; the report is of all of them.
    report = json.loads((WEIGHTS / "small_resnet.json").read_text())
    whole = registry.build("splitbench/small_resnet", {}, "default", {}).whole().eval()
    images = train_classifier.load_images("evaluation", limit=300)
    accuracy = training.validate(whole, training.classify(), images)["accuracy"]
    assert 80 <= report["evaluation_top1"] <= 92  # hard enough to tell methods apart, and learned
    assert abs(accuracy - report["evaluation_top1"]) < 4  # of 300 images, twice the standard deviation is 3.5


def test_training_the_bundled_classifier_end_to_end(tmp_path):
    out = tmp_path / "small_resnet.safetensors"
    report = train_classifier.train_small_resnet(out, epochs=1, limit=100, evaluate=100)
    assert report == json.loads(out.with_suffix(".json").read_text())
    assert report["train_images"] == 80
    with safe_open(out, "pt") as file:
        assert set(file.keys()) == set(small_resnet().state_dict())

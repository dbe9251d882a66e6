import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import fx, nn
from torch.utils.data import TensorDataset

from splitbench.bench import backbones, train_embedded, training
from splitbench.bench.models import EMBEDDED, WEIGHTS
from splitbench.bench.models.small_resnet import small_resnet
from splitbench.bench.training import Recipe, TrainingError


def blobs(count=256, seed=0):
    """Three classes of points in the plane that a line can tell apart, nearly."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=random)
    centres = torch.tensor([[2.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])
    return TensorDataset(centres[labels] + torch.randn(count, 2, generator=random), labels)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def fit(model=None, augment=None, step=None, **changes):
    model = model or network()
    recipe = Recipe(**({"epochs": 4, "batch_size": 32, "learning_rate": 0.02, "best": "accuracy"} | changes))
    report = training.train(model, step or training.classify(), blobs(), blobs(seed=1), recipe, augment, progress=False)
    return model, report


def jitter(batch, random):
    inputs, labels = batch
    return inputs + 0.1 * torch.randn(inputs.shape, generator=random), labels


@pytest.mark.parametrize("ema", [None, 0.9])
def test_training_lowers_the_loss_and_counts_what_it_did(ema):
    before = training.validate(network(), training.classify(), blobs(seed=1))
    model, report = fit(ema=ema)
    after = training.validate(model, training.classify(), blobs(seed=1))
    assert after["loss"] < 0.7 * before["loss"]
    assert after["accuracy"] > 85
    assert report.images == 4 * 256
    assert len(report.history) == 4
    assert report.seconds > 0


def test_the_same_seed_gives_the_same_weights_whatever_came_before():
    one, _ = fit(seed=3, augment=jitter, ema=0.9)
    torch.rand(5)
    same, _ = fit(seed=3, augment=jitter, ema=0.9)
    other, _ = fit(seed=4, augment=jitter, ema=0.9)
    weights = [model.state_dict() for model in (one, same, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["0.weight"], weights[2]["0.weight"])


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    fit()
    assert torch.equal(torch.rand(3), expected)


def test_the_best_epoch_is_kept():
    model, report = fit(epochs=6, learning_rate=0.5)
    scores = [found["accuracy"] for found in report.history]
    assert report.best_epoch == scores.index(max(scores))
    assert training.validate(model, training.classify(), blobs(seed=1), 32)["accuracy"] == pytest.approx(max(scores))


def test_any_loss_can_be_trained_and_only_what_requires_a_gradient_is():
    model = network()
    model[0].requires_grad_(False)
    frozen = model[0].weight.clone()

    def rate_distortion(net, batch):
        out = net(batch[0])
        rate = out.abs().mean()
        return {"loss": rate + 10 * (out[:, :2] - batch[0]).square().mean(), "rate": rate}

    before = training.validate(model, rate_distortion, blobs(seed=1))["loss"]
    model, report = fit(model, step=rate_distortion, best="loss")
    assert report.history[report.best_epoch]["loss"] < before
    assert "rate" in report.history[0]
    assert torch.equal(model[0].weight, frozen)


def test_a_loss_that_explodes_is_an_error_not_a_result():
    def broken(net, batch):
        return {"loss": net(batch[0]).sum() * float("inf")}

    with pytest.raises(TrainingError, match="learning rate"):
        fit(step=broken, best="loss")


def test_no_data_is_an_error():
    with pytest.raises(TrainingError, match="no training data"):
        training.train(network(), training.classify(), blobs(0), blobs(8), Recipe(epochs=1), progress=False)


def test_the_learning_rate_rises_and_falls():
    rates = [training._rate(done / 100, 0.1) for done in range(101)]
    assert rates[0] == 0 and rates[10] == 1 and rates[100] == pytest.approx(0)
    assert sorted(rates[:11]) == rates[:11] and sorted(rates[10:], reverse=True) == rates[10:]


def test_saved_weights_come_back_and_nothing_else_is_left(tmp_path):
    model = network()
    path = tmp_path / "new" / "weights.safetensors"
    training.save(model, path, metadata={"seed": "0"})
    loaded = load_file(path)
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())
    training.save(model, path, half=True)
    loaded = load_file(path)
    assert loaded["0.weight"].dtype == torch.float16
    assert loaded["1.running_var"].dtype == loaded["0.bias"].dtype == torch.float32
    assert [file.name for file in path.parent.iterdir()] == ["weights.safetensors"]


def test_a_save_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    training.save(network(), path)
    before = path.read_bytes()

    def full(weights, name, metadata):
        raise OSError("No space left on device")

    monkeypatch.setattr(training, "save_file", full)
    with pytest.raises(OSError, match="space"):
        training.save(network(), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_variations_keep_shape_range_and_labels():
    pixels = torch.randint(256, (9, 3, 96, 96), dtype=torch.uint8)
    varied, labels = train_embedded.vary((pixels, torch.arange(9)), torch.Generator().manual_seed(0))
    assert varied.shape == pixels.shape
    assert labels.tolist() == list(range(9))
    assert varied.min() >= 0 and varied.max() <= 255
    assert not torch.equal(varied, pixels.float())


def test_the_embedded_classifier_can_be_traced_and_its_stages_are_sparse():
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


@pytest.mark.parametrize("name", EMBEDDED)
def test_shipped_weights_are_those_of_the_model(name):
    model = EMBEDDED[name].build()
    model.load_state_dict(load_file(EMBEDDED[name].weights), strict=True)
    report = json.loads(EMBEDDED[name].weights.with_suffix(".json").read_text())
    backbone = backbones.build(f"splitbench/{name}", {}, "default", {})
    assert backbone.weights == report["weights"]
    assert report["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert sum(file.stat().st_size for file in WEIGHTS.glob("*.safetensors")) < 12e6


def test_the_shipped_classifier_is_as_good_as_its_report_says():
    # The first 300 of the evaluation images; the report is of all of them.
    report = json.loads((WEIGHTS / "small_resnet.json").read_text())
    whole = backbones.build("splitbench/small_resnet", {}, "default", {}).whole().eval()
    images = train_embedded.drawn("evaluation", limit=300, progress=False)
    accuracy = training.validate(whole, training.classify(), images)["accuracy"]
    assert 85 <= report["evaluation_top1"] <= 95
    assert abs(accuracy - report["evaluation_top1"]) < 4


def test_training_the_embedded_classifier_end_to_end(tmp_path):
    out = tmp_path / "small_resnet.safetensors"
    report = train_embedded.train_embedded_classifier(out, epochs=1, limit=100, evaluate=100, progress=False)
    assert report == json.loads(out.with_suffix(".json").read_text())
    assert report["train_images"] == 80
    with safe_open(out, "pt") as file:
        assert set(file.keys()) == set(small_resnet().state_dict())

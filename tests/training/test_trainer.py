"""The trainer learns, keeps the best and leaves frozen parts alone, on any device."""

import copy
import math

import pytest
import torch
from torch import nn

from splitbench.bench import training
from splitbench.bench.training.weights import MovingAverage
from splitbench.bench.utils import progress
from tests.helpers.training_samples import blobs, fit, jitter, network, same


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}, {"warmup": 0.3}])
def test_training_lowers_the_loss_and_counts_what_it_did(changes):
    before = training.validate(network(), training.classify(), blobs(seed=1))
    model, report = fit(**changes)
    after = training.validate(model, training.classify(), blobs(seed=1))
    assert after["loss"] < 0.7 * before["loss"]
    assert after["accuracy"] > 85
    assert report.images == 4 * 256
    assert report.seconds > 0
    assert [row["epoch"] for row in report.history] == [1, 2, 3, 4]
    assert [row["images"] for row in report.history] == [256, 512, 768, 1024]
    assert report.history[-1]["train_loss"] < report.history[0]["train_loss"]
    assert all(0 <= row["train_accuracy"] <= 100 for row in report.history)
    assert report.history[-1]["seconds"] == report.seconds


def test_each_epoch_is_reported_as_it_ends():
    rows = []
    _, report = fit(options={"on_epoch": lambda measures: rows.append(dict(measures))})
    assert rows == report.history


def test_training_means_are_over_images_not_batches():
    seen = []

    def step(net, batch):
        measures = training.classify()(net, batch)
        if net.training:
            seen.append((float(measures["loss"].detach()), len(batch[0])))
        return measures

    _, report = fit(step=step, images=70, epochs=1)
    assert [count for _, count in seen] == [32, 32, 6]
    assert report.history[0]["train_loss"] == pytest.approx(sum(loss * n for loss, n in seen) / 70, rel=1e-12)


def test_the_same_seed_gives_the_same_weights_whatever_came_before_and_whoever_watches():
    changes = {"ema": 0.9, "options": {"augment": jitter}}
    entry, _ = fit(seed=3, **changes)
    torch.rand(5)
    watched, _ = fit(seed=3, ema=0.9, options={"augment": jitter, "show": progress.bar})
    other, _ = fit(seed=4, **changes)
    assert same(entry, watched)
    assert not same(entry, other)


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    fit(model=network(dropout=0.2))
    assert torch.equal(torch.rand(3), expected)


def test_the_best_epoch_is_kept():
    after, steps = [], []

    def step(net, batch):
        if net.training:
            steps.append(1)
        else:
            after.append(copy.deepcopy(net))
        epoch = len(steps) // 8
        return training.classify()(net, batch) | {"score": torch.tensor([9.0, 1.0, 3.0, 2.0, 0.0][epoch])}

    model, report = fit(step=step, best="score")
    assert [row["score"] for row in report.history] == [1, 3, 2, 0]
    assert report.best_epoch == 1
    assert same(model, after[1 + 8]) and not same(model, after[-1])
    assert not model.training


def test_any_loss_can_be_trained():
    def rate_distortion(net, batch):
        out = net(batch[0])
        rate = out.abs().mean()
        return {"loss": rate + 10 * (out[:, :2] - batch[0]).square().mean(), "rate": rate}

    model = network()
    before = training.validate(model, rate_distortion, blobs(seed=1))["loss"]
    model, report = fit(model, step=rate_distortion, best="loss")
    assert report.history[report.best_epoch]["loss"] < before
    assert {"rate", "train_rate"} <= set(report.history[0])


class SmallUnit(nn.Module):
    """A trained layer before a frozen network, which its ``train`` keeps in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.unit = nn.Linear(2, 2)
        self.tail = network().requires_grad_(False)
        self.tail[1].register_buffer("mask", torch.tensor([0.0, -math.inf]))

    def train(self, mode=True):
        super().train(mode)
        self.tail.eval()
        return self

    def forward(self, x):
        return self.tail(self.unit(x))


class Lean(SmallUnit):
    """Leaves the frozen part out of its weights."""

    def state_dict(self, *args, **options):
        return {name: value for name, value in super().state_dict(*args, **options).items() if "tail" not in name}


@pytest.mark.parametrize("kind", [SmallUnit, Lean])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_frozen_parts_stay_as_they_are_bit_for_bit_buffers_too(kind, ema, tmp_path):
    model = kind()
    before, unit = copy.deepcopy(model.tail), copy.deepcopy(model.unit)
    fit(model, ema=ema, options={"checkpoint": tmp_path / "state.pt"})
    assert same(model.tail, before)
    assert not same(model.unit, unit)
    stored = torch.load(tmp_path / "state.pt", weights_only=True)["state"]["weights"]
    assert any("tail" in name for name in stored) == (kind is SmallUnit)


def test_the_average_follows_the_weights_with_a_short_memory_at_first():
    model = nn.BatchNorm1d(1)
    model.register_buffer("mask", torch.tensor([-math.inf]))
    model.bias.requires_grad_(False)
    average = MovingAverage(model, decay=0.5)
    for number, weight in enumerate((3.0, 5.0, 7.0)):
        with torch.no_grad():
            model.weight.fill_(weight)
            model.running_mean.fill_(10 * weight)
            model.num_batches_tracked.fill_(number + 1)
        average.update(model, number)
    # Kept: 1/10, 2/11 and 3/12 of what there was, from 1 and 0.
    expected = 0.25 * ((2 / 11) * (0.1 * 1 + 0.9 * 3) + (9 / 11) * 5) + 0.75 * 7
    assert float(average.weights["weight"]) == pytest.approx(expected)
    assert float(average.weights["running_mean"]) == pytest.approx(10 * (expected - 0.25 * (2 / 11) * 0.1))
    assert int(average.weights["num_batches_tracked"]) == 3
    assert float(average.weights["mask"]) == -math.inf
    assert float(average.weights["bias"]) == 0
    average.update(model, 1000)
    assert float(average.weights["weight"]) == pytest.approx((expected + 7) / 2)


def test_what_is_validated_and_kept_is_the_average():
    plain, _ = fit()
    forgetful, _ = fit(ema=0.0)
    average, report = fit(ema=0.99)
    assert same(plain, forgetful)
    assert not same(plain, average)
    result = training.validate(average, training.classify(), blobs(seed=1), batch_size=32)
    assert result["loss"] == report.history[report.best_epoch]["loss"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_on_a_gpu_in_every_precision_learns_and_resumes(precision, tmp_path):
    options = {"checkpoint": tmp_path / "state.pt"}
    model, report = fit(network().cuda(), precision=precision, ema=0.9, options=options)
    assert report.history[-1]["accuracy"] > 85
    again, repeated = fit(network().cuda(), precision=precision, ema=0.9, options=options)
    assert same(model, again)
    assert repeated == report


def test_the_bar_shows_measures_and_time_left(capfd):
    fit(options={"show": progress.bar})
    displayed = capfd.readouterr().err
    assert "epoch 4/4" in displayed
    assert "loss=" in displayed and "accuracy=" in displayed
    assert "<00:0" in displayed


def test_what_a_batch_is_made_of_is_the_callers():
    """Detectors take lists of images of any size and lists of dicts."""

    def collate(items):
        return [item[0][None] for item in items], {"labels": [item[1] for item in items]}

    def step(net, batch):
        inputs, targets = batch
        assert isinstance(inputs, list)
        return training.classify()(net, (torch.cat(inputs), torch.stack(targets["labels"])))

    model, report = fit(step=step, options={"collate": collate})
    plain, expected = fit()
    assert same(model, plain)
    assert report.history[-1]["loss"] == expected.history[-1]["loss"]
    result = training.validate(model, step, blobs(10), collate=collate)
    assert result == training.validate(model, training.classify(), blobs(10))

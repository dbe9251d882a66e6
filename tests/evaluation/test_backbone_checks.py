"""Networks whose output follows from more than one image are refused before anything runs, those that round are not."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from splitbench.bench.backbones import registry
from splitbench.bench.backbones.classifiers import Classifier
from splitbench.bench.backbones.detectors import Detector
from splitbench.bench.backbones.preprocessing import Preprocessing
from splitbench.bench.evaluation import tasks
from splitbench.bench.evaluation.checks import backbone_checks
from splitbench.bench.run.planning import plan
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep import reading
from splitbench.bench.utils.errors import UserError

COMPANY = "depends on the other images of its batch"
RANDOM = "draws random numbers while it evaluates"
AGAIN = "another answer when it is run again"
NORM = r"stem\.1 \(BatchNorm2d\) normalizes over the batch: give it running statistics"


class Small(nn.Module):
    """A classifier with a place to go wrong in its head, and one in its tail."""

    def __init__(self, norm=None):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), norm or nn.BatchNorm2d(8), nn.ReLU())
        self.last = nn.Linear(8, 10)
        self.calls = 0
        self.seen = None

    def forward(self, x):
        self.calls += 1
        return self.last(self.tail(self.head(x)))

    def head(self, x):
        return self.stem(x)

    def tail(self, x):
        return x.mean((2, 3))


class Trains(Small):
    def head(self, x):
        self.train()
        return self.stem(x)


class TrainsForAMoment(Small):
    def head(self, x):
        self.stem[1].train()
        x = self.stem(x)
        self.stem[1].eval()
        return x


class NeverEvaluates(Small):
    def train(self, mode=True):
        return super().train(True)


class NormalizesTheBatch(Small):
    def tail(self, x):
        x = super().tail(x)
        return (x - x.mean(0)) / (x.std(0, unbiased=False) + 0.1)


class Attends(Small):
    def tail(self, x):
        x = super().tail(x)
        return x + (x @ x.T).softmax(1) @ x


class ComparesWithTheFirst(Small):
    def tail(self, x):
        x = super().tail(x)
        return x - x[:1]


class ComparesWithTheLast(Small):
    def tail(self, x):
        x = super().tail(x)
        return x - 0.5 * x[-1:]


class SharesALimit(Small):
    """Rounds to 8 bits by the largest value of the batch: another picture of noise has nearly the same."""

    def tail(self, x):
        step = x.amax() / 127
        return super().tail((x / step).round() * step)


class DividesByTheirNumber(Small):
    def tail(self, x):
        return super().tail(x) / len(x)


class DropsInTheHead(Small):
    def head(self, x):
        return F.dropout2d(self.stem(x))


class DropsSeldom(Small):
    def tail(self, x):
        return F.dropout(super().tail(x), 1e-9)


class AddsNoise(Small):
    def tail(self, x):
        return super().tail(x) + 1e-6 * torch.randn(8)


class AddsNumpysNoise(Small):
    def tail(self, x):
        return super().tail(x) + float(np.random.default_rng().normal())


class SeldomDrawsByNumpy(Small):
    def tail(self, x):
        return super().tail(x) + float(np.random.rand() < 1e-9)


class SeldomDrawsByPython(Small):
    def tail(self, x):
        return super().tail(x) + float(random.random() < 1e-9)


class Drifts(Small):
    def tail(self, x):
        return super().tail(x) * self.calls


class RemembersTheLastBatch(Small):
    def tail(self, x):
        x, before = super().tail(x), self.seen
        self.seen = x.mean(0)
        return x if before is None else x + before


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (lambda: Small(nn.BatchNorm2d(8, track_running_stats=False)), f"{COMPANY}.*{NORM}"),
        (NeverEvaluates, f"{COMPANY}.*{NORM}"),
        (Trains, "its forward puts .* into training mode, by train"),
        (TrainsForAMoment, COMPANY),
        (NormalizesTheBatch, COMPANY),
        (Attends, COMPANY),
        (ComparesWithTheFirst, COMPANY),
        (ComparesWithTheLast, COMPANY),
        (SharesALimit, COMPANY),
        (DividesByTheirNumber, COMPANY),
        (DropsInTheHead, RANDOM),
        (DropsSeldom, RANDOM),
        (AddsNoise, RANDOM),
        (AddsNumpysNoise, AGAIN),
        (SeldomDrawsByNumpy, RANDOM),
        (SeldomDrawsByPython, RANDOM),
        (Drifts, AGAIN),
        (RemembersTheLastBatch, AGAIN),
    ],
)
def test_a_classifier_whose_answer_follows_from_more_than_the_image_is_refused(network, sentence):
    with pytest.raises(UserError, match=f"mine: .*{sentence}"):
        check(network())


class KeepsItsFirstTable(Small):
    def tail(self, x):
        self.seen = torch.arange(8.0) if self.seen is None else self.seen
        return super().tail(x) + self.seen


class CountsCalls(Small):
    count: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def head(self, x):
        self.count += 1
        return super().head(x)


class RoundsInside(Small):
    """Rounds what kernels compute: a last bit becomes a step."""

    def head(self, x):
        return (self.stem(x) * 4).round() / 4


class Halves(Small):
    def tail(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.last(super().tail(x)).float()[:, :8]


class OneByOne(Small):
    def head(self, x):
        return torch.cat([self.stem(image[None]) for image in x])


@pytest.mark.parametrize(
    "network",
    [Small, KeepsItsFirstTable, CountsCalls, RoundsInside, Halves, OneByOne, lambda: Small(nn.InstanceNorm2d(8))],
)
def test_a_classifier_that_only_rounds_or_counts_is_not_refused(network):
    check(network())


def check(model, at=None):
    fields = {"resize": None, "crop": 32, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    backbone = Classifier("mine", model.eval().requires_grad_(False), Preprocessing(**fields), "")
    example = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    if at is None:
        backbone_checks.check(backbone, example, tasks.get("classification"))
    else:
        backbone_checks.check_head(backbone, backbone.split(at, example), example)


class HidesItsHead(Small):
    """The head mixes the batch, and the answer shows next to nothing of it."""

    def tail(self, x):
        return 1 + 1e-9 * super().tail(x)


def test_what_crosses_is_checked_where_the_answer_does_not_show_it():
    mixing = HidesItsHead(nn.BatchNorm2d(8, track_running_stats=False))
    check(mixing)
    with pytest.raises(UserError, match=f"what crosses at stem for an image {COMPANY}.*{NORM}"):
        check(mixing, "stem")
    check(HidesItsHead(), "stem")


class BlackBoxDetector(nn.Module):
    """A user's detector, with a norm in its network's first part and one in its second."""

    categories = (1,)
    most = 5

    def __init__(self, first=True, second=True, noise=0.0, overwrites=False):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8, track_running_stats=first))
        self.last = nn.Sequential(nn.Conv2d(8, 1, 1), nn.BatchNorm2d(1, track_running_stats=second))
        self.noise, self.overwrites = noise, overwrites

    def prepare(self, image):
        if self.overwrites:
            image[:] = 255 - image
        return F.interpolate(image[None].float() / 255, (32, 32), mode="bilinear")[0]

    def forward(self, batch):
        x = self.last(self.stem(batch))
        return (x + self.noise * torch.randn(x.shape[-1]) if self.noise else x).sigmoid()

    def detections(self, raw, sizes):
        best = [scores.topk(self.most) for scores in raw.flatten(1)]
        labels = torch.ones(self.most, dtype=torch.int64)
        return [{"boxes": torch.zeros(self.most, 4), "labels": labels, "scores": item.values} for item in best]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"first": False}, rf"{COMPANY}.*stem\.1"),
        ({"second": False}, rf"{COMPANY}.*last\.1"),
        ({"noise": 0.1}, RANDOM),
        ({"overwrites": True}, "it writes into the image that it is given"),
    ],
)
def test_a_detector_of_ones_own_is_checked(parts, sentence):
    check_detector(BlackBoxDetector())
    with pytest.raises(UserError, match=sentence):
        check_detector(BlackBoxDetector(**parts))


def test_a_detector_of_torchvisions_is_checked_at_both_sides():
    at = "backbone.body.layer2"
    check_detector(small_detector(), at)
    for place in ("backbone.body.bn1", "head.classification_head.conv.1"):
        model = small_detector()
        old = model.get_submodule(place)
        channels = old.num_channels if isinstance(old, nn.GroupNorm) else old.num_features
        model.set_submodule(place, nn.BatchNorm2d(channels, track_running_stats=False))
        with pytest.raises(UserError, match=f"{COMPANY}.*{place}"):
            check_detector(model, at)


def small_detector():
    return registry.build("splitbench/small_detector", {}, "default", {}).model


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_weights_of_another_precision_are_named(dtype):
    hint = f"its weights are {str(dtype)[6:]}, and its input is float32: return it as `model.float"
    with pytest.raises(UserError, match=rf"mine: it fails on an image of 32 x 32 pixels: RuntimeError.*; {hint}"):
        check(Small().to(dtype))
    with pytest.raises(UserError, match=rf"mine: BlackBoxDetector\.forward failed: RuntimeError.*; {hint}"):
        check_detector(BlackBoxDetector().to(dtype))


def check_detector(model, at="stem"):
    backbone = Detector("mine", model.eval().requires_grad_(False), "")
    example = [torch.randint(0, 256, (3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))]
    backbone_checks.check(backbone, example, tasks.get("detection"))
    backbone_checks.check_head(backbone, backbone.split(at, example), example)


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("torchvision/mobilenet_v3_small", "features.3"),
        ("timm/test_vit", "blocks.1"),
        ("splitbench/small_resnet", "layer2"),
    ],
)
def test_networks_that_come_along_are_not_refused(name, at):
    backbone = registry.build(name, {}, "none", {"resize": 64, "crop": 64} if name.startswith("torchv") else {})
    assert isinstance(backbone, Classifier)
    side = backbone.preprocessing.crop
    example = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
    backbone_checks.check(backbone, example, tasks.get("classification"))
    backbone_checks.check_head(backbone, backbone.split(at, example), example)


SWEEP = """
datasets: [{name: synthetic, limit: 4}]
backbones:
  - name: torchvision/squeezenet1_1
    weights: none
    args: {num_classes: 18}
    preprocessing: {resize: 64, crop: 64}
    splits: [features.5]
methods: [{name: METHOD}]
"""


@pytest.mark.parametrize("method", ["image", "label-only"])
def test_methods_without_a_cut_refuse_randomness_too(tmp_path, monkeypatch, method):
    (tmp_path / "own.yaml").write_text(SWEEP.replace("METHOD", method))
    assert list(plan.plan_passes(reading.read(tmp_path / "own.yaml"), Sources()))
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, x: F.dropout(x))
    with pytest.raises(UserError, match=RANDOM):
        list(plan.plan_passes(reading.read(tmp_path / "own.yaml"), Sources()))

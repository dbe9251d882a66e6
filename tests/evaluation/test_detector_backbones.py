"""Detectors as backbones, and the evaluator on them: nothing is lost but what a method loses, and all bytes count."""

import re
import textwrap

import numpy as np
import pytest
import torch

from splitbench import methods
from splitbench.bench.backbones import detectors, registry
from splitbench.bench.evaluation.pipeline.transmission import transmit
from splitbench.bench.split import same
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import Context
from tests.helpers.coco_samples import SIZES, Squares, write_coco
from tests.helpers.naive_pass import naive, opened
from tests.helpers.pass_samples import evaluated

TORCHVISIONS = "torchvision/ssdlite320_mobilenet_v3_large"
OWN = "tests.helpers.coco_samples:squares"


def built(name):
    args = {"score_thresh": 0.0, "detections_per_img": 50} if name == TORCHVISIONS else {}
    return registry.build(name, args, "none", {})


def pictures(*sizes):
    generator = torch.Generator().manual_seed(1)
    coarse = [torch.randint(0, 256, (1, 3, 6, 8), generator=generator).float() for _ in sizes]
    return [
        torch.nn.functional.interpolate(c, s, mode="bilinear")[0].byte() for c, s in zip(coarse, sizes, strict=True)
    ]


def directly(backbone, images):
    """The model used as its makers use it."""
    if backbone.name == TORCHVISIONS:
        return backbone.model([image / 255 for image in images])
    batch = torch.stack([backbone.model.prepare(image) for image in images])
    return backbone.model.detections(backbone.model(batch), [image.shape[-2:] for image in images])


PLACES = [
    (TORCHVISIONS, ["input", "transform", "backbone.features.0", "backbone.extra.0", "backbone", "output"]),
    (OWN, ["input", "stem", "body.0", "body", "output"]),
]


@pytest.mark.parametrize(("name", "places"), PLACES)
@torch.no_grad()
def test_uncompressed_results_are_the_models_own_box_for_box(name, places):
    backbone = built(name)
    images = pictures((80, 96), (40, 48), (80, 96)) if name == OWN else pictures((80, 96), (120, 60))
    expected = directly(backbone, images)
    assert len(expected[0]["boxes"]) > 0
    assert same(backbone.whole()(images), expected)
    for at in places:
        split = backbone.split(at, images[:1])
        codec = METHODS.get("raw").deploy(METHODS.get("raw").Settings(dtype="float32"), context_of(split)).codec
        streams, received = transmit(split, codec, split.head(images))
        found = split.tail(*received)
        assert len(streams) == len(images)
        assert same(in_order(found), in_order(expected)), at
        header = 0 if at == "output" else 4
        assert {stream.framing for stream in streams} == {header}
        if header:
            sides = [int.from_bytes(stream.data[i : i + 2], "little") for stream in streams for i in (0, 2)]
            assert sides == [side for image in images for side in image.shape[-2:]]


def in_order(found):
    return [{key: item[key] for key in ("boxes", "labels", "scores")} for item in found]


def context_of(split):
    return Context(split.head, split.tail, split.specs, list)


def test_the_tail_learns_sizes_from_the_bytes():
    """What the head said of the image's size is replaced by what was sent."""
    split = built(OWN).split("stem", pictures((80, 96)))
    codec = METHODS.get("raw").deploy(METHODS.get("raw").Settings(dtype="float32"), context_of(split)).codec
    values = split.head(pictures((80, 96)))
    _, received = transmit(split, codec, values)
    assert received[1:] == (80, 96) == values[1:]
    with pytest.raises(methods.MethodError, match="70000 x 10 pixels is too large"):
        transmit(split, codec, (values[0], 70000, 10))


def test_at_output_the_likeliest_boxes_cross_and_rows_without_one_are_dropped():
    class Few(Squares):
        most = 3

    backbone = detectors.Detector("own", Few().eval(), "")
    images = pictures((80, 96), (80, 96))
    head, tail = backbone.split("output", images).sides
    boxes, labels, scores = head(images)
    assert boxes.shape == (2, 3, 4) and labels.shape == scores.shape == (2, 3)
    found = directly(backbone, images)
    assert same(tail(boxes, labels, scores), found)
    scores[1, 1:] = -1
    assert [len(item["boxes"]) for item in tail(boxes, labels, scores)] == [3, 1]


def test_what_is_only_partly_a_detector_is_refused():
    class Partly(torch.nn.Module):
        def detections(self, raw, sizes):
            return []

    with pytest.raises(UserError, match="Partly lacks categories and prepare to be a detector"):
        detectors.is_detector(Partly())
    assert not detectors.is_detector(torch.nn.Linear(1, 1))
    torchvisions = built(TORCHVISIONS).model
    assert detectors.is_detector(torchvisions)
    del torchvisions.categories
    with pytest.raises(UserError, match="SSD lacks categories to be a detector"):
        detectors.is_detector(torchvisions)


def changed(**parts):
    """What the detector of the tests finds, with some of it changed by functions."""

    class Faulty(Squares):
        def prepare(self, image):
            return parts.get("prepare", lambda x: x)(super().prepare(image))

        def detections(self, raw, sizes):
            found = [
                {name: parts.get(name, lambda x: x)(value) for name, value in item.items()}
                for item in super().detections(raw, sizes)
            ]
            return parts.get("found", lambda x: x)(found)

    return detectors.Detector("own", Faulty().eval(), "")


def missing_key(_):
    return {}["anchors"]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"prepare": lambda x: x[None]}, r"prepare must give a float tensor \(C, h, w\), not float32 \(1, 3, 32, 32\)"),
        ({"prepare": lambda x: x.byte()}, "must give a float tensor .* not uint8"),
        ({"prepare": lambda _: None}, "must give a float tensor .* not a NoneType"),
        (
            {"prepare": missing_key},
            r"Faulty.prepare failed: KeyError: 'anchors' \(test_.*.py, line \d+\)",
        ),
        ({"found": missing_key}, "Faulty.detections failed: KeyError: 'anchors'"),
        ({"found": lambda found: found[:1]}, "must give a list with one dict for each of 2 images, not a list of 1"),
        ({"found": lambda found: {"boxes": found}}, "one dict for each of 2 images, not a dict of boxes: list"),
        ({"found": lambda found: [(), ()]}, "dicts of tensors `boxes`, `labels` and `scores`, not a tuple of 0"),
        ({"scores": lambda x: x.tolist()}, "dicts of tensors .* not a dict of .*scores: list"),
        ({"boxes": lambda x: x[:, :3]}, r"of the shapes .* not \(40, 3\), \(40,\), \(40,\)"),
        ({"labels": lambda x: x[1:]}, r"of the shapes .* not \(40, 4\), \(39,\), \(40,\)"),
        ({"labels": lambda x: x.float()}, r"whole numbers, as `labels`, not float32 \(40,\)"),
        ({"labels": lambda x: x * 0 - 1}, "categories that are not in its `categories`: -1; `labels` are category ids"),
        ({"scores": lambda x: x - 1}, "gives scores below 0"),
    ],
)
@torch.no_grad()
def test_what_breaks_the_protocol_is_reported_in_a_sentence(parts, sentence):
    images = pictures((80, 96), (80, 96))
    with pytest.raises(UserError, match=sentence):
        changed(**parts).whole()(images)
    if "prepare" not in parts:
        head, tail = changed(**parts).split("stem", images).sides
        with pytest.raises(UserError, match=sentence):
            tail(*head(images))


def test_memory_that_runs_out_in_a_detectors_own_code_is_reported_as_such():
    """The evaluator takes smaller batches then."""

    def full(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        changed(prepare=full).whole()(pictures((80, 96)))


def test_the_documented_example_is_a_detector():
    code = re.search(r"    class Squares.*", detectors.__doc__, re.DOTALL)
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
    exec(textwrap.dedent(code.group()), names)  # noqa: S102
    backbone = detectors.Detector("documented", names["Squares"]().eval(), "")
    assert detectors.is_detector(backbone.model)
    images = pictures((60, 100), (100, 60))
    with torch.no_grad():
        split = backbone.split("stem", images)
        found = split.tail(*split.head(images))
        assert same(found, backbone.whole()(images))
    for item, image in zip(found, images, strict=True):
        assert item["boxes"].shape == (5, 4) and item["labels"].tolist() == [1] * 5
        assert (item["boxes"][:, 2] <= image.shape[2]).all() and (item["boxes"][:, 3] <= image.shape[1]).all()


SWEEP = f"""
task: detection
datasets: [{{name: coco, calibration: {{limit: 4}}}}]
backbones: [{{name: "{OWN}", weights: none, splits: [stem, body]}}]
methods:
  - {{name: raw}}
  - {{name: quantize-rle, bits: [2, 8], granularity: [tensor, channel]}}
  - {{name: quantize-rle, bits: [4], range: calibrated, clip: mse}}
  - {{name: image, quality: [10, 90]}}
  - {{name: image, quality: [40], header: shared}}
  - {{name: boxes, score: [0.0, 0.5], step: 0.125}}
"""


@pytest.fixture
def inputs(tmp_path):
    write_coco(tmp_path)
    write_coco(tmp_path, "train2017", first=100)
    return opened(SWEEP, batch=2, data=tmp_path)


def test_one_pass_equals_the_naive_evaluation(inputs):
    cells, given = inputs
    outcomes = evaluated(cells, given)
    first = [given.backbone.pixels(given.dataset.image(i)) for i in range(given.batch)]
    with torch.no_grad():
        whole = directly(given.backbone, first)[0]
        for outcome in outcomes:
            assert not outcome.reason, outcome.reason
            sizes, found = zip(*naive(outcome.cell, given), strict=True)
            records = outcome.records
            assert records["bytes"].tolist() == list(sizes), str(outcome.cell)
            assert records["detections"].tolist() == [len(item["scores"]) for item in found]
            for key in ("boxes", "labels", "scores"):
                assert np.array_equal(records[key], torch.cat([item[key] for item in found])), (str(outcome.cell), key)
            assert records["baseline_labels"][: len(whole["labels"])].tolist() == whole["labels"].tolist()
            assert outcome.columns["bits_per_pixel"] == pytest.approx(8 * sum(sizes) / sum(h * w for h, w in SIZES))
    exact = {str(outcome.cell).split(" ", 2)[2]: outcome for outcome in outcomes}["stem raw dtype=float32"]
    assert np.array_equal(exact.records["boxes"][: len(whole["boxes"])], whole["boxes"])
    assert exact.columns["drop"] == exact.columns["drop_low"] == exact.columns["drop_high"] == 0
    assert exact.columns["cut"] == "8x16x16" and exact.columns["metric"] == "ap"


def test_images_are_batched_by_the_shape_of_the_networks_input(inputs):
    """Images of 80 x 96 make inputs of 32 x 32, like all others: one batch may hold several sizes."""
    from splitbench.bench.evaluation.pipeline.loader import load, plan_batches

    _, given = inputs

    def loaded(backbone, size):
        plan = plan_batches(given.dataset, backbone, size)
        return [batch.indices.tolist() for batch in load(given.dataset, backbone, plan)]

    assert loaded(given.backbone, 4) == [[0, 1, 2, 3], [4, 5]]
    resizing = registry.build("torchvision/fasterrcnn_mobilenet_v3_large_320_fpn", {}, "none", {})
    groups = [resizing.group(given.dataset, index) for index in range(6)]
    assert groups == [(320, 384), (320, 384), (320, 411), (320, 384), (320, 320), (320, 411)]
    assert loaded(resizing, 2) == [[0, 1], [3], [2, 5], [4]]


SMALL = {"min_size": 128, "max_size": 192}
EVERY = {
    "fasterrcnn_resnet50_fpn": SMALL | {"box_score_thresh": 0.0},
    "fasterrcnn_resnet50_fpn_v2": SMALL | {"box_score_thresh": 0.0},
    "fasterrcnn_mobilenet_v3_large_fpn": SMALL | {"box_score_thresh": 0.0},
    "fasterrcnn_mobilenet_v3_large_320_fpn": SMALL | {"box_score_thresh": 0.0},
    "retinanet_resnet50_fpn": SMALL | {"score_thresh": 0.0},
    "fcos_resnet50_fpn": SMALL | {"score_thresh": 0.0},
    "ssd300_vgg16": {"score_thresh": 0.0},
    "ssdlite320_mobilenet_v3_large": {"score_thresh": 0.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
@torch.no_grad()
def test_every_torchvision_detector_works_as_a_backbone(name):
    backbone = registry.build(f"torchvision/{name}", EVERY[name], "none", {})
    images = pictures((80, 96), (160, 192))  # both resize to the same shape
    expected = in_order(backbone.model([image / 255 for image in images]))
    assert isinstance(backbone, detectors.Detector) and backbone.categories == tuple(range(1, 91))
    places = ["input", "backbone", "output"]
    places.append(
        "backbone.body.layer2" if "resnet" in name else "backbone.features.0" if "ssd" in name else "backbone.body.4"
    )
    for at in places:
        split = backbone.split(at, images[:1])
        raw = METHODS.get("raw")
        codec = raw.deploy(raw.Settings(dtype="float32"), context_of(split)).codec
        _, received = transmit(split, codec, split.head(images))
        assert same(in_order(split.tail(*received)), expected), at

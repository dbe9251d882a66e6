"""Cutting torchvision's detectors."""

import pytest
import torch
from torch import nn

from splitbench.bench.split import same, split
from splitbench.bench.split.detectors import default_images, small_images
from splitbench.bench.tools.support.support import random_model, support
from splitbench.bench.tools.support.tested_models import DETECTORS
from splitbench.bench.utils.errors import UserError

PHOTOGRAPHS = [torch.rand(3, *size, generator=torch.Generator().manual_seed(5)) for size in ((70, 110), (90, 90))]


def detector(name: str) -> nn.Module:
    model = random_model(f"torchvision/{name}")
    for part in (model, getattr(model, "roi_heads", model)):
        if hasattr(part, "score_thresh"):
            part.score_thresh = 0.0
    return model


@torch.no_grad()
def test_a_detector_is_cut_inside_its_backbone_and_after_it():
    model = detector("fasterrcnn_mobilenet_v3_large_320_fpn")
    for at in ("transform", "backbone.body.6", "backbone.body.12.block.0", "backbone"):
        head, tail = split(model, at).sides
        with small_images(model):
            for images in (PHOTOGRAPHS, PHOTOGRAPHS[:1]):
                expected = model(images)
                assert len(expected[0]["boxes"]) > 0
                assert same(tail(*head(images)), expected), at
    assert len(split(model, "backbone").specs) == 3
    with pytest.raises(UserError, match="begins with 'backbone'"):
        split(model, "roi_heads.box_head")


@torch.no_grad()
def test_a_pyramid_needs_more_than_the_layer_at_which_it_is_cut():
    model = detector("ssdlite320_mobilenet_v3_large")
    parts = split(model, "backbone.extra.0")
    head, tail = parts.sides
    assert len(parts.roles) == 3
    images = default_images(model)
    cut = head(images)
    assert cut[3 : 3 + 8] == (96, 128, 320, 320, 120, 100, 320, 320)
    assert same(tail(*cut), model(images))


def test_the_tail_of_a_detector_trains():
    model = detector("ssdlite320_mobilenet_v3_large")
    head, tail = split(model, "backbone.features.0").sides
    targets = [{"boxes": torch.tensor([[5.0, 5.0, 60.0, 60.0]]), "labels": torch.tensor([1])} for _ in PHOTOGRAPHS]
    model.train()
    tail.train()
    torch.manual_seed(0)
    expected = model(PHOTOGRAPHS, [dict(t) for t in targets])
    torch.manual_seed(0)
    losses = tail(*head(PHOTOGRAPHS), targets=targets)
    assert losses.keys() == expected.keys()
    for key, loss in losses.items():
        assert torch.equal(loss, expected[key]), key
    sum(losses.values()).backward()


# -- everything ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_is_cut_exactly(name):
    model = detector(name.removeprefix("torchvision/"))
    row = support(name, model)
    assert row.exact == "yes", row.reason
    assert row.trains == ("not with boxes alone" if "mask" in name or "keypoint" in name else "yes")

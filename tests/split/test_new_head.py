"""Another network in the place of a head's layers: what stays of the head, and where that cannot be."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from splitbench.bench.backbones.registry import build
from splitbench.bench.split import split
from splitbench.bench.split.new_head import new_sides
from splitbench.methods import MethodError, NewHead


class Halving(NewHead):
    """The mean of each 8 x 8 pixels and back, by numbers that a test can tell."""

    def __init__(self, channels, times):
        super().__init__()
        self.encoder = nn.AvgPool2d(8)
        self.decoder = nn.Conv2d(3, channels, 1, bias=False)
        nn.init.constant_(self.decoder.weight, times)

    def begin(self, cut):
        pass


def test_a_classifiers_preprocessing_stays_and_its_layers_do_not_run():
    backbone = build("splitbench/small_resnet", {}, "none", {})
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    place = backbone.split("layer2", pixels)
    assert place.image == (3, 96, 96)
    new = Halving(48, 0.5)
    head, tail = new_sides(place, new, place.tail)
    (sent,) = head(pixels)
    normalized = place.head.normalize(pixels)
    assert torch.equal(sent, nn.functional.avg_pool2d(normalized, 8))
    expected = 0.5 * sent.sum(1, keepdim=True).expand(2, 48, 12, 12)
    assert torch.allclose(tail(sent), place.tail(expected), atol=1e-5)
    assert not list(head.parameters())
    assert {id(p) for p in tail.parameters()} == {id(p) for p in (*place.tail.parameters(), *new.parameters())}
    assert place.head(pixels)[0].shape == (2, 48, 12, 12)  # the backbone's own is as it was


def test_a_detectors_images_and_their_sizes_still_reach_the_tail():
    backbone = build("splitbench/small_detector", {}, "none", {})
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((100, 120), (90, 80))]
    place = backbone.split("backbone.body.layer2", images)
    assert place.image == (3, 192, 192)
    head, tail = new_sides(place, Halving(48, 0.1), place.tail)
    sent, *sizes = head(images)
    assert sent.shape == (2, 3, 24, 24)
    assert sizes == list(place.head(images)[1:]) == [100, 120, 90, 80]
    assert len(tail(sent, *sizes)) == 2


class WithSizes(nn.Module):
    """Gives its output the size that the image had, which crosses beside the tensor."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        size = x.shape[-2:]
        return nn.functional.interpolate(self.last(self.first(x)), size=size)


def test_sizes_that_the_layers_would_have_to_give_are_refused():
    example = torch.randn(2, 3, 16, 16)
    place = replace(split(WithSizes().eval(), "first", example), image=(3, 16, 16))
    assert len(place.head(example)) > 1
    with pytest.raises(MethodError, match="tensors and sizes cross at first"):
        new_sides(place, Halving(4, 1.0), place.tail)


@pytest.mark.parametrize("at", ["input", "output"])
def test_at_the_ends_of_a_network_no_head_is_replaced(at):
    backbone = build("splitbench/small_resnet", {}, "none", {})
    place = backbone.split(at, torch.zeros(2, 3, 96, 96, dtype=torch.uint8))
    assert place.image is None
    with pytest.raises(MethodError, match=f"inside the network, which {at} is not"):
        new_sides(place, Halving(3, 1.0), place.tail)

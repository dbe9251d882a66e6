"""Lists of split points, the choice among them, zeros and the figure."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.split import default_example, split
from splitbench.bench.split.auto import DEEPEST, pareto_front, places
from splitbench.bench.split.detectors import default_images, small_images
from splitbench.bench.split.points import SplitPoint, auto_points, network_input, share_of_zeros, split_points
from splitbench.bench.tools.splits.figure import make_figure, plot
from splitbench.bench.tools.support.support import random_model
from splitbench.bench.utils.errors import UserError


@pytest.fixture(scope="module")
def model():
    return random_model("torchvision/resnet18")


@pytest.fixture(scope="module")
def points(model):
    return split_points(model, default_example(model))


def by_name(points):
    return {p.name: p for p in points}


def test_points_come_in_order_and_say_what_crosses(points):
    names = [p.name for p in points]
    assert names[:4] == ["conv1", "bn1", "relu", "maxpool"]
    assert names[4:] == [
        "layer1.0",
        "layer1",
        "layer2.0",
        "layer2",
        "layer3.0",
        "layer3",
        "layer4.0",
        "layer4",
        "avgpool",
    ]
    layer2 = by_name(points)["layer2"]
    assert layer2.shapes == ((128, 28, 28),)
    assert layer2.elements == 128 * 28 * 28
    assert layer2.bytes == 4 * layer2.elements
    assert [p.name for p in points if p.larger_than_input] == ["conv1", "bn1", "relu", "maxpool", "layer1.0", "layer1"]


def test_both_sides_cost_what_the_model_costs(model, points):
    x = default_example(model)[:1]
    macs, parameters = count_macs(model, x), sum(p.numel() for p in model.parameters())
    assert macs == 1_814_073_344
    for point in points:
        assert point.macs_head + point.macs_tail == macs
        assert point.parameters_head + point.parameters_tail == parameters
    heads = [p.macs_head for p in points]
    assert heads == sorted(heads)


def test_a_point_is_what_a_split_is(model, points):
    x = default_example(model)[:1]
    for name in ("layer1.0", "layer3"):
        point = by_name(points)[name]
        head, tail = split(model, name).sides
        cut = head(x)
        assert point.shapes == tuple(tuple(t.shape[1:]) for t in cut)
        assert point.macs_head == count_macs(head, x)
        assert point.macs_tail == count_macs(tail, *cut)
        assert point.parameters_head == sum(p.numel() for p in head.parameters())
        assert point.parameters_tail == sum(p.numel() for p in tail.parameters())


def test_zeros_are_counted_where_the_tail_reads(model, points):
    x = default_example(model)
    shares = share_of_zeros(model, points, x)
    assert set(shares) == {p.name for p in points}
    assert shares["conv1"] == 0 == shares["bn1"]
    with torch.no_grad():
        for name in ("relu", "layer2", "layer3.0"):
            (cut,) = split(model, name).head(x)
            assert shares[name] == pytest.approx(float((cut == 0).float().mean()))
    with pytest.raises(UserError, match="no split point"):
        share_of_zeros(model, [replace(points[0], name="layer9")], x)


def test_the_stages_are_chosen(points):
    assert [p.name for p in auto_points(points)] == ["layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("torchvision/mobilenet_v2", ["features.1", "features.3", "features.6", "features.13", "features"]),
        ("torchvision/vgg11", ["features.1", "features.2", "features.5", "features.10", "features.19", "avgpool"]),
        ("timm/vit_tiny_patch16_224", ["blocks.2", "blocks.5", "blocks.8"]),
        ("timm/swin_tiny_patch4_window7_224", ["layers.0", "layers.1", "layers.2", "layers"]),
    ],
)
def test_the_stages_of_other_families(name, stages):
    model = random_model(name)
    assert [p.name for p in auto_points(split_points(model, default_example(model)))] == stages


def test_the_best_are_on_the_pareto_front(points):
    front = pareto_front([p for p in points if p.macs_head <= DEEPEST * (p.macs_head + p.macs_tail)])
    for n in range(1, len(front) + 1):
        chosen = auto_points(points, n)
        assert len(chosen) == n
        assert all(p in front for p in chosen)
        assert [points.index(p) for p in chosen] == sorted(points.index(p) for p in chosen)
    for p in front:
        better = [q for q in points if q.macs_head <= p.macs_head and q.bytes <= p.bytes]
        assert all((q.macs_head, q.bytes) == (p.macs_head, p.bytes) for q in better)
    assert len(auto_points(points, len(front) + 2)) == len(front) + 2
    assert auto_points(points, 1000) == points
    with pytest.raises(UserError, match="at least 1"):
        auto_points(points, 0)


def test_none_of_the_best_has_all_computation_before_it_while_there_are_others(points):
    for n in (1, 2, 3, 5):
        assert all(p.macs_head <= 0.9 * (p.macs_head + p.macs_tail) for p in auto_points(points, n))
    deep = [p for p in points if p.macs_head > 0.9 * (p.macs_head + p.macs_tail)]
    assert deep and len(auto_points(deep, 2)) == 2


def test_choosing_among_nothing():
    assert auto_points([]) == []
    assert auto_points([], 3) == []
    flat = SplitPoint("pool", ((8,),), 1, 1, 1, 1, False, False)
    assert auto_points([flat]) == []
    assert auto_points([flat], 2) == [flat]


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [(((8, 4, 4),), 16), (((7, 7, 768),), 49), (((197, 192),), 197), (((8, 8, 8), (8, 4, 4)), 16)],
)
def test_places_of_a_cut(shapes, expected):
    assert places(SplitPoint("x", shapes, 1, 1, 1, 1, False, False)) == expected


def test_a_detector_is_listed_with_its_heads_in_the_tail():
    model = random_model("torchvision/fasterrcnn_mobilenet_v3_large_320_fpn")
    images = default_images(model)
    with small_images(model):
        points = split_points(model, images)
        total = count_macs(model, images) // len(images)
        numbers = network_input(model, images)[0].numel()
        shares = share_of_zeros(model, points[:3], images)
    names = by_name(points)
    assert all(p.larger_than_input == (p.elements > numbers) for p in points)
    assert points[-1].name == "backbone"
    assert len(names["backbone"].shapes) == 3
    assert len(names["backbone.body.14"].shapes) == 2  # the pyramid needs an earlier layer too
    assert all(p.macs_head + p.macs_tail == pytest.approx(total, rel=1e-3) for p in points)
    parameters = sum(p.numel() for p in model.parameters())
    assert all(p.parameters_head + p.parameters_tail == parameters for p in points)
    assert set(shares) == {p.name for p in points[:3]}
    assert auto_points(points)


def test_cuts_of_one_size_have_an_axis_with_several_ticks_around_them():
    points = [SplitPoint(f"blocks.{i}", ((197, 192),), i, 9 - i, 1, 1, True, False) for i in range(9)]
    figure = make_figure(points, "a ViT", input_bytes=4 * 3 * 224 * 224)
    sizes = figure.axes[0]
    low, high = sizes.get_ylim()
    ticks = [tick for tick in sizes.get_yticks() if low <= tick <= high]
    assert len(ticks) >= 3
    assert low < ticks[0] < 4 * 197 * 192 / 1000 < ticks[-1] < high
    assert low < 4 * 3 * 224 * 224 / 1000 < high


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_the_figure(points, tmp_path, suffix):
    path = tmp_path / f"splits.{suffix}"
    plot(points, path, "resnet18", input_bytes=4 * 3 * 224 * 224)
    assert path.stat().st_size > 5000
    if suffix == "png":
        with Image.open(path) as image:
            assert image.width > 800

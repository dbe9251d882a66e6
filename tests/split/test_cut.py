"""Cutting models: exact, trainable, movable, and each side with its own parameters only."""

import copy

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from splitbench.bench.split import default_example, same, split
from splitbench.bench.tools.support.support import random_model, support
from splitbench.bench.tools.support.tested_models import DETECTORS, FAMILIES, TIMM, TORCHVISION
from splitbench.bench.utils.errors import UserError
from tests.helpers.split_networks import IMAGES, Tokens, resnet

SPLIT_POINTS = {
    "torchvision/resnet18": ["layer2", "layer2.1.bn2"],
    "torchvision/mobilenet_v2": ["features.5.conv.1"],
    "torchvision/squeezenet1_1": ["features.6.expand1x1"],
    "torchvision/shufflenet_v2_x0_5": ["stage3.1.branch2.3"],
    "timm/mobilenetv4_conv_small": ["blocks.2.1.dw_mid"],
    "timm/efficientvit_m0": ["stages.0.blocks.0.mixer"],
    "timm/vit_tiny_patch16_224": ["blocks.0", "blocks.0.attn.qkv"],
    "timm/fastvit_t8": ["stages.0.blocks.1.mlp"],
}
ONE_SIZE = {"timm/vit_tiny_patch16_224"}
KEEPS_BLOCKS_WHOLE = {"timm/efficientvit_m0"}  # its windowed attention, which timm forbids fx to enter


@pytest.fixture(scope="module", params=SPLIT_POINTS)
def named(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    return request.param, random_model(request.param)


def batches(x: Tensor, one_size: bool) -> list[Tensor]:
    wider = F.interpolate(x[:1], size=[x.shape[2] + 32, x.shape[3] + 64])
    return [x[:1], torch.cat([x, x.flip(0)])] + ([] if one_size else [wider])


@torch.no_grad()
def test_tail_of_head_is_the_model(named):
    name, model = named
    example = default_example(model) if name in ONE_SIZE else default_example(model)[..., :64, :64]
    for at in SPLIT_POINTS[name]:
        parts = split(model, at, example)
        head, tail = parts.sides
        assert parts.how == ("module" if name in KEEPS_BLOCKS_WHOLE else "fx")
        assert parts.at == at
        for x in batches(example, name in ONE_SIZE):
            cut = head(x)
            tensors, numbers = cut[: len(parts.specs)], cut[len(parts.specs) :]
            assert len(tensors) == len(parts.roles) > 0
            assert all(isinstance(t, Tensor) and len(t) == len(x) for t in tensors)
            assert all(isinstance(n, int) for n in numbers)
            assert same(tail(*cut), model(x)), f"{name} at {at}"
            # What a decoder gives back is contiguous, whatever the layout was in the network.
            decoded = [t.clone(memory_format=torch.contiguous_format) for t in tensors]
            assert same(tail(*decoded, *numbers), model(x))


def test_both_sides_learn_what_the_model_learns(named):
    name, model = copy.deepcopy(named)
    example = default_example(model) if name in ONE_SIZE else default_example(model)[..., :64, :64]
    head, tail = split(model, SPLIT_POINTS[name][-1], example).sides
    for module in (model, head, tail):
        module.train()
    gradients = []
    for forward in (model, lambda x: tail(*head(x))):
        model.zero_grad()
        torch.manual_seed(0)  # of dropout
        forward(example).square().mean().backward()
        gradients.append({key: p.grad for key, p in model.named_parameters() if p.grad is not None})
    whole, sides = gradients
    assert whole.keys() == sides.keys()
    assert all(torch.equal(whole[key], sides[key]) for key in whole)


def test_input_and_output_are_split_points_of_every_model():
    model = resnet().eval()
    with torch.no_grad():
        for at in ("input", "output"):
            parts = split(model, at, IMAGES)
            head, tail = parts.sides
            cut = head(IMAGES)
            assert len(parts.specs) == len(cut) == 1
            assert parts.roles == (at,)
            assert same(tail(*cut), model(IMAGES))
    assert split(model, "input").head(IMAGES)[0] is IMAGES
    assert not list(split(model, "input").head.parameters())
    assert not list(split(model, "output").tail.parameters())


def test_a_residual_is_sent_too():
    parts = split(resnet().eval(), "layer1.1.conv1", IMAGES)
    assert parts.roles == ("layer1.0", "layer1.1.conv1")


def test_an_inner_node_can_be_named_with_and_without_its_module():
    model = resnet().eval()
    plain, full = split(model, "iadd_1", IMAGES), split(model, "layer1.1.iadd_1", IMAGES)
    assert plain.roles == full.roles == ("layer1.1.iadd_1",)


@pytest.mark.parametrize(("at", "hint"), [("layer22", "layer2"), ("fc.weight", "fc"), ("inptu", "input")])
def test_an_unknown_split_point_is_an_error_with_a_hint(at, hint):
    with pytest.raises(UserError, match="ResNet has no split point") as error:
        split(resnet(), at, IMAGES)
    assert hint in str(error.value)
    with pytest.raises(UserError, match="has no name"):
        split(resnet(), "", IMAGES)


def test_a_module_that_does_not_run_is_no_split_point():
    model = resnet().eval()
    model.extra = nn.Linear(3, 3)
    with pytest.raises(UserError, match="runs in eval mode"):
        split(model, "extra", IMAGES)


# -- parameters ------------------------------------------------------------------------------------------------------


def test_each_side_has_its_own_parameters_only_and_they_are_the_models():
    model = resnet().eval()
    head, tail = split(model, "layer2", IMAGES).sides
    own = dict(model.named_parameters())
    left, right = dict(head.named_parameters()), dict(tail.named_parameters())
    assert set(left) | set(right) == set(own)
    assert not set(left) & set(right)
    assert all(own[name] is p for name, p in (left | right).items())
    assert set(head.state_dict()) | set(tail.state_dict()) == set(model.state_dict())


def test_parameters_and_what_is_made_of_them_are_never_sent():
    model = Tokens().eval()
    parts = split(model, "embed", IMAGES)
    head, tail = parts.sides
    assert parts.roles == ("embed",)
    assert {name for name, _ in tail.named_parameters()} == {"token", "mix.weight", "mix.bias"}
    assert set(head.state_dict()) == {"embed.weight", "embed.bias"}
    both = split(model, "cat", IMAGES)
    assert "token" in both.head.state_dict()
    assert "token" in both.tail.state_dict()


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        flat, same_again = x.flatten(2), x.view_as(x)
        left, right = x.chunk(2, dim=1)
        size = x.size()
        joined = self.together(flat, same_again, left, right)
        return joined.view(size[0], -1, size[2], size[3])

    def together(self, flat: Tensor, again: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return flat.softmax(2).view_as(again) + again + torch.cat([right, left], 1)


def test_views_of_one_tensor_are_sent_once():
    model = Views().eval()
    for at in ("layer", "chunk", "flatten", "cat"):
        parts = split(model, at, IMAGES)
        head, tail = parts.sides
        cut = head(IMAGES)
        sent = cut[: len(parts.specs)]
        storages = {t.untyped_storage().data_ptr() for t in sent}
        assert len(storages) == len(sent) == (2 if at == "cat" else 1)
        assert same(tail(*cut), model(IMAGES))


# -- in place --------------------------------------------------------------------------------------------------------


class InPlace(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.rectify = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        before = self.second(x)
        if self.way == "module":
            y = self.rectify(x)
        elif self.way == "method":
            y = x.relu_()
        elif self.way == "add":
            x += before
            y = x
        elif self.way == "view":
            x.flatten(2).mul_(2)
            y = x
        else:
            x[:, 1] = 0
            y = x
        return self.second(y) + x + before


@pytest.mark.parametrize("way", ["module", "method", "add", "view", "item"])
def test_in_place_operations(way):
    model = InPlace(way).eval()
    for at in ("first", "rectify", "relu_", "iadd", "flatten", "mul_", "second", "add"):
        try:
            head, tail = split(model, at, IMAGES).sides
        except UserError as error:
            assert "no split point" in str(error)
            continue
        with torch.no_grad():
            cut = head(IMAGES)
            kept = [t.clone() for t in cut]
            assert same(tail(*cut), model(IMAGES))
            assert same(tail(*cut), model(IMAGES)), "a second time"
            assert same(list(cut), kept)


# -- modes, training, devices ----------------------------------------------------------------------------------------


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(32, 32), nn.Linear(32, 32)
        self.depth = torchvision.ops.StochasticDepth(0.5, "row")

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.first(x), 0.5, self.training)
        x = F.dropout(self.second(x), p=0.5, training=self.training)
        return x + self.depth(x)


@pytest.mark.parametrize("at", ["first", "second"])
@pytest.mark.parametrize("began_in_training", [False, True])
def test_dropout_follows_the_mode_of_both_sides(at, began_in_training):
    model = Functional().train(began_in_training)
    head, tail = split(model, at, IMAGES).sides
    assert head.training is tail.training is model.training is began_in_training
    for mode in (True, False):
        for module in (model, head, tail):
            module.train(mode)
        torch.manual_seed(1)
        expected = model(IMAGES)
        torch.manual_seed(1)
        assert same(tail(*head(IMAGES)), expected)
    assert not same(expected, tail(*head(2 * IMAGES)))


def test_the_lists_name_every_classifier_and_enough_families():
    assert len(TORCHVISION) >= 80
    assert len(TIMM) >= 100
    assert len(FAMILIES) >= 60
    assert len(DETECTORS) >= 10
    assert all(timm.is_model(name.removeprefix("timm/")) for name in TIMM)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION + TIMM)
def test_every_model_is_cut_exactly(name):
    row = support(name, random_model(name))
    assert row.exact == "yes", row.reason
    assert row.how in {"fx", "module"}
    # Its auxiliary classifier takes 299 pixels, which is more than torchvision's models are tried with.
    assert row.trains == ("the model does not" if name == "torchvision/inception_v3" else "yes")

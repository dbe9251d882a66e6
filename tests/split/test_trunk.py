"""Heads that continue from one another give what they give alone, bit for bit, or are not shared."""

import pytest
import timm
import torch
from torch import nn

from splitbench.bench.split import same, split
from splitbench.bench.split.trunk import depth, shared

# Models whose layers write in place, branch, reshape or keep windows, each with split points in any order.
MODELS = {
    "resnet10t": ["layer3", "layer1", "layer2"],
    "mobilenetv3_small_050": ["blocks.4", "blocks.1", "blocks.2"],
    "deit_tiny_patch16_224": ["blocks.3", "blocks.1"],
    "densenet121": ["features.denseblock2", "features.denseblock1"],
    "swin_tiny_patch4_window7_224": ["layers.1", "layers.0"],
    "resnetv2_50": ["stages.1", "stages.0"],
}


class Counting(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts operations."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += "convolution" in str(func) or "addmm" in str(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if i < 3 else pytest.mark.slow) for i, name in enumerate(MODELS)]
)
def test_shared_heads_equal_heads(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        size = 224 if "patch" in name else 64
        model = timm.create_model(name).eval()
        x = torch.rand(3, 3, size, size)
    with torch.no_grad():
        heads = [split(model, at, x[:1]).head for at in MODELS[name]]
        quick = shared(heads, x[:1])
        assert all(item is not other for item, other in zip(heads, quick, strict=True))
        assert depth(heads[0]) == max(map(depth, heads))
        with Counting() as alone:
            expected = [head(x) for head in heads]
        with Counting() as together:
            result = [head(x) for head in quick]
        assert all(map(same, result, expected))
        with Counting() as deepest:
            heads[0](x)
        assert together.count == deepest.count < alone.count
        other = torch.rand(2, 3, size, size)  # another batch, and heads asked in another order, one of them twice
        for place in (1, 0, 0):
            assert same(quick[place](other), heads[place](other))


class Overwriting(nn.Module):
    """Its second layer writes into what the first one gave."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.activation = nn.Hardtanh(-0.2, 0.2, inplace=True)
        self.second = nn.Conv2d(4, 5, 3)

    def forward(self, x):
        return self.second(self.activation(self.first(x)))


def test_heads_that_would_overwrite_one_another_are_not_shared():
    model = Overwriting().eval()
    x = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        heads = [split(model, at, x).head for at in ("first", "activation", "second")]
        first, activation, second = shared(heads, x)
        assert first is heads[0] and activation is not heads[1] and second is not heads[2]


def test_heads_of_other_models_and_ends_stay_as_they_are():
    x = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        heads = [split(Overwriting().eval(), at, x).head for at in ("first", "activation", "input", "output")]
        for head in heads:
            assert shared([head, heads[2], heads[3]], x)[0] is head
        assert [depth(head) > 0 for head in heads] == [True, True, False, False]


def test_a_head_that_fails_on_the_example_leaves_the_others_shared():
    model = Overwriting().eval()
    x = torch.rand(2, 3, 8, 8)

    class Failing(nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head = head

        def forward(self, x):
            raise RuntimeError("not this time")

    with torch.no_grad():
        heads = [split(model, at, x).head for at in ("activation", "second")]
        result = shared([*heads, Failing(split(model, "first", x).head)], x)
        assert [item is other for item, other in zip(result, heads, strict=False)] == [False, False]
        assert same(result[1](x), heads[1](x))


class OfOneSize(nn.Module):
    """Its second layer takes images of one size only."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Flatten()
        self.third = nn.Linear(4 * 6 * 6, 5)

    def forward(self, x):
        return self.third(self.second(self.first(x)))


def test_one_heads_failure_is_not_anothers():
    model = OfOneSize().eval()
    x, larger = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 9, 9)
    with torch.no_grad():
        heads = [split(model, at, x).head for at in ("first", "third")]
        quick = shared(heads, x)
        assert quick[0] is not heads[0]
        assert same(quick[0](larger), heads[0](larger))
        with pytest.raises(RuntimeError):
            quick[1](larger)
        assert same(quick[1](x), heads[1](x))

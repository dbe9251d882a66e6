"""Counted MACs against closed forms and against torchvision's published numbers."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from splitbench.bench.metrics.macs import count_macs, count_training_macs


def test_a_convolution():
    layer = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2)
    assert count_macs(layer, torch.zeros(5, 6, 8, 10)) == 5 * 8 * (4 * 5) * (6 // 2) * 9


def test_a_transposed_convolution():
    layer = nn.ConvTranspose2d(6, 8, 2, stride=2)
    assert count_macs(layer, torch.zeros(1, 6, 4, 4)) == 6 * (4 * 4) * 8 * 4


def test_a_function_of_several_tensors():
    assert count_macs(torch.matmul, torch.zeros(3, 4, 5), torch.zeros(3, 5, 6)) == 3 * 4 * 5 * 6
    assert count_macs(torch.relu, torch.zeros(3, 4)) == 0


def test_attention_in_every_form():
    heads, tokens, width = 2, 6, 8
    q = torch.zeros(1, heads, tokens, width)
    expected = 2 * heads * tokens * tokens * width
    assert count_macs(F.scaled_dot_product_attention, q, q, q) == expected
    layer = nn.TransformerEncoderLayer(heads * width, heads, 32, batch_first=True)
    counts = {count_macs(layer.train(mode), q.reshape(1, tokens, heads * width)) for mode in (True, False)}
    assert counts == {expected + tokens * (4 * (heads * width) ** 2 + 2 * 32 * heads * width)}
    assert torch.backends.mha.get_fastpath_enabled()
    q.requires_grad_()
    assert count_training_macs(lambda: F.scaled_dot_product_attention(q, q, q).sum()) == 3 * expected


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 12, 3, 2, 1),
        nn.Conv2d(8, 12, 3, 1, 1, groups=4),
        nn.Conv2d(8, 16, (3, 5), groups=8),
        nn.ConvTranspose2d(8, 12, 4, 2, 1),
        nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=8),
        nn.Conv1d(8, 8, 3, groups=8),
    ],
)
def test_gradients_cost_twice_what_forward_costs(layer):
    x = torch.randn(2, 8, *[9] * (layer.weight.dim() - 2))
    forward = count_macs(layer, x)
    assert count_training_macs(lambda: layer(x.requires_grad_()).sum()) == 3 * forward
    assert count_training_macs(lambda: layer(x.detach()).sum()) == 2 * forward  # no gradient of the input


def test_the_mode_and_the_gradients_are_left_alone():
    layer = nn.Linear(3, 3).train()
    count_macs(layer, torch.zeros(1, 3))
    assert layer.training
    assert layer(torch.zeros(1, 3)).requires_grad


PUBLISHED = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mobilenet_v2",
    "resnet50",
    "shufflenet_v2_x1_0",
    "swin_t",
    "vgg11",
    "vit_b_16",
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_torchvision_s_published_numbers(name):
    weights = torchvision.models.get_model_weights(name).DEFAULT
    with torch.device("meta"):
        more = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
        model = torchvision.models.get_model(name, weights=None, **more).eval()
        side = weights.transforms().crop_size[0]
        counted = count_macs(model, torch.empty(1, 3, side, side))
    assert counted / 1e9 == pytest.approx(weights.meta["_ops"], rel=0.02)
    aside = sum(p.numel() for n, p in model.named_parameters() if n.startswith(("aux", "AuxLogits")))
    published = weights.meta["num_params"]
    assert sum(p.numel() for p in model.parameters()) - published in (0, -aside, aside)

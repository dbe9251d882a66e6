"""What no graph can follow: recorded or kept whole where that is right, else refused in a sentence; never a crash."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.split import same, split
from splitbench.bench.utils.errors import UserError

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Model(nn.Module):
    """Two convolutions with something between them."""

    def __init__(self, between: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.between = between or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.inside(self.between(self.first(x))))

    def inside(self, x: Tensor) -> Tensor:
        return x


class Round(torch.autograd.Function):
    """Rounds, and lets gradients through, as networks that are trained to be quantized do."""

    @staticmethod
    def forward(ctx, x):
        return (4 * x).round() / 4

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Rounds(Model):
    def inside(self, x):
        return Round.apply(x)


class Recomputes(Model):
    def inside(self, x):
        return checkpoint(self.between, x, use_reentrant=True)


class Overwrites(Model):
    def forward(self, x):
        return super().forward(x.mul_(2))


@pytest.mark.parametrize("kind", [Rounds, Recomputes, Overwrites])
def test_is_cut_as_it_is(kind):
    model = kind().eval()
    parts = split(model, "first", IMAGES)
    assert parts.how == "fx"
    head, tail = copy.deepcopy(parts).sides
    assert same(tail(*head(IMAGES.clone())), model(IMAGES.clone()))


def test_gradients_go_the_way_that_a_custom_function_gives_them():
    model = Rounds().eval()
    head, tail = split(model, "first", IMAGES).sides
    tail(*head(IMAGES)).sum().backward()
    assert float(model.first.weight.grad.abs().sum()) > 0


class HalfPrecision(Model):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x).float()


class Chooses(Model):
    def inside(self, x):
        return x if x.mean() > 0 else -x


@torch.jit.script
def doubled(x: Tensor) -> Tensor:
    return 2 * x


class CallsTorchScript(Model):
    def inside(self, x):
        return doubled(x)


class Maps(Model):
    def inside(self, x):
        return torch.vmap(torch.neg)(x)


class ForInference(Model):
    @torch.inference_mode()
    def inside(self, x):
        return -x


class Masks(Model):
    def inside(self, x):
        return x[x.mean((1, 2, 3)) > -1e9]


class CountsImages(Model):
    def inside(self, x):
        return x.reshape(len(x), 3, 16, 16)


class BranchesOnTheBatch(Model):
    def inside(self, x):
        return x if x.shape[0] > 3 else -x


class Transforms(Model):
    def inside(self, x):
        return torch.fft.fft2(x).abs()


PLACE = r"\(test_untraceable\.py, line \d+\)"
WHOLE = "put it into a module of its own, which is then kept whole"


@pytest.mark.parametrize(
    ("kind", "at", "sentence"),
    [
        (HalfPrecision, "first", rf"its forward switches autocast, which no graph records {PLACE}\. .*{WHOLE}"),
        (Chooses, "first", rf"follows from an image's values, as by an `if`, item\(\), .* {PLACE}\. .*{WHOLE}"),
        (Masks, "first", rf"follows from an image's values, .* or a mask {PLACE}"),
        (CallsTorchScript, "first", rf"tracing it failed with .*doubled.*{PLACE}"),
        (Maps, "first", "tracing it failed with .*_add_batch_dim"),
        (ForInference, "first", r"it runs in torch\.inference_mode"),
        (
            CountsImages,
            "first",
            r"uses the number of images as a plain number, as in len\(x\), .*: write x\.shape\[0\]",
        ),
        (BranchesOnTheBatch, "first", r"another way for inputs of this size, or for so many images"),
        (Transforms, "fft_fft2", "complex numbers cross there"),
    ],
)
def test_is_refused_in_a_sentence(kind, at, sentence):
    with pytest.raises(UserError, match=rf"{kind.__name__} cannot be cut.*{sentence}"):
        split(kind().eval(), at, IMAGES[:1])


@pytest.mark.parametrize("kind", [HalfPrecision, Chooses, CallsTorchScript, Maps, Masks])
def test_is_kept_whole_as_a_module_of_its_own(kind):
    model = Model(between=kind()).eval()
    parts = split(model, "first", IMAGES)
    assert parts.how == "module"
    head, tail = parts.sides
    for images in (IMAGES, -IMAGES, IMAGES[:1]):
        assert same(tail(*head(images)), model(images))


def test_a_part_that_is_torchscript_is_kept_whole_and_counted():
    part = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())
    model, plain = Model(torch.jit.script(part)).eval(), Model(part).eval()
    parts = split(model, "between", IMAGES)
    head, tail = parts.sides
    assert (parts.how, same(tail(*head(IMAGES)), model(IMAGES))) == ("module", True)
    assert count_macs(head, IMAGES) == count_macs(split(plain, "between", IMAGES).head, IMAGES) > 0
    assert sum(x.numel() for x in head.state_dict().values()) >= sum(x.numel() for x in part.state_dict().values())

"""A recipe's learning rates, what it refuses, and what weight decay spares."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from splitbench.bench.training import TrainingError
from splitbench.bench.training.recipe import Recipe, groups
from tests.helpers.training_samples import fit, network


def rates(steps=100, **changes):
    recipe = Recipe(epochs=1, **({"learning_rate": 2.0, "warmup": 0.1} | changes))
    return [recipe.pace(number / steps) for number in range(steps)]


def test_cosine_rises_as_a_line_and_falls_as_half_a_cosine():
    found = [rate for rate, _ in rates()]
    assert found[:11] == pytest.approx([0.2 * number for number in range(11)])
    assert found[55] == pytest.approx(1.0)
    assert found[40] == pytest.approx(1 + math.cos(math.pi / 3))
    assert sorted(found[10:], reverse=True) == found[10:]
    assert {momentum for _, momentum in rates()} == {0.9}


def test_without_warm_up_the_first_rate_is_the_highest():
    assert rates(warmup=0.0)[0][0] == 2.0
    assert rates(warmup=0.0, schedule="one-cycle")[0] == pytest.approx((2.0, 0.85))


def test_one_cycle_is_pytorchs():
    steps = 10_000
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2.0, total_steps=steps, pct_start=0.3)
    found = rates(steps, schedule="one-cycle", warmup=0.3)
    for number in range(steps):
        if number % 500 == 0:
            group = optimizer.param_groups[0]
            assert found[number] == pytest.approx((group["lr"], group["betas"][0]), abs=1e-3)
        optimizer.step()
        schedule.step()


def test_the_optimizer_gets_the_schedules_rates():
    _, report = fit(epochs=2, learning_rate=0.5, warmup=0.25)
    last = [Recipe(epochs=2, learning_rate=0.5, warmup=0.25).pace(number / 16)[0] for number in (7, 15)]
    assert [row["learning_rate"] for row in report.history] == last


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"warmup": 1.0}, "warmup is 1.0; it must be a share of all steps"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"ema": 1.0}, "ema is 1.0"),
        ({"schedule": "step"}, "schedule is 'step'; it must be cosine or one-cycle"),
        ({"precision": "int8"}, "precision is 'int8'; it must be float32, bfloat16, float16"),
    ],
)
def test_a_number_that_makes_no_sense_is_told(changes, what):
    with pytest.raises(TrainingError, match=what):
        Recipe(**({"epochs": 1} | changes))


def test_weight_decay_spares_norms_biases_and_what_modules_name():
    model: Any = network()
    model[4].no_decay = ("weight",)
    model[0].bias.requires_grad_(False)
    decay, spared = groups(model, 0.1)
    assert decay["weight_decay"] == 0.1 and spared["weight_decay"] == 0
    assert [id(p) for p in decay["params"]] == [id(model[0].weight)]
    names = {id(p): name for name, p in model.named_parameters()}
    assert [names[id(p)] for p in spared["params"]] == ["1.weight", "1.bias", "4.weight", "4.bias"]


def test_a_no_decay_that_names_no_parameter_is_told():
    model: Any = network()
    model[4].no_decay = ("weights",)
    with pytest.raises(TrainingError, match=r"Linear.no_decay names no parameters of it: weights"):
        fit(model)


def test_the_gradients_norm_is_clipped():
    def step(net, batch):
        return {"loss": 1e4 * net(batch[0]).sum()}

    seen = []
    model = nn.Linear(2, 1, bias=False)
    model.weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad))
    fit(model, step=step, epochs=1, best="loss", clip=0.5)
    assert seen
    # The hook sees the gradient before clipping, and the same tensor is clipped in place.
    assert all(float(grad.norm()) == pytest.approx(0.5, rel=1e-4) for grad in seen)


def test_a_module_can_have_a_share_of_the_learning_rate():
    inner: Any = nn.Linear(2, 2)
    outer: Any = nn.Linear(2, 2)
    between: Any = nn.Sequential(inner)
    inner.share, between.share = 0.5, 0.25  # the innermost counts
    whole = nn.Sequential(outer, between)
    found = {group["share"]: group["params"] for group in groups(whole, 0.1) if group["weight_decay"]}
    assert [id(p) for p in found[1.0]] == [id(outer.weight)]
    assert [id(p) for p in found[0.5]] == [id(inner.weight)]
    begun = {name: value.clone() for name, value in whole.state_dict().items()}
    # Without decay, AdamW's first step is the learning rate, whatever the gradient's size.
    fit(whole, step=lambda net, batch: {"loss": net(batch[0]).square().sum()}, epochs=1, batch_size=256, best="loss")
    moved = {name: float((value - begun[name]).abs().max()) for name, value in whole.state_dict().items()}
    assert moved["1.0.bias"] == pytest.approx(0.5 * moved["0.bias"], rel=0.02)

"""A recipe's learning rates, what it refuses, and what weight decay spares."""

import math

import pytest
from torch import nn

from splitbench.bench.training import TrainingError
from splitbench.bench.training.recipe import Recipe, parameter_groups
from tests.helpers.training_samples import fit, network


def rates(steps=100, **changes):
    recipe = Recipe(epochs=1, **({"learning_rate": 2.0, "warmup": 0.1} | changes))
    return [recipe.learning_rate_at(number / steps) for number in range(steps)]


def test_the_learning_rate_rises_as_a_line_and_falls_as_half_a_cosine():
    result = rates()
    assert result[:11] == pytest.approx([0.2 * number for number in range(11)])
    assert result[55] == pytest.approx(1.0)
    assert result[40] == pytest.approx(1 + math.cos(math.pi / 3))
    assert sorted(result[10:], reverse=True) == result[10:]


def test_without_warm_up_the_first_rate_is_the_highest():
    assert rates(warmup=0.0)[0] == 2.0


def test_the_optimizer_gets_the_schedules_rates():
    _, report = fit(epochs=2, learning_rate=0.5, warmup=0.25)
    recipe = Recipe(epochs=2, learning_rate=0.5, warmup=0.25)
    assert [row["learning_rate"] for row in report.history] == [recipe.learning_rate_at(n / 16) for n in (7, 15)]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"warmup": 1.0}, "warmup is 1.0; it must be a fraction of all steps"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"ema": 1.0}, "ema is 1.0"),
        ({"precision": "float16"}, "precision is 'float16'; it must be float32 or bfloat16"),
    ],
)
def test_a_number_that_makes_no_sense_is_reported(changes, what):
    with pytest.raises(TrainingError, match=what):
        Recipe(**({"epochs": 1} | changes))


def test_weight_decay_spares_norms_biases_and_what_is_named():
    model = network()
    model[0].bias.requires_grad_(False)
    named = dict(model.named_parameters())
    decay, spared = parameter_groups(model.parameters(), 0.1, without_decay=[named["4.weight"]])
    assert decay["weight_decay"] == 0.1 and spared["weight_decay"] == 0
    names = {parameter: name for name, parameter in named.items()}
    assert [names[p] for p in decay["params"]] == ["0.weight"]
    assert [names[p] for p in spared["params"]] == ["1.weight", "1.bias", "4.weight", "4.bias"]


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


def test_groups_can_have_learning_rates_of_their_own():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    model = nn.Sequential(first, second)
    groups = [*parameter_groups(first.parameters(), 0.0), *parameter_groups(second.parameters(), 0.0, lr_scale=0.5)]
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    fit(
        model,
        step=lambda net, batch: {"loss": net(batch[0]).square().sum()},
        options={"groups": groups},
        epochs=1,
        batch_size=256,
        warmup=0.0,
        best="loss",
    )
    # Without decay, AdamW's first step is the learning rate, whatever the gradient's size.
    moved = {name: float((value - initial[name]).abs().max()) for name, value in model.state_dict().items()}
    assert moved["0.bias"] == pytest.approx(0.02, rel=0.02)
    assert moved["1.bias"] == pytest.approx(0.01, rel=0.02)

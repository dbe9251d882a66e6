"""Designed levels: fewer bits for the same squared error than even ones, exact zeros, and the mean square kept."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import Context, TensorSpec
from splitbench.methods.coding.quantization import designed_levels
from splitbench.methods.coding.quantization.designed_levels import _counts, _design, _thresholds, fit
from splitbench.methods.coding.quantization.linear import Range

ENTROPY, CONTEXT = METHODS.get("quantize-entropy"), METHODS.get("quantize-context")


def laplacian(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.distributions.Laplace(0, 1).icdf(torch.rand(*shape, generator=generator) * 0.9998 + 0.0001)


def coded(x, method=ENTROPY, **chosen):
    specs = (TensorSpec(tuple(x.shape[1:]), x.dtype),)
    context = Context(nn.Identity(), nn.Identity(), specs, calibration=lambda: [(x[:4],), (x[4:],)])
    deployment = method.deploy(method.Settings.model_validate(chosen), context)
    streams = [stream.data for stream in deployment.codec.encode((x,))]
    (decoded,) = deployment.codec.decode(streams, specs)
    return 8 * sum(map(len, streams)) / max(x.numel(), 1), decoded, deployment


def error_but_for_scale(decoded, x):
    scale = (decoded * x).sum() / decoded.square().sum()
    return float((scale * decoded - x).square().mean())


@pytest.mark.parametrize("relu", [False, True])
def test_fewer_bits_for_the_same_error_than_even_levels_have(relu):
    generator = torch.Generator().manual_seed(1)
    x = laplacian(0, 8, 4, 32, 32) * torch.randn(8, 4, 32, 32, generator=generator).exp().clamp(max=3)
    x = x.relu() if relu else x
    rates, errors = [], []
    for bits in (5, 4.5, 4, 3.5, 3, 2.5):
        rate, decoded, _ = coded(x, bits=bits)
        rates.append(rate)
        errors.append(error_but_for_scale(decoded, x))
    rate, decoded, _ = coded(x, bits=4, levels="designed")
    error = error_but_for_scale(decoded, x)
    assert errors[0] < error < errors[-1] and errors == sorted(errors)
    assert rate < 0.97 * np.interp(np.log(error), np.log(errors), rates)


def test_the_mean_square_of_calibration_images_is_kept_and_zeros_are_exact():
    x = laplacian(1, 8, 3, 32, 32).relu()
    for granularity in ("tensor", "channel"):
        _, decoded, _ = coded(x, bits=3, levels="designed", granularity=granularity)
        assert float(decoded.square().mean()) == pytest.approx(float(x.square().mean()), rel=0.01)
        assert (decoded[x == 0] == 0).all()


def test_a_higher_weight_takes_fewer_bits():
    x = laplacian(2, 8, 3, 32, 32)
    rates = [coded(x, bits=4, levels="designed", rate_weight=weight)[0] for weight in (0.01, 0.1, 0.4)]
    assert rates[0] > rates[1] > rates[2]


def test_values_of_levels_are_within_half_a_bin_of_their_means_where_bits_are_free():
    """Two values, far apart, a fourth of the levels each: levels fall onto them."""
    settings = ENTROPY.Settings(bits=3, levels="designed", rate_weight=1e-6)
    counts = torch.zeros(1, 4096, dtype=torch.int64)
    counts[0, 1000], counts[0, 3000] = 300, 100
    ends = _design(Range(torch.zeros(1, 1), torch.full((1, 1), 4096.0)), counts, settings)
    means = torch.tensor([1000.5, 3000.5])
    used = torch.searchsorted(ends.thresholds[0], means)
    assert torch.allclose(ends.values[0, used], means, rtol=1e-6)


def test_thresholds_pass_over_levels_that_never_come():
    values, costs = torch.tensor([[0.0, 1.0, 2.0, 4.0]]).double(), torch.tensor([[0.0, 9.0, 4.0, 8.0]]).double()
    used = torch.tensor([[True, False, True, False]])
    assert _thresholds(values, costs, used).tolist() == [[2.0, 2.0, torch.inf]]  # (0 + 2) / 2 + (4 - 0) / (2 * 2)


def test_both_methods_decode_to_the_same():
    x = laplacian(3, 8, 3, 16, 16).relu()
    _, by_channels, deployment = coded(x, bits=3, levels="designed")
    _, by_contexts, _ = coded(x, CONTEXT, bits=3, levels="designed")
    assert torch.equal(by_channels, by_contexts)
    assert {"values.0", "thresholds.0"} <= set(deployment.server_tables)


@pytest.mark.parametrize("x", [torch.zeros(8, 2, 4, 4), torch.full((8, 2, 4, 4), -1e37), torch.zeros(8, 2, 0, 4)])
def test_tensors_of_one_value_come_back(x):
    assert torch.allclose(coded(x, bits=2, levels="designed")[1], x, rtol=1e-3)


def test_settings_that_would_say_nothing_are_refused():
    for method in (ENTROPY, CONTEXT):
        for chosen in ({"range": "image"}, {"rounding": "deadzone"}):
            with pytest.raises(ValidationError, match="levels: designed"):
                method.Settings(bits=3, levels="designed", **chosen)
        with pytest.raises(ValidationError, match="rate_weight"):
            method.Settings(bits=3, rate_weight=0.5)


def test_keys_from_before_there_were_designed_levels_stay():
    assert not {"levels", "rate_weight"} & set(ENTROPY.Settings(bits=3).model_dump())
    assert not {"levels", "rate_weight", "model"} & set(CONTEXT.Settings(bits=3).model_dump())
    assert ENTROPY.Settings(bits=3, levels="designed").model_dump()["rate_weight"] == 0.1


@pytest.mark.parametrize("bits", [1.6, 2, 3])
def test_no_level_is_beyond_the_range_where_nearly_all_values_fall_to_0(bits):
    x = laplacian(4, 64, 4, 32, 32)
    _, decoded, _ = coded(x, bits=bits, levels="designed", clip="none")
    assert float(decoded.abs().max()) <= 1.001 * float(x.abs().max())


def test_a_weight_of_infinity_is_refused():
    with pytest.raises(ValidationError, match="rate_weight"):
        ENTROPY.Settings(bits=3, levels="designed", rate_weight=float("inf"))


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("seed", range(40))
def test_any_design_keeps_0_the_order_and_the_range_and_costs_no_more_than_even_levels(seed, granularity, monkeypatch):
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(2, 2, 40, 50, generator=generator)
    shift, share = (float(x) for x in torch.rand(2, generator=generator))
    x = [
        normal + 5 * shift,
        torch.where(torch.rand(normal.shape, generator=generator) < share, normal * 0.1 + 3, normal * 0.1 - shift),
        normal**3,
        (normal.abs().log() * shift).clamp_max(0),
        (normal * 3).round(),
        normal * (torch.rand(normal.shape, generator=generator) < 0.05 * share),
        torch.full_like(normal, 4 * shift - 2),
        (normal - 2 * shift).relu(),
    ][seed % 8]
    bits, weight = [1, 1.6, 2, 3, 4][seed % 5], [1e-6, 0.1, 1, 30][seed // 8 % 4]
    quantizer, even = (
        fit(
            ENTROPY.Settings(bits=bits, granularity=granularity, **chosen),
            Context(nn.Identity(), nn.Identity(), (TensorSpec(tuple(x.shape[1:]), x.dtype),), lambda: [(x,)]),
        )
        for chosen in ({"levels": "designed", "rate_weight": weight}, {"range": "calibrated"})
    )
    ends, spec = quantizer.fitted[0], TensorSpec(tuple(x.shape[1:]), x.dtype)
    zeros = torch.zeros_like(x)
    assert (quantizer.values(quantizer.levels(zeros, ends), ends, spec) == 0).all()
    assert (ends.values.diff(dim=1) >= 0).all() and (ends.thresholds[:, 1:] >= ends.thresholds[:, :-1]).all()
    assert (ends.values >= ends.low[0, :, None]).all() and (ends.values <= ends.high[0, :, None]).all()

    # Before scaling, on the points that the design has: bins' middles.
    monkeypatch.setattr(designed_levels, "_scale", lambda values, *_: torch.ones_like(values[:, :1]))
    counts = _counts(lambda: [(x,)], even.fitted, granularity)[0]
    designed = _design(even.fitted[0], counts, quantizer.settings)
    width = ((designed.high - designed.low) / 4096).clamp_min(1e-37)[0, :, None]
    points = designed.low[0, :, None] + (torch.arange(4096) + 0.5) * width
    step, zero = (each[0, :, None] for each in designed.steps(quantizer.settings.top))
    nearest = (torch.round(points / step) + zero).clamp(0, quantizer.settings.top).long()
    even_values = (torch.arange(quantizer.settings.top + 1) - zero) * step

    def cost(values, places):
        mass = torch.zeros(values.shape, dtype=torch.double).scatter_add_(1, places, counts.double())
        bits = torch.special.entr(mass / mass.sum(1, keepdim=True)).sum(1) / np.log(2) * mass.sum(1)
        error = (counts * (points - values.gather(1, places)).double().square()).sum(1)
        return error / step[:, 0].square() + weight * bits

    best = cost(even_values, nearest)
    slack = 1e-3 * best + 1e-6 * counts.sum(1)  # ties and float32
    assert (cost(designed.values, torch.searchsorted(designed.thresholds, points)) <= best + slack).all()


def test_no_more_error_and_bits_than_even_levels_where_nearly_all_values_fall_to_0():
    x = laplacian(4, 64, 4, 32, 32)
    rate, decoded, _ = coded(x, bits=2, levels="designed")
    even_rate, even, _ = coded(x, bits=2, range="calibrated")
    assert rate <= 1.01 * even_rate or (decoded - x).square().mean() <= (even - x).square().mean()
    assert (decoded - x).square().mean() < x.square().mean()  # all zeros

"""One unit for all rates: what follows lambda, and what is stored and switched."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from splitbench.bench.metrics import ledger
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import Context, Learned, TensorSpec

METHOD: Any = METHODS.get("bottleneck-variable")
SPECS = (TensorSpec((8, 9, 7), torch.float32), TensorSpec((30, 6), torch.float32))


def settings(lmbda=1.0, **chosen):
    return METHOD.Settings(**({"lmbda": lmbda, "least": 0.1, "most": 10.0, "stride": 1} | chosen))


def cuts(seed, images=8):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(images, *spec.shape, generator=generator).relu() for spec in SPECS)


@pytest.fixture
def unit():
    """A unit with steps and gains that differ by channel and knot, as after training."""
    unit = METHOD.learn(settings().for_training(), Context(None, None, SPECS)).unit
    unit.begin(cuts(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in unit.units:
            for knots in (part.log_steps, part.log_gains):
                knots += 0.2 * torch.randn(knots.shape, generator=generator)
    unit.finish([])
    return unit.requires_grad_(False)


def deployed(unit, lmbda, **chosen):
    found = replace(
        Context(head := torch.nn.Identity(), torch.nn.Identity(), SPECS),
        learned=lambda: Learned(head, unit, torch.nn.Identity()),
        calibration=lambda: [cuts(2)],
    )
    return METHOD.deploy(settings(lmbda, **chosen), found)


def test_steps_and_gains_are_those_of_the_knots_and_geometric_means_between(unit):
    part = unit.units[0]
    knots = len(part.log_steps)
    assert part.log_steps.mean(1).diff().mean() > 0  # coarser as bits weigh more
    for index in range(knots - 1):
        low, high = (0.1 * 100 ** ((index + place) / (knots - 1)) for place in (0, 1))
        seen = {}
        for name, lmbda in (("low", low), ("middle", math.sqrt(low * high)), ("high", high)):
            unit.at(torch.tensor(lmbda))
            seen[name] = part.steps().flatten(), part.levels(torch.ones(1, part.channels, 1, 1)).flatten()
        assert torch.allclose(seen["low"][0], part.log_steps[index].exp(), rtol=1e-4)
        assert torch.allclose(seen["high"][1], (part.log_steps + part.log_gains)[index + 1].exp(), rtol=1e-4)
        for which in (0, 1):
            mean = (seen["low"][which] * seen["high"][which]).sqrt()
            assert torch.allclose(seen["middle"][which], mean, rtol=1e-4)


@pytest.mark.parametrize("lmbda", [0.099, 10.1])
def test_a_lambda_beyond_the_training_is_refused(lmbda):
    with pytest.raises(ValidationError, match="widen `least` and `most`"):
        settings(lmbda)
    with pytest.raises(ValidationError, match="must be below `most`"):
        settings(1.0, least=2.0, most=1.0)


def test_likelihoods_are_a_distribution_of_the_same_latents_at_every_lambda(unit):
    part = unit.units[0]
    edges = {}
    for lmbda in (0.1, 0.7, 10.0):
        unit.at(torch.tensor(lmbda))
        assert torch.allclose(part.masses(-3000, 3000).sum(1), torch.ones(part.channels).double(), atol=2e-3)
        # Up to the upper edge of symbol 0, half a step, the mass is what the density has there.
        half = part.steps().flatten()[:, None, None] / 2
        up_to_half = torch.sigmoid(part.density.logits(half))[:, 0, 0].double()
        assert torch.allclose(part.masses(-3000, 0).sum(1), up_to_half, atol=2e-3)
        edges[lmbda] = up_to_half.mean()
    assert edges[0.1] < edges[10.0]


def test_each_image_of_a_batch_may_have_its_own_lambda(unit):
    lmbdas = torch.tensor([0.1, 0.5, 2.0, 10.0, 0.1, 0.5, 2.0, 10.0])
    unit.train()
    for module in unit.modules():  # images depend on one another by norms alone
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    unit.at(lmbdas)
    with torch.random.fork_rng():
        together, bits = unit(*cuts(0))
    for index, lmbda in enumerate(lmbdas):
        unit.at(lmbda)
        alone, _ = unit(*(x[index : index + 1] for x in cuts(0)))
        assert all(torch.allclose(x[index], y[0], atol=1e-5) for x, y in zip(together, alone, strict=True))
    assert bits[:4].diff().max() < 0 and bits[4:].diff().max() < 0  # the greater lambda, the fewer bits


@pytest.mark.parametrize("coder", ["range", "context"])
def test_fewer_bytes_and_larger_errors_as_bits_weigh_more(unit, coder):
    sizes, errors = [], []
    for lmbda in (0.1, 1.0, 10.0):
        deployment = deployed(unit, lmbda, coder=coder)
        streams = [stream.data for stream in deployment.codec.encode(cuts(0))]
        decoded = deployment.codec.decode(streams, SPECS)
        sizes.append(sum(map(len, streams)))
        unit.at(torch.tensor(lmbda))
        expected, _ = unit(*cuts(0))
        assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(decoded, expected, strict=True))
        errors.append(sum(float((x - y).square().mean()) for x, y in zip(decoded, cuts(0), strict=True)))
    assert sizes[0] > sizes[1] > sizes[2]


def test_one_unit_is_stored_and_a_switch_loads_a_number_and_tables(unit):
    digests = ledger.TensorDigests(torch.nn.Identity())
    stored, tables = [], []
    for lmbda in (0.1, 1.0, 10.0):
        # A copy, as each rate point of a run has one, read from the same file.
        one = deployed(copy.deepcopy(unit), lmbda)
        stored.append(ledger.stored(one, digests))
        sizes = {name: x.nbytes for name, x in one.device_tables.items()}
        tables.append(sum(size for name, size in sizes.items() if name.startswith("tables.")))
        weights = sum(sizes.values()) - tables[-1]
    columns = ledger.over_rate_points(stored)
    assert 4 * len(SPECS) < columns["switch_device_bytes"] <= max(tables) + 4 * len(SPECS)
    assert columns["storage_device_bytes"] <= weights + sum(tables) + 2 * 4 * len(SPECS)
    assert columns["storage_device_bytes"] < 3 * weights


def test_what_a_batch_is_coded_at_is_no_buffer(unit):
    # Processes that train together send one another their buffers, and their last batches may differ in size.
    assert not [name for name, _ in unit.named_buffers() if "position" in name]


@pytest.mark.parametrize("wrong", [{"most": float("inf")}, {"least": 1e-300}, {"step": 1.0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        settings(1.0, **wrong)

"""The learned density: that of the paper, as CompressAI has it where it is installed, and a density in any case."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from splitbench.bench.training.methods import bundled
from splitbench.methods.units.density import LEAST_LIKELIHOOD, Density


@pytest.fixture(scope="module")
def compressai():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        return pytest.importorskip("compressai.entropy_models", reason="CompressAI is not installed here")


def trained(channels=3, seed=0):
    """A density whose parameters are all somewhere else than where they began."""
    torch.manual_seed(seed)
    density = Density(channels, 4.0)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return density


def by_the_book(density, values):
    """The cumulative distribution at values (C, N), in float64 numpy, formula by formula."""
    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    x = values[:, None, :]
    for index, (matrix, bias) in enumerate(zip(density.matrices, density.biases, strict=True)):
        x = softplus(matrix.detach().double().numpy()) @ x + bias.detach().double().numpy()
        if index < len(density.factors):
            x = x + np.tanh(density.factors[index].detach().double().numpy()) * np.tanh(x)
    return 1 / (1 + np.exp(-x[:, 0]))


def test_it_begins_as_compressais(compressai):
    torch.manual_seed(0)
    theirs = compressai.EntropyBottleneck(3, init_scale=4.0)
    torch.manual_seed(0)
    ours = Density(3, 4.0)
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 7), (5, 3, 4, 6), (1, 3, 1, 1)])
@pytest.mark.parametrize("spread", [1, 4, 30])  # the last reaches below the bound
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_are_compressais(compressai, shape, spread, training):
    ours = trained().train(training)
    theirs = compressai.EntropyBottleneck(shape[1], init_scale=4.0).train(training)
    theirs.load_state_dict(theirs.state_dict() | ours.state_dict())
    results = []
    for density in (theirs, ours):
        torch.manual_seed(1)
        x = (spread * torch.randn(shape)).requires_grad_()
        likelihood = density(x)[1] if density is theirs else density(x)
        likelihood.log2().sum().backward()
        named = dict(density.named_parameters())
        gradients = [named[name].grad for name in dict(ours.named_parameters())]
        results.append([likelihood, *gradients, *([x.grad] if training else [])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_trainings_that_compressai_stored_load(compressai):
    theirs = compressai.EntropyBottleneck(3, init_scale=4.0)
    ours = Density(3)
    result = ours.load_state_dict(theirs.state_dict())
    assert not result.missing_keys and not result.unexpected_keys
    x = torch.randn(4, 3, 5)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x)[1], rtol=1e-6, atol=1e-6)


def test_bundled_trainings_load():
    """All of them were stored with CompressAI's names for what is left out by now."""
    files = sorted(bundled.FOLDER.glob(f"*{bundled.SUFFIX}"))
    assert files
    for file in files[:4]:
        stored = bundled.read(file)
        prefix = "unit.parts.0.density."
        own = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
        result = Density(len(own["matrices.0"])).load_state_dict(own, strict=False)
        assert not result.missing_keys and not result.unexpected_keys


@given(st.integers(0, 2**31 - 1))
def test_the_cumulative_distribution_is_the_papers(seed):
    density = trained(seed=seed)
    values = 6 * torch.randn(3, 1, 20)
    expected = by_the_book(density, values[:, 0].double().numpy())
    assert np.allclose(torch.sigmoid(density.logits(values))[:, 0].detach(), expected, atol=1e-5)


@given(st.integers(0, 2**31 - 1))
def test_it_is_a_density(seed):
    density = trained(seed=seed)
    values = torch.linspace(-300, 300, 601).expand(3, 1, -1)
    assert (density.logits(values).diff() > 0).all()
    masses = density.likelihood(values)
    assert (masses >= LEAST_LIKELIHOOD).all()
    ends = torch.sigmoid(density.logits(torch.tensor([-300.5, 300.5]).expand(3, 1, -1)))
    covered = ends[..., 1] - ends[..., 0]
    torch.testing.assert_close(masses.double().sum(-1).float(), covered, rtol=1e-4, atol=1e-4)


def far_out(density):
    """A latent in the left tail whose mass is below the bound, and not 0."""
    for value in torch.arange(-5.0, -400.0, -1.0):
        latent = value.reshape(1, 1, 1)
        upper, lower = (torch.sigmoid(density.logits(latent + end)) for end in (0.5, -0.5))
        if 0 < (upper - lower).item() < LEAST_LIKELIHOOD / 2:
            return latent
    raise AssertionError("the tail ends too early")


def test_training_pulls_improbable_latents_in():
    """Below the bound, gradients that would raise the likelihood pass, and those that would lower it do not."""
    density, gradients = Density(1, 1.0), {}
    for sign in (-1, 1):
        latent = far_out(density).requires_grad_()
        likelihood = density.likelihood(latent)
        assert likelihood.item() == pytest.approx(LEAST_LIKELIHOOD)
        (sign * likelihood.log2().sum()).backward()
        gradients[sign] = latent.grad.item()
    assert gradients[-1] < 0  # descending moves the latent to the right, where it is more probable
    assert gradients[1] == 0


def test_a_density_learns_what_it_is_shown():
    torch.manual_seed(0)
    density, samples = Density(1, 4.0), 2.0 * torch.randn(1, 1, 4000)
    optimizer = torch.optim.Adam(density.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (-density.likelihood(samples + torch.rand_like(samples) - 0.5).log2().mean()).backward()
        optimizer.step()
    symbols = torch.arange(-12.0, 13.0)
    normal = torch.distributions.Normal(0, 2)
    expected = normal.cdf(symbols + 0.5) - normal.cdf(symbols - 0.5)
    learned = density.likelihood(symbols[None, None])[0, 0].detach()
    bits = -(expected * learned.log2()).sum()
    entropy = -torch.xlogy(expected, expected).sum() / np.log(2)
    assert entropy - 1e-4 < bits < entropy + 0.02


def test_evaluation_rounds_and_training_adds_noise():
    density = trained()
    latent = torch.tensor([0.4, -0.4, 1.6]).reshape(1, 3, 1)
    density.eval()
    assert torch.equal(density(latent), density(latent.round()))
    density.train()
    assert not torch.equal(density(latent), density(latent))

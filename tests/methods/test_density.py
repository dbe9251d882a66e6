"""The learned density: that of the paper, as CompressAI has it where it is installed, and a density in any case."""

import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 7), (5, 3, 4, 6), (1, 3, 1, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_are_compressais(compressai, shape, training):
    torch.manual_seed(0)
    theirs = compressai.EntropyBottleneck(shape[1], init_scale=4.0).train(training)
    torch.manual_seed(0)
    ours = Density(shape[1], 4.0).train(training)
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    results = []
    for density in (theirs, ours):
        torch.manual_seed(1)
        x = (4 * torch.randn(shape)).requires_grad_()
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


def test_training_pulls_improbable_latents_in():
    """Far out, where the likelihood is at its bound, gradients still raise it, and never lower it further."""
    density = Density(1, 1.0)
    far = torch.full((1, 1, 1), 1e4, requires_grad=True)
    likelihood = density.likelihood(far)
    assert likelihood.item() == pytest.approx(LEAST_LIKELIHOOD)
    (-likelihood.log2().sum()).backward()
    assert density.biases[-1].grad is not None
    lowered = copy.deepcopy(density)
    lowered.zero_grad()
    lowered.likelihood(far.detach()).log2().sum().backward()
    assert all(not parameter.grad.any() for parameter in lowered.parameters())


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

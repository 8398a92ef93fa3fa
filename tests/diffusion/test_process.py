"""The Gaussian process, against its closed forms in float64."""

import math

import pytest
import torch

from diffusionlm.diffusion import alpha_sigma, diffuse, noise_estimate, token_log_likelihood
from diffusionlm.diffusion.process import log_alpha_sigma

LEVELS = torch.linspace(-12.0, 12.0, 7, dtype=torch.float64)


def unit_embeddings(size, dim, seed=0):
    rows = torch.randn(size, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return rows / rows.norm(dim=-1, keepdim=True) * math.sqrt(dim)


def test_variance_is_preserved_and_gamma_is_its_log_ratio():
    alpha, sigma = alpha_sigma(LEVELS)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones_like(LEVELS), atol=1e-15)
    assert torch.allclose(torch.log(sigma**2 / alpha**2), LEVELS, atol=1e-9)


def test_logarithms_agree_and_stay_finite_where_the_scales_underflow():
    alpha, sigma = alpha_sigma(LEVELS)
    log_alpha, log_sigma = log_alpha_sigma(LEVELS)
    assert torch.allclose(log_alpha, alpha.log(), atol=1e-9)
    assert torch.allclose(log_sigma, sigma.log(), atol=1e-9)
    assert log_alpha_sigma(torch.tensor(2000.0))[0] == -1000
    assert log_alpha_sigma(torch.tensor(-2000.0))[1] == -1000


@pytest.mark.parametrize("shape", [(), (7,)])
def test_noise_estimate_inverts_diffuse(shape):
    clean, noise = torch.randn(2, 7, 5, 3, dtype=torch.float64)
    gamma = LEVELS.clamp(-6, 6) if shape else torch.tensor(1.5, dtype=torch.float64)
    assert torch.allclose(noise_estimate(diffuse(clean, noise, gamma), clean, gamma), noise, atol=1e-12)


def test_every_sample_has_its_own_level():
    clean, noise = torch.randn(2, 7, 5, 3, dtype=torch.float64)
    together = diffuse(clean, noise, LEVELS)
    for i, gamma in enumerate(LEVELS):
        assert torch.equal(together[i : i + 1], diffuse(clean[i : i + 1], noise[i : i + 1], gamma))


def test_diffused_latents_have_the_moments_of_the_process():
    clean = torch.full((1, 40_000, 1), 2.0, dtype=torch.float64)
    z = diffuse(clean, torch.randn_like(clean), torch.tensor([0.7], dtype=torch.float64))
    alpha, sigma = (float(x) for x in alpha_sigma(torch.tensor(0.7, dtype=torch.float64)))
    assert float(z.mean()) == pytest.approx(2 * alpha, abs=4 * sigma / 200)
    assert float(z.var()) == pytest.approx(sigma**2, rel=4 * math.sqrt(2 / 40_000))


@pytest.mark.parametrize("gamma", [-6.0, -1.0, 0.0, 3.0, 10.0])
def test_token_likelihood_is_the_gaussian_log_density_up_to_a_constant(gamma):
    embeddings, z = unit_embeddings(11, 6), torch.randn(2, 4, 6, dtype=torch.float64)
    level = torch.tensor(gamma, dtype=torch.float64)
    alpha, sigma = alpha_sigma(level)
    density = torch.distributions.Normal(alpha * embeddings, sigma).log_prob(z[:, :, None]).sum(-1)
    ours = token_log_likelihood(z, embeddings, level)
    assert torch.allclose(ours - ours[..., :1], density - density[..., :1], rtol=1e-9, atol=1e-9)
    assert torch.allclose(ours.log_softmax(-1), density.log_softmax(-1), rtol=1e-9, atol=1e-9)


def test_token_likelihood_takes_one_level_per_sample():
    embeddings, z = unit_embeddings(5, 4), torch.randn(7, 3, 4, dtype=torch.float64)
    together = token_log_likelihood(z, embeddings, LEVELS)
    assert together.shape == (7, 3, 5)
    for i, gamma in enumerate(LEVELS):
        assert torch.allclose(together[i : i + 1], token_log_likelihood(z[i : i + 1], embeddings, gamma))

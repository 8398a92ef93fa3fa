"""The likelihood bound on a toy whose true likelihood is known: independent tokens with a known prior.

The exact denoiser is prior times likelihood. In continuous time the bound of an exact denoiser is tight: it gives the
model's own -log p(x), up to what is left to see at the noisiest level.
"""

import math

import pytest
import torch

from diffusionlm.diffusion import CosineSchedule, InformationSchedule, likelihood_bound, token_log_likelihood

VOCABULARY, DIM, BATCH, LENGTH = 12, 8, 32, 32


def exact_denoiser(embeddings, log_prior):
    def denoise(latents, gamma):
        logits = log_prior + token_log_likelihood(latents, embeddings, gamma)
        return logits, logits.softmax(-1) @ embeddings

    return denoise


@pytest.fixture
def toy():
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(VOCABULARY, DIM, generator=generator, dtype=torch.float64)
    embeddings = embeddings / embeddings.norm(dim=-1, keepdim=True) * math.sqrt(DIM)
    prior = torch.arange(1.0, VOCABULARY + 1, dtype=torch.float64) ** -1.0
    prior = prior / prior.sum()
    tokens = torch.multinomial(prior, BATCH * LENGTH, replacement=True, generator=generator).view(BATCH, LENGTH)
    return embeddings, prior.log(), tokens, torch.ones(BATCH, LENGTH, dtype=torch.bool)


def bound_of(denoise, toy, schedule=None, num_levels=128, seed=1, mask=None):
    embeddings, _, tokens, full = toy
    generator = torch.Generator().manual_seed(seed)
    schedule = schedule or InformationSchedule(mu=1.0, beta=1.0)
    return likelihood_bound(
        denoise, embeddings[tokens], tokens, full if mask is None else mask, schedule, num_levels, generator
    )


@pytest.mark.parametrize("schedule", [InformationSchedule(mu=1.0, beta=1.0), CosineSchedule()], ids=repr)
def test_the_bound_of_the_exact_denoiser_is_the_true_entropy(toy, schedule):
    embeddings, log_prior, tokens, _ = toy
    truth = float(-log_prior[tokens].mean())
    bounds = torch.tensor(
        [bound_of(exact_denoiser(embeddings, log_prior), toy, schedule, seed=seed).per_token for seed in range(6)]
    )
    error = float(bounds.std() / math.sqrt(len(bounds)))
    assert error < 0.02 * truth
    assert float(bounds.mean()) > truth - 3 * error
    assert float(bounds.mean()) == pytest.approx(truth, rel=0.03)


def test_the_bound_of_a_wrong_model_is_its_cross_entropy_and_higher(toy):
    """With a uniform prior in the denoiser the model's likelihood is 1 / V for each token."""
    embeddings, log_prior, tokens, _ = toy
    wrong = bound_of(exact_denoiser(embeddings, torch.zeros(VOCABULARY, dtype=torch.float64)), toy).per_token
    assert wrong == pytest.approx(math.log(VOCABULARY), rel=0.04)
    assert wrong > float(-log_prior[tokens].mean()) * 1.1


def test_the_bound_holds_for_a_denoiser_that_is_off(toy):
    embeddings, log_prior, tokens, _ = toy

    def dull(latents, gamma):
        logits, _ = exact_denoiser(embeddings, log_prior)(latents, gamma)
        return logits / 2, (logits / 2).softmax(-1) @ embeddings

    assert bound_of(dull, toy).per_token > float(-log_prior[tokens].mean()) * 1.05


def test_the_prior_term_is_the_gaussian_kl(toy):
    schedule = InformationSchedule(gamma_max=3.0, mu=1.0)
    bound = bound_of(exact_denoiser(toy[0], toy[1]), toy, schedule, num_levels=2)
    alpha, sigma = (torch.sigmoid(torch.tensor(sign * 3.0, dtype=torch.float64)).sqrt() for sign in (-1, 1))
    noisy = torch.distributions.Normal(alpha * toy[0][toy[2]], sigma)
    kl = torch.distributions.kl_divergence(noisy, torch.distributions.Normal(0.0, 1.0)).sum((-1, -2))
    assert torch.allclose(bound.prior, kl, rtol=1e-9)


def test_the_parts_follow_their_formulas_for_a_constant_denoiser(toy):
    """xhat = 0 and uniform logits: the integral of exp(-gamma) |e|² / 2 is closed, and so is the reconstruction."""

    def constant(latents, gamma):
        return torch.zeros(*latents.shape[:2], VOCABULARY, dtype=latents.dtype), torch.zeros_like(latents)

    schedule = CosineSchedule(gamma_min=-2.0, gamma_max=2.0)
    bound = bound_of(constant, toy, schedule, num_levels=400)
    closed = LENGTH * DIM / 2 * (math.exp(2.0) - math.exp(-2.0))
    assert torch.allclose(bound.reconstruction, torch.full((BATCH,), LENGTH * math.log(VOCABULARY)).double())
    assert torch.allclose(bound.diffusion, torch.full((BATCH,), closed).double(), rtol=5e-3)
    assert torch.allclose(bound.total, bound.reconstruction + bound.diffusion + bound.prior)


def test_masked_positions_cost_nothing(toy):
    mask = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    mask[:, :5] = True
    bound = bound_of(exact_denoiser(toy[0], toy[1]), toy, mask=mask, num_levels=4)
    assert bound.tokens.tolist() == [5] * BATCH
    cut = (toy[0], toy[1], toy[2][:, :5], mask[:, :5])
    alone = bound_of(exact_denoiser(toy[0], toy[1]), cut, num_levels=4)
    assert torch.allclose(bound.prior, alone.prior)
    none = bound_of(exact_denoiser(toy[0], toy[1]), toy, mask=torch.zeros_like(mask), num_levels=4)
    assert float(none.total.abs().sum()) == 0


def test_one_generator_seed_gives_one_figure(toy):
    first, again, other = (
        bound_of(exact_denoiser(toy[0], toy[1]), toy, num_levels=4, seed=seed).per_token for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_the_network_sees_only_levels_of_the_schedule(toy):
    seen, schedule = [], InformationSchedule(gamma_min=-4.0, gamma_max=5.0)

    def denoise(latents, gamma):
        seen.append(gamma)
        return exact_denoiser(toy[0], toy[1])(latents, gamma)

    bound_of(denoise, toy, schedule, num_levels=16)
    levels = torch.stack(seen)
    assert levels.min() >= -4
    assert levels.max() <= 5
    assert (levels[-1] == -4).all()  # the reconstruction


@pytest.mark.parametrize("num_levels", [1, 2, 3, 16])
def test_as_many_levels_are_drawn_as_asked_for_and_they_cover_the_whole_range(toy, num_levels):
    """The integral of exp(-gamma) itself, from one draw in each cell, on average over many samples."""
    calls = []

    def denoise(latents, gamma):
        calls.append(gamma)
        return torch.zeros(*latents.shape[:2], VOCABULARY, dtype=latents.dtype), torch.zeros_like(latents)

    embeddings, log_prior, _, _ = toy
    many = (embeddings, log_prior, torch.zeros(4000, 1, dtype=torch.long), torch.ones(4000, 1, dtype=torch.bool))
    bound = bound_of(denoise, many, InformationSchedule(gamma_min=-3.0, gamma_max=3.0, mu=0.0, beta=0.3), num_levels)
    assert len(calls) == num_levels + 1
    closed = DIM / 2 * (math.exp(3.0) - math.exp(-3.0))
    assert float(bound.diffusion.mean()) == pytest.approx(closed, rel=0.1)


def test_no_levels_are_refused(toy):
    with pytest.raises(ValueError, match="num_levels must be at least 1, got 0"):
        bound_of(exact_denoiser(toy[0], toy[1]), toy, num_levels=0)

"""Stochastic samplers keep the marginals: mean and variance of the Gaussian come out right."""

import pytest
import torch

from diffusionlm.samplers import SAMPLERS, make_sampler

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")  # theirs, about NumPy 2

STOCHASTIC = [
    (name, config)
    for name in SAMPLERS
    if SAMPLERS[name].process == "gaussian" and make_sampler(name).stochastic
    for config in ({}, *({"ancestral": [{"eta": 1.0}, {"eta": 0.2}], "churn": [{"churn": 20.0}]}.get(name, [])))
] + [("DDPMScheduler", {}), ("DDIMScheduler", {"eta": 0.7})]


def moments_at_the_end(sampler, gaussian, schedule, num_steps):
    """Mean and variance of the final latents, exact: the denoiser is affine, hence every step is z' = a z + b n + c."""
    sampler.set_schedule(schedule)
    sampler.set_timesteps(num_steps)
    z = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).reshape(3, 1, 1)
    n = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).reshape(3, 1, 1)
    mean, variance = gaussian.moments(sampler.gammas[0])
    for i in range(num_steps):
        c, a, b = sampler.step(gaussian.denoise(z, sampler.gammas[i]), i, z, n).flatten().tolist()
        mean, variance = (a - c) * mean + c, (a - c) ** 2 * variance + (b - c) ** 2
    return float(mean), float(variance)


@pytest.mark.parametrize(("name", "config"), STOCHASTIC)
def test_marginals_are_kept_and_their_error_falls_with_the_steps(name, config, gaussian, linear):
    schedule = linear(-7.0, 6.0)
    error = []
    for num_steps in (100, 400):
        mean, variance = moments_at_the_end(make_sampler(name, **config), gaussian, schedule, num_steps)
        error.append(max(abs(mean - gaussian.mean), abs(variance - gaussian.std**2)))
    assert error[1] < 0.015
    assert error[1] < error[0] / 2.5  # first order: 4


@pytest.mark.parametrize("name", ["ancestral", "churn"])
def test_samples_have_the_mean_and_variance_of_the_data(name, walk, gaussian, linear):
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(20, 500, 4, generator=generator)
    end = walk(make_sampler(name), linear(-7.0, 6.0), 300, start, generator)
    count = start.numel()  # 40,000: standard errors 0.003 and 0.0025; discretisation adds below 0.01
    assert float(end.mean()) == pytest.approx(gaussian.mean, abs=0.01 + 4 * gaussian.std / count**0.5)
    assert float(end.var()) == pytest.approx(gaussian.std**2, abs=0.01 + 4 * gaussian.std**2 * (2 / count) ** 0.5)


@pytest.mark.parametrize(("name", "config"), STOCHASTIC)
def test_one_generator_seed_gives_one_result_and_another_seed_another(name, config, walk, linear, start):
    ends = [
        walk(make_sampler(name, **config), linear(-6.0, 6.0), 8, start, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(ends[0], ends[1])
    assert not torch.allclose(ends[0], ends[2], atol=1e-2)


@pytest.mark.parametrize(("name", "config"), STOCHASTIC)
def test_the_global_generator_is_not_touched(name, config, walk, linear, start):
    before = torch.get_rng_state()
    walk(make_sampler(name, **config), linear(-6.0, 6.0), 4, start, torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_eta_1_is_the_posterior_of_ddpm(linear, start):
    """q(z' | z, x) by completing the square: precision 1 / sigma'² of the prior plus that of the transition."""
    sampler = make_sampler("ancestral", eta=1.0)
    sampler.set_schedule(linear(-4.0, 4.0))
    sampler.set_timesteps(8)
    i, clean, noise = 3, torch.full_like(start, 0.4), torch.ones_like(start)
    (alpha2, next_alpha2), (alpha, next_alpha) = (
        torch.sigmoid(-sampler.gammas[i : i + 2]),
        torch.sigmoid(-sampler.gammas[i : i + 2]).sqrt(),
    )
    ratio = alpha / next_alpha  # z = ratio z' + sqrt(1 - ratio²) eps
    precision = 1 / (1 - next_alpha2) + ratio**2 / (1 - alpha2 / next_alpha2)
    mean = (next_alpha * clean / (1 - next_alpha2) + ratio * start / (1 - alpha2 / next_alpha2)) / precision
    assert torch.allclose(sampler.step(clean, i, start, noise), mean + precision**-0.5 * noise, atol=1e-12)


def test_churn_evaluates_the_network_above_the_grid_but_never_above_the_schedule(linear):
    schedule = linear(-6.0, 6.0)
    plain, churned = make_sampler("euler"), make_sampler("churn", churn=1000.0)
    for sampler in (plain, churned):
        sampler.set_schedule(schedule)
        sampler.set_timesteps(20)
    rise = churned.gammas - plain.gammas
    full = 2 * torch.log(torch.tensor(2.0, dtype=torch.float64)) / 2  # factor sqrt(2) on sigma / alpha, the paper's cap
    assert float(rise[5]) == pytest.approx(float(full))
    assert rise[0] == 0
    assert rise[-1] == 0
    assert churned.gammas.max() <= 6.0


def test_churn_stays_inside_its_window(linear):
    sampler = make_sampler("churn", churn=4.0, gamma_low=-2.0, gamma_high=2.0)
    sampler.set_schedule(linear(-6.0, 6.0))
    sampler.set_timesteps(24)
    grid = torch.linspace(6, -6, 25, dtype=torch.float64)
    inside = (grid >= -2) & (grid <= 2)
    assert torch.equal(sampler.gammas > grid + 1e-9, inside)

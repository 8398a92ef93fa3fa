"""The regression recovers the curve behind noisy losses, wherever an embedding size puts it."""

import pytest
import torch

from diffusionlm.diffusion import InformationRegression, InformationSchedule

CURVES = [(-2.0, 0.6, 5.0), (0.0, 1.0, 0.8), (2.0, 1.2, 3.0), (3.0, 1.1, 2.0), (4.0, 2.0, 8.0), (6.0, 0.8, 4.0)]
each_curve = pytest.mark.parametrize(("mu", "beta", "entropy"), CURVES)


def losses(gamma, mu, beta, entropy, generator):
    """Cross-entropies as of a few tokens each, with noise of a third of H."""
    curve = entropy * torch.exp(-torch.exp(-(gamma - mu) / beta))
    return curve + 0.3 * entropy * torch.randn(gamma.shape, generator=generator, dtype=gamma.dtype)


@each_curve
def test_uniform_observations_give_mu_beta_and_entropy(mu, beta, entropy):
    generator = torch.Generator().manual_seed(0)
    regression = InformationRegression(decay=1.0)
    gamma = -8 + 18 * torch.rand(40_000, generator=generator, dtype=torch.float64)
    regression.observe(gamma, losses(gamma, mu, beta, entropy, generator))
    schedule = regression.fit()
    assert schedule.mu == pytest.approx(mu, abs=0.1)
    assert schedule.beta == pytest.approx(beta, rel=0.1)
    assert regression.entropy == pytest.approx(entropy, rel=0.05)


@each_curve
def test_training_walks_from_the_default_to_the_curve(mu, beta, entropy):
    """As in training: noise levels are drawn from the schedule fitted so far, which at first is the wrong one."""
    generator = torch.Generator().manual_seed(1)
    regression = InformationRegression(decay=0.99)
    schedule = regression.schedule()
    for step in range(1, 1501):
        u = torch.rand(32, generator=generator, dtype=torch.float64)
        gamma = schedule.gamma(u)
        regression.observe(gamma, losses(gamma, mu, beta, entropy, generator))
        if step % 50 == 0:
            schedule = regression.fit()
    assert schedule.mu == pytest.approx(mu, abs=0.3)
    assert schedule.beta == pytest.approx(beta, rel=0.3)
    assert regression.entropy == pytest.approx(entropy, rel=0.15)


def test_a_model_that_improves_is_followed():
    generator = torch.Generator().manual_seed(2)
    regression, schedule = InformationRegression(decay=0.98), InformationSchedule()
    for mu in (2.0, 4.0):
        for step in range(1, 601):
            gamma = schedule.gamma(torch.rand(32, generator=generator, dtype=torch.float64))
            regression.observe(gamma, losses(gamma, mu, 1.0, 3.0, generator))
            if step % 50 == 0:
                schedule = regression.fit()
        assert schedule.mu == pytest.approx(mu, abs=0.3)


def test_weights_count_like_repetitions():
    gamma = torch.linspace(-4, 8, 60, dtype=torch.float64)
    target = 3 * torch.exp(-torch.exp(-(gamma - 1.0)))
    off = target + torch.linspace(0, 1, 60, dtype=torch.float64)
    fits = []
    for repeated in (True, False):
        regression = InformationRegression(decay=1.0)
        if repeated:
            regression.observe(torch.cat([gamma, gamma, gamma]), torch.cat([off, off, target]))
        else:
            regression.observe(
                torch.cat([gamma, gamma]), torch.cat([off, target]), torch.tensor([2.0] * 60 + [1.0] * 60)
            )
        fits.append(regression.fit())
    assert fits[0].mu == pytest.approx(fits[1].mu, abs=1e-6)
    assert fits[0].beta == pytest.approx(fits[1].beta, abs=1e-6)


def test_without_enough_observations_the_schedule_stays():
    regression = InformationRegression(InformationSchedule(mu=1.0, beta=0.7))
    start = regression.schedule()
    assert (start.mu, start.beta) == pytest.approx((1.0, 0.7), rel=1e-12)
    assert regression.fit() == start
    regression.observe(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]))
    assert regression.fit() == start
    assert regression.entropy == 0.0


def test_state_round_trip_continues_to_the_same_schedule():
    def feed(regression, seed):
        generator = torch.Generator().manual_seed(seed)
        gamma = -8 + 18 * torch.rand(500, generator=generator, dtype=torch.float64)
        regression.observe(gamma, losses(gamma, 3.0, 1.0, 2.0, generator))
        return regression.fit()

    one = InformationRegression(InformationSchedule(gamma_min=-6.0))
    before = feed(one, 0)
    other = InformationRegression(InformationSchedule(gamma_min=-6.0))
    other.load_state_dict(one.state_dict())
    assert other.schedule() == before
    assert other.entropy == one.entropy
    assert feed(other, 1) == feed(one, 1)


def test_bounds_of_the_schedule_are_kept():
    start = InformationSchedule(gamma_min=-5.0, gamma_max=7.0)
    schedule = InformationRegression(start).fit()
    assert (schedule.gamma_min, schedule.gamma_max) == (-5.0, 7.0)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="decay must lie in"):
        InformationRegression(decay=0.0)
    with pytest.raises(ValueError, match="not finite"):
        InformationRegression().observe(torch.zeros(2), torch.tensor([1.0, float("nan")]))

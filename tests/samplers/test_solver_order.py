"""Every registered solver converges to the probability flow at the order it declares."""

import math

import numpy as np
import pytest
import torch

from diffusionlm.samplers import SAMPLERS, make_sampler


def flow_error(sampler, walk, gaussian, schedule, num_steps, start):
    end = walk(sampler, schedule, num_steps, start)
    exact = gaussian.flow(start, sampler.gammas[0], sampler.gammas[-1])
    return float((end - exact).abs().max())


@pytest.mark.parametrize("name", [name for name, kind in SAMPLERS.items() if kind.process == "gaussian"])
def test_measured_order_is_the_declared_order(name, walk, gaussian, linear, start):
    sampler = make_sampler(name).deterministic()
    counts = [128, 256, 512]
    errors = [flow_error(sampler, walk, gaussian, linear(-3.0, 3.0), n, start) for n in counts]
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(sampler.order, abs=0.15)


@pytest.mark.parametrize("name", [name for name, kind in SAMPLERS.items() if kind.process == "gaussian"])
def test_one_point_data_is_reached_exactly_from_anywhere(name, walk, linear, start):
    """A constant clean estimate makes the flow linear, and every solver exact, whatever its order."""
    target = torch.full_like(start, 0.3)
    sampler = make_sampler(name).deterministic()
    end = walk(sampler, linear(-6.0, 6.0), 5, start, denoise=lambda z, gamma: target)
    alpha, sigma = (math.sqrt(1 / (1 + math.exp(sign * -6.0))) for sign in (1, -1))
    (end_alpha, end_sigma), (alpha, sigma) = (alpha, sigma), (sigma, alpha)
    expected = end_alpha * target + end_sigma * (start - alpha * target) / sigma
    assert torch.allclose(end, expected, atol=1e-12)


def test_second_order_is_worth_it_at_few_steps(walk, gaussian, linear, start):
    schedule = linear(-4.0, 4.0)
    first, second = (
        flow_error(make_sampler(name), walk, gaussian, schedule, 16, start) for name in ("euler", "dpm++2m")
    )
    assert second < first / 10

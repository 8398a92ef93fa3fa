"""Noise schedules: increasing, clipped, with the closed forms of their papers, and plain data."""

import json
import math

import pytest
import torch

from diffusionlm.diffusion import CosineSchedule, InformationSchedule, SquareRootSchedule, schedule_from_dict
from diffusionlm.diffusion.schedule import SCHEDULES, NoiseSchedule

EVERY = [cls() for cls in SCHEDULES.values()] + [
    InformationSchedule(mu=6.0, beta=1.2),
    InformationSchedule(mu=-2.0, beta=0.5, gamma_min=-12.0, gamma_max=6.0),
    SquareRootSchedule(offset=0.0),
]
GRID = torch.linspace(0, 1, 2001, dtype=torch.float64)
each = pytest.mark.parametrize("schedule", EVERY, ids=repr)


@each
def test_gamma_increases_within_its_bounds(schedule):
    gamma = schedule.gamma(GRID)
    assert (gamma.diff() >= 0).all()
    assert gamma.min() >= schedule.gamma_min
    assert gamma.max() <= schedule.gamma_max
    inside = (gamma > schedule.gamma_min) & (gamma < schedule.gamma_max)
    assert (gamma[inside].diff() > 0).all()
    assert inside.sum() > 500


@each
def test_ends(schedule):
    ends = schedule.gamma(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert ends[1] == schedule.gamma_max
    expected = math.log(0.01 / 0.99) if schedule == SquareRootSchedule() else schedule.gamma_min
    assert float(ends[0]) == pytest.approx(expected)


@each
def test_dtype_and_shape_are_those_of_u(schedule):
    for dtype in (torch.float32, torch.float64):
        gamma = schedule.gamma(torch.rand(3, 2, dtype=dtype))
        assert gamma.shape == (3, 2)
        assert gamma.dtype == dtype


@each
def test_progress_inverts_gamma(schedule):
    gamma = schedule.gamma(GRID)
    inside = (gamma > schedule.gamma_min) & (gamma < schedule.gamma_max)
    assert torch.allclose(schedule.progress(gamma)[inside], GRID[inside], atol=1e-9)
    outside = torch.tensor([schedule.gamma_min - 1, schedule.gamma_max + 1], dtype=torch.float64)
    assert schedule.progress(outside).tolist() == [0.0, 1.0]


@each
def test_the_table_for_diffusers_falls_strictly_from_clean_to_the_first_level_of_sampling(schedule):
    table = schedule.alphas_cumprod(1000)
    assert table.shape == (1000,)
    assert table.dtype == torch.float64
    assert (table.diff() < 0).all()
    assert float(table[-1]) == pytest.approx(1 / (1 + math.exp(schedule.gamma_max)))
    assert table[0] < 1


def test_the_table_stands_for_the_grid_of_our_own_samplers_where_nothing_is_clipped():
    schedule = SquareRootSchedule(gamma_max=50.0)
    u = torch.arange(1, 101, dtype=torch.float64) / 100
    inner = u < 0.99
    assert torch.allclose(schedule.alphas_cumprod(100)[inner], torch.sigmoid(-schedule.gamma(u))[inner], atol=1e-4)


def test_steps_run_from_noise_to_clean():
    steps = InformationSchedule().steps(4)
    assert steps.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert steps.dtype == torch.float64


def test_information_schedule_spends_equal_information_on_equal_steps():
    schedule = InformationSchedule(mu=1.3, beta=0.8)
    u = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    assert torch.allclose(torch.exp(-torch.exp(-(schedule.gamma(u) - 1.3) / 0.8)), u, atol=1e-12)


def test_cosine_schedule_is_a_cosine():
    u = torch.linspace(0.05, 0.95, 50, dtype=torch.float64)
    alpha2 = torch.sigmoid(-CosineSchedule().gamma(u))
    assert torch.allclose(alpha2, torch.cos(math.pi / 2 * u) ** 2, atol=1e-12)


def test_square_root_schedule_is_diffusion_lms():
    u = torch.linspace(0.0, 0.99, 50, dtype=torch.float64)
    alpha2 = torch.sigmoid(-SquareRootSchedule().gamma(u))
    assert torch.allclose(alpha2, 1 - (u + 1e-4).sqrt(), atol=1e-12)


@each
def test_round_trip_through_json(schedule):
    loaded = schedule_from_dict(json.loads(json.dumps(schedule.to_dict())))
    assert loaded == schedule
    assert type(loaded) is type(schedule)


def test_nan_is_not_hidden():
    for schedule in EVERY:
        assert torch.isnan(schedule.gamma(torch.tensor(float("nan"))))


class Unlisted(NoiseSchedule):
    def raw_gamma(self, u):
        return u


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: schedule_from_dict({"kind": "linear"}), "Unknown noise schedule 'linear'; allowed are"),
        (lambda: schedule_from_dict({"mu": 1.0}), "Unknown noise schedule None"),
        (lambda: schedule_from_dict({"kind": "cosine", "mu": 1.0}), "has no setting ['mu']"),
        (lambda: CosineSchedule(gamma_min=3.0, gamma_max=3.0), "gamma_min must be below gamma_max, got 3.0 and 3.0"),
        (lambda: InformationSchedule(beta=0.0), "beta must be positive, got 0.0"),
        (lambda: SquareRootSchedule(offset=-0.1), "offset must lie in [0, 1), got -0.1"),
        (lambda: CosineSchedule().steps(0), "steps must be at least 1, got 0"),
        (lambda: CosineSchedule().alphas_cumprod(0), "num_train_timesteps must be at least 1, got 0"),
        (lambda: Unlisted().to_dict(), "Unlisted is not among the schedules"),
    ],
)
def test_mistakes_are_named(call, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert sentence in str(error.value)

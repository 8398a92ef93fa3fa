"""What the pipeline relies on, for every registered sampler: grid, batches, history, gradients, settings, errors."""

import pytest
import torch

from diffusionlm.diffusion import CosineSchedule, InformationSchedule, SquareRootSchedule
from diffusionlm.samplers import SAMPLERS, DPMSolver2MSampler, Sampler, make_sampler

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")  # theirs, about NumPy 2

WRAPPED = ["DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"]
GAUSSIAN = [name for name, kind in SAMPLERS.items() if kind.process == "gaussian"]
ALL = [*GAUSSIAN, *WRAPPED]
SCHEDULES = [
    InformationSchedule(),
    InformationSchedule(mu=6.0, beta=1.2),  # clipped at the noisy end: the first steps have no length
    InformationSchedule(mu=-2.0, beta=0.5),  # jumps from pure noise to half clean
    CosineSchedule(),
    SquareRootSchedule(),
]


def noise_like(latents, seed=3):
    return torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed), dtype=latents.dtype)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_the_grid_runs_from_noise_to_clean_and_every_latent_is_finite(name, schedule, walk, start):
    sampler = make_sampler(name)
    for num_steps in (1, 2, 16, 33):
        end = walk(sampler, schedule, num_steps, start, torch.Generator().manual_seed(0))
        assert sampler.num_steps == num_steps
        assert sampler.u.shape == sampler.gammas.shape == (num_steps + 1,)
        assert sampler.u.dtype == sampler.gammas.dtype == torch.float64
        assert float(sampler.gammas[0]) == pytest.approx(schedule.gamma_max, abs=1e-3)
        assert sampler.gammas[-1] <= 0
        assert sampler.u[-1] == 0
        assert (sampler.u.diff() <= 0).all()
        assert torch.isfinite(end).all()
        assert end.abs().max() < 10


@pytest.mark.parametrize("name", GAUSSIAN)
def test_u_is_the_schedules_grid(name):
    sampler = make_sampler(name)
    sampler.set_schedule(InformationSchedule())
    sampler.set_timesteps(10)
    assert torch.allclose(sampler.u, torch.linspace(1, 0, 11, dtype=torch.float64))


@pytest.mark.parametrize("name", GAUSSIAN)
def test_the_last_latent_lies_at_the_clean_estimate(name, start):
    sampler = make_sampler(name)
    sampler.set_schedule(InformationSchedule())
    sampler.set_timesteps(8)
    clean = torch.randn_like(start)
    latents = noise_like(start)
    end = sampler.step(clean, 7, latents, 100 * noise_like(start, 4))  # fresh noise has no part in it
    assert (end - clean).abs().max() < 0.1


@pytest.mark.parametrize("name", ALL)
def test_a_sample_does_not_depend_on_its_batch(name, walk, start):
    sampler, schedule, num_steps = make_sampler(name), InformationSchedule(), 9

    def run(rows):
        sampler.set_schedule(schedule)
        sampler.set_timesteps(num_steps)
        latents = start[rows]
        for i in range(num_steps):
            latents = sampler.step(torch.tanh(2 * latents), i, latents, noise_like(start, i)[rows])
        return latents

    whole = run([0, 1, 2])
    for row in range(3):
        assert torch.allclose(run([row])[0], whole[row], atol=1e-12)


@pytest.mark.parametrize("name", [*ALL, "DEISMultistepScheduler", "EulerDiscreteScheduler"])
def test_select_takes_the_history_along(name, start):
    """Resampling rows in the middle gives what those rows would have given had they been there all the time."""
    rows = torch.tensor([2, 2, 0, 1])

    def run(latents, resample_at):
        sampler = make_sampler(name)
        sampler.set_schedule(InformationSchedule())
        sampler.set_timesteps(8)
        for i in range(8):
            if i == resample_at:
                latents = latents[rows]
                sampler.select(rows)
            latents = sampler.step(torch.tanh(2 * latents), i, latents, torch.zeros_like(latents))
        return latents

    assert torch.allclose(run(start, 4), run(start[rows], None), atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_a_second_walk_is_not_touched_by_the_first(name, walk, start):
    sampler = make_sampler(name)
    first = walk(sampler, InformationSchedule(), 6, start, torch.Generator().manual_seed(0))
    again = walk(sampler, InformationSchedule(), 6, start, torch.Generator().manual_seed(0))
    assert torch.equal(first, again)


@pytest.mark.parametrize("name", ALL)
def test_gradients_flow_and_inputs_stay_as_they_were(name, start):
    sampler = make_sampler(name)
    sampler.set_schedule(InformationSchedule())
    sampler.set_timesteps(4)
    clean, latents = torch.ones_like(start).requires_grad_(), start.clone().requires_grad_()
    kept = latents.detach().clone()
    sampler.step(clean, 0, latents, noise_like(start)).sum().backward()
    assert clean.grad.abs().min() > 0
    assert latents.grad.abs().min() > 0
    assert torch.equal(latents.detach(), kept)
    assert (clean.detach() == 1).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_latents_keep_their_dtype(name, dtype, start):
    sampler = make_sampler(name)
    sampler.set_schedule(InformationSchedule())
    sampler.set_timesteps(3)
    latents = start.to(dtype)
    for i in range(3):
        latents = sampler.step(torch.zeros_like(latents), i, latents, noise_like(latents))
        assert latents.dtype == dtype


def test_a_step_out_of_order_starts_a_new_history(start):
    sampler = DPMSolver2MSampler()
    sampler.set_schedule(InformationSchedule())
    sampler.set_timesteps(8)
    first_order = sampler.step(torch.tanh(start), 3, start)
    sampler.step(torch.zeros_like(start), 5, start)
    assert torch.equal(sampler.step(torch.tanh(start), 3, start), first_order)
    sampler.step(torch.zeros_like(start), 2, start)
    assert not torch.allclose(sampler.step(torch.tanh(start), 3, start), first_order)


@pytest.mark.parametrize("name", [*ALL, "DEISMultistepScheduler"])
def test_configuration_round_trips_through_a_folder(name, tmp_path, walk, start):
    changed = {"ancestral": {"eta": 0.25}, "churn": {"churn": 7.0, "gamma_low": -3.0}, "DDIMScheduler": {"eta": 0.3}}
    sampler = make_sampler(name, **changed.get(name, {}))
    sampler.save_pretrained(tmp_path)
    for loaded in (type(sampler).from_pretrained(tmp_path), type(sampler).from_config(sampler.config)):
        assert loaded.settings == sampler.settings
        ends = [walk(s, InformationSchedule(), 5, start, torch.Generator().manual_seed(0)) for s in (sampler, loaded)]
        assert torch.equal(*ends)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_declarations_are_true(name):
    sampler = make_sampler(name)
    assert isinstance(sampler, Sampler)
    assert sampler.order in (1, 2)
    assert sampler.noise_per_step == sampler.stochastic
    assert not sampler.deterministic().stochastic


def test_settings_are_keywords_since_positional_ones_would_be_lost_on_loading():
    with pytest.raises(TypeError):
        SAMPLERS["ancestral"](0.9)


def test_errors_say_what_to_do(start):
    sampler = make_sampler("ancestral")
    with pytest.raises(ValueError, match="call set_schedule"):
        sampler.set_timesteps(4)
    sampler.set_schedule(InformationSchedule())
    with pytest.raises(ValueError, match="call set_timesteps"):
        sampler.step(start, 0, start, start)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        sampler.set_timesteps(0)
    sampler.set_timesteps(4)
    with pytest.raises(ValueError, match="i runs from 0 to 3"):
        sampler.step(start, 4, start, start)
    with pytest.raises(ValueError, match="got no noise"):
        sampler.step(start, 0, start)
    with pytest.raises(ValueError, match="must have the latents' shape"):
        sampler.step(start, 0, start, start[:1])
    with pytest.raises(ValueError, match="must have one shape"):
        sampler.step(start[:1], 0, start, start)


def test_a_batch_that_changes_without_select_is_refused(start):
    sampler = make_sampler("dpm++2m")
    sampler.set_schedule(InformationSchedule())
    sampler.set_timesteps(8)
    sampler.step(start, 2, start)
    with pytest.raises(ValueError, match="call select"):
        sampler.step(start[:2], 3, start[:2])

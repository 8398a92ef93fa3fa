"""Schedulers of diffusers, built on our table, solve our equation; where a method is ours too, the numbers agree."""

import diffusers
import pytest
import torch

from diffusionlm.diffusion import InformationSchedule
from diffusionlm.samplers import DiffusersSampler, make_sampler
from diffusionlm.samplers.gaussian.diffusers_adapter import GivenNoise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")  # theirs, about NumPy 2

DETERMINISTIC = [
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "EulerDiscreteScheduler",
    "LMSDiscreteScheduler",
]


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_schedulers_converge_to_the_probability_flow(name, walk, gaussian, linear, start):
    sampler, errors = make_sampler(name), []
    assert not sampler.stochastic
    for num_steps in (8, 64):
        end = walk(sampler, linear(-9.0, 5.0), num_steps, start)
        clean = torch.tensor(-50.0, dtype=torch.float64)
        errors.append(float((end - gaussian.flow(start, sampler.gammas[0], clean)).abs().max()))
    assert errors[1] < errors[0] / 4
    assert errors[1] < (0.06 if name in ("DDIMScheduler", "EulerDiscreteScheduler") else 0.02)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (("DDIMScheduler", {}), ("euler", {})),
        (("EulerDiscreteScheduler", {}), ("euler", {})),
        (("DDIMScheduler", {"eta": 0.5}), ("ancestral", {"eta": 0.5})),
        (("DDIMScheduler", {"eta": 1.0}), ("ancestral", {"eta": 1.0})),
        (("DDPMScheduler", {}), ("ancestral", {"eta": 1.0})),
        (("DPMSolverMultistepScheduler", {}), ("dpm++2m", {})),
        (
            ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 1}),
            ("ancestral", {"eta": 1}),
        ),
    ],
)
@pytest.mark.parametrize("num_steps", [16, 48])
def test_equal_methods_agree_step_by_step_on_one_noise(theirs, ours, num_steps, gaussian, linear, start):
    """In all but the last step, where theirs jumps to the clean estimate and ours goes to the cleanest level."""
    samplers = [make_sampler(name, **config) for name, config in (theirs, ours)]
    for sampler in samplers:
        sampler.set_schedule(linear(-6.0, 6.0))
        sampler.set_timesteps(num_steps)
    assert torch.allclose(samplers[0].gammas, samplers[1].gammas, atol=1e-3)
    assert torch.allclose(samplers[0].u, samplers[1].u, atol=1e-3)
    latents = [start, start]
    for i in range(num_steps - 1):
        noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(i), dtype=start.dtype)
        latents = [
            sampler.step(gaussian.denoise(z, sampler.gammas[i]), i, z, noise)
            for sampler, z in zip(samplers, latents, strict=True)
        ]
        assert torch.allclose(*latents, atol=2e-3), i


def test_the_network_is_told_the_level_the_latents_are_at(gaussian, start):
    """Levels that the scheduler picks by itself (Karras' spacing) come out as gammas between our ends."""
    sampler = make_sampler("DPMSolverMultistepScheduler", use_karras_sigmas=True)
    sampler.set_schedule(InformationSchedule(gamma_min=-6.0))
    sampler.set_timesteps(12)
    spacing = torch.exp(sampler.gammas[:-1] / 2 / 7).diff()  # equal steps of sigma^(1/7), Karras et al. 2022, eq. 5
    assert torch.allclose(spacing, spacing.mean(), rtol=1e-2)
    table = InformationSchedule(gamma_min=-6.0).gamma(sampler.u)
    assert torch.allclose(table[:-1], sampler.gammas[:-1], atol=1e-6)


def test_stochasticity_is_found_by_trying():
    assert make_sampler("DDPMScheduler").stochastic
    assert make_sampler("DDIMScheduler", eta=0.1).stochastic
    assert make_sampler("DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++").stochastic
    assert make_sampler("SASolverScheduler").stochastic
    assert not make_sampler("DDIMScheduler").stochastic


def test_order_is_the_solver_order():
    assert make_sampler("DPMSolverMultistepScheduler", solver_order=3).order == 3
    assert make_sampler("UniPCMultistepScheduler").order == 2
    assert make_sampler("DDIMScheduler").order == 1


def test_embeddings_are_not_clipped_like_pixels_unless_asked(start):
    far = torch.full_like(start, 3.0)
    for config, expected in (({}, 3.0), ({"clip_sample": True}, 1.0)):
        sampler = make_sampler("DDIMScheduler", **config)
        sampler.set_schedule(InformationSchedule())
        sampler.set_timesteps(2)
        assert torch.allclose(sampler.step(far, 1, start), torch.full_like(start, expected), atol=1e-5)


def test_wrapping_an_object_keeps_its_choices_and_leaves_it_alone(walk, start):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="sample", solver_order=3, beta_schedule="scaled_linear", num_train_timesteps=500
    )
    before = dict(scheduler.config)
    sampler = make_sampler(scheduler)
    walk(sampler, InformationSchedule(), 6, start)
    assert sampler.settings == {
        "scheduler": "DPMSolverMultistepScheduler",
        "settings": {"solver_order": 3},
        "step_settings": None,
        "num_train_timesteps": 500,
    }
    assert dict(scheduler.config) == before
    assert scheduler.num_inference_steps is None


def test_wrapping_an_object_honours_clipping_that_was_asked_for():
    assert make_sampler(diffusers.DDIMScheduler(clip_sample=True)).settings["settings"] == {"clip_sample": True}
    assert make_sampler(diffusers.DDIMScheduler()).settings["settings"] is None


class HomeMadeScheduler(diffusers.DDIMScheduler):
    """A scheduler that diffusers does not know."""


def test_a_scheduler_from_elsewhere_round_trips_by_its_path(walk, start):
    sampler = make_sampler(HomeMadeScheduler(prediction_type="sample"))
    assert sampler.config.scheduler == f"{__name__}.HomeMadeScheduler"
    loaded = DiffusersSampler.from_config(sampler.config)
    assert torch.equal(*(walk(s, InformationSchedule(), 4, start) for s in (sampler, loaded)))


def test_a_step_out_of_order_starts_a_new_history(start):
    def fresh():
        sampler = make_sampler("DPMSolverMultistepScheduler")
        sampler.set_schedule(InformationSchedule())
        sampler.set_timesteps(8)
        return sampler

    expected = fresh().step(torch.tanh(start), 3, start)
    sampler = fresh()
    sampler.step(torch.zeros_like(start), 0, start)
    assert torch.equal(sampler.step(torch.tanh(start), 3, start), expected)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: make_sampler("DDIMSheduler"), "There is no sampler 'DDIMSheduler'"),
        (lambda: make_sampler("DDIIMScheduler"), "did you mean 'DDIMScheduler'"),
        (lambda: DiffusersSampler(scheduler="diffusionlm.samplers.EulerSampler"), "is a sampler already"),
        (lambda: DiffusersSampler(scheduler="no.such.Scheduler"), "cannot be imported"),
        (lambda: make_sampler("FlowMatchEulerDiscreteScheduler"), "takes no table of noise levels"),
        (lambda: make_sampler("EulerAncestralDiscreteScheduler"), "cannot step from a clean estimate"),
        (lambda: make_sampler("HeunDiscreteScheduler"), "once a step"),
        (lambda: make_sampler("DPMSolverMultistepInverseScheduler"), "walks towards noise"),
        (lambda: make_sampler("DDIMScheduler", etaa=0.5), "has no setting 'etaa'"),
        (lambda: make_sampler("DDIMScheduler", prediction_type="epsilon"), "has no setting 'prediction_type'"),
        (
            lambda: make_sampler("UniPCMultistepScheduler", use_flow_sigmas=True),
            "use_flow_sigmas leaves the noise levels",
        ),
        (
            lambda: make_sampler(diffusers.DDIMScheduler(prediction_type="v_prediction")),
            "prediction_type='v_prediction'",
        ),
        (lambda: make_sampler("DDPMScheduler").deterministic(), "How to turn off the noise"),
    ],
)
def test_what_cannot_be_wrapped_is_named(call, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert sentence in str(error.value)


def test_given_noise_replaces_one_draw_and_refuses_a_second_and_a_missing_one():
    noise = torch.ones(2, 3)
    with GivenNoise(noise, "X") as given:
        assert torch.randn(2, 3) is noise
        assert given.used
        with pytest.raises(ValueError, match="X draws noise twice"):
            torch.randn(2, 3)
    with GivenNoise(None, "X"), pytest.raises(ValueError, match="got none"):
        torch.randn(2, 3)
    assert torch.randn(2, 3) is not noise

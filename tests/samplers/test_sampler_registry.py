"""A string, an object or a configuration becomes a sampler, and mistakes are named."""

import json

import diffusers
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from diffusionlm.samplers import SAMPLERS, DiffusersSampler, EulerSampler, make_sampler, sampler_to_dict


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_name_gives_its_class_and_settings_reach_it(name):
    sampler = make_sampler(name)
    assert type(sampler) is SAMPLERS[name]
    assert make_sampler(name, **sampler.settings).settings == sampler.settings


def test_objects_pass_through_or_are_wrapped():
    euler = EulerSampler()
    assert make_sampler(euler) is euler
    wrapped = make_sampler(diffusers.DDIMScheduler(prediction_type="sample"))
    assert isinstance(wrapped, DiffusersSampler)
    assert wrapped.config.scheduler == "DDIMScheduler"


def test_settings_arrive():
    assert make_sampler("ancestral", eta=0.9).config.eta == 0.9
    assert make_sampler({"name": "ancestral", "eta": 0.9}).config.eta == 0.9
    assert make_sampler({"name": "ancestral", "eta": 0.9}, eta=0.1).config.eta == 0.1


class HomeMade(EulerSampler):
    """A sampler that the registry does not know."""


@pytest.mark.parametrize(
    "sampler",
    [
        *(make_sampler(name) for name in SAMPLERS),
        make_sampler("ancestral", eta=0.3),
        make_sampler("DDIMScheduler", eta=0.3, timestep_spacing="linspace", num_train_timesteps=500),
        HomeMade(),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_a_sampler_round_trips_through_json(sampler):
    loaded = make_sampler(json.loads(json.dumps(sampler_to_dict(sampler))))
    assert type(loaded) is type(sampler)
    assert loaded.settings == sampler.settings


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_has_a_configuration_that_spells_out_its_defaults(name):
    with initialize_config_module("diffusionlm.configs", version_base=None):
        config = compose(overrides=[f"+sampler={name}"]).sampler
    sampler = make_sampler(config)
    assert type(sampler) is SAMPLERS[name]
    assert OmegaConf.to_container(config) == {"name": name, **make_sampler(name).settings}


def test_every_configuration_has_a_sampler(root):
    assert {path.stem for path in (root / "configs" / "sampler").glob("*.yaml")} == set(SAMPLERS)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: make_sampler("eulr"), "did you mean 'euler'"),
        (lambda: make_sampler("Ancestral"), "did you mean 'ancestral'"),
        (lambda: make_sampler("zzz"), "there are: ancestral, churn, dpm++2m, euler, renoising, unmasking"),
        (lambda: make_sampler("ancestral", etta=1.0), "did you mean 'eta'"),
        (lambda: make_sampler("euler", eta=1.0), "its settings are none"),
        (lambda: make_sampler(EulerSampler(), eta=1.0), "made already"),
        (lambda: make_sampler({"eta": 1.0}), "need a name"),
        (lambda: make_sampler("ancestral", eta=1.5), "eta must lie in [0, 1], got 1.5"),
        (lambda: make_sampler("churn", churn=-1.0), "churn must be at least 0, got -1.0"),
        (lambda: make_sampler("churn", noise_scale=0.0), "noise_scale must be positive"),
        (lambda: make_sampler("churn", gamma_low=1.0, gamma_high=0.0), "gamma_low must be below gamma_high"),
    ],
)
def test_mistakes_are_named(call, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert sentence in str(error.value)


def test_what_is_no_sampler_is_refused():
    with pytest.raises(TypeError, match="a name"):
        make_sampler(3)

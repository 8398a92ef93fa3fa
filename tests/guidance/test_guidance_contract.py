"""The contract: settings that every plugin takes, their checks, functions as plugins, and the round trip through JSON."""

import inspect
import json

import pytest
import torch

from diffusionlm.guidance import (
    Composition,
    FunctionGuidance,
    Guidance,
    Latent,
    Length,
    Particles,
    Phrases,
    Regex,
    TextScorer,
    Tilt,
    compose,
    from_config,
)
from diffusionlm.guidance.settings import strength
from diffusionlm.guidance.testing.toy import ToyModel, toy_vocabulary


class Capitals(Guidance):
    """Counts capitals."""

    weight: float = 2.0
    window = (0.8, 0.2)
    least: int = 2

    def bind(self, vocabulary):
        self.tokens = vocabulary.where(lambda text: text.isupper() and len(text) >= self.least)

    def energy(self, state):
        return state.probs[..., self.tokens].sum((-1, -2))


def no_pubs(state):
    return state.probs[..., 5].sum(-1)


def test_every_plugin_takes_the_common_settings_by_keyword_and_its_own_by_position():
    plugin = Capitals(3, weight=4.0, below=0.5, schedule="rising")
    assert (plugin.least, plugin.weight, plugin.below, plugin.schedule) == (3, 4.0, 0.5, "rising")


def test_a_class_may_change_the_defaults_of_common_settings_with_or_without_annotation():
    assert Capitals().weight == 2.0
    assert Capitals().window == (0.8, 0.2)
    with pytest.raises(TypeError):
        Capitals(3, 4.0)  # weight stays a keyword


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": -1}, "weight of 'Capitals' must be a finite number of at least 0, got -1"),
        ({"weight": float("nan")}, "weight"),
        ({"weight": "3"}, "weight"),
        ({"budget": -0.1}, "budget"),
        ({"window": (1.5, 0)}, r"window of 'Capitals' must lie in \[0, 1\]"),
        ({"window": 0.5}, "must be two numbers"),
        ({"schedule": "risng"}, "did you mean 'rising'"),
        ({"strategy": "tild"}, "did you mean 'tilt'"),
        ({"strategy": "constraint"}, "is an energy, and only constraints made of automata can hold exactly"),
        ({"below": 0.1, "above": 0.2}, "two goals"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Capitals(**settings)


def test_a_misspelt_setting_is_answered_with_the_nearest():
    with pytest.raises(TypeError, match=r"Length has no argument 'word'; did you mean 'words'\?"):
        Length(word=3)
    with pytest.raises(TypeError, match=r"Phrases has no argument 'wieght'; did you mean 'weight'\?"):
        Phrases(include=["x"], wieght=3)
    assert list(inspect.signature(Length).parameters)[:3] == ["words", "tokens", "characters"]


def test_a_length_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"Length\(words=0\) cannot be met"):
        Length(words=0)
    assert Length(words=(0, 2)).languages()


def test_settings_that_were_changed_later_are_checked_at_composition():
    plugin = Capitals()
    plugin.weight = -3.0
    with pytest.raises(ValueError, match="weight"):
        compose(plugin, toy_vocabulary())


def test_a_plugin_without_gradient_refuses_strategies_that_need_one():
    for strategy in ("tilt", "latent"):
        with pytest.raises(ValueError, match="not differentiable.*use strategy='particles'"):
            TextScorer(len, strategy=strategy)


def test_goals_have_no_meaning_for_what_always_holds():
    with pytest.raises(ValueError, match="always holds"):
        Regex(forbid="a", below=0.1)


def test_weight_follows_schedule_and_window():
    plugin = Capitals(window=(0.9, 0.1), schedule="rising")
    assert strength(plugin, 0.95) == 0
    assert strength(plugin, 0.05) == 0
    assert strength(plugin, 0.25) == pytest.approx(2.0 * 0.75)
    assert strength(Capitals(schedule=lambda u: u * u, window=(0, 1)), 0.5) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="schedule of 'Capitals' gave nan"):
        strength(Capitals(schedule=lambda u: float("nan")), 0.5)


@pytest.mark.parametrize(
    "plugin",
    [
        Phrases(include=["The Mill"], exclude=["cheap"], whole_words=False),
        Length(words=(10, 12)),
        Regex(forbid=[r"\d", "x"], ignore_case=True),
        TextScorer(len, weight=3.0, strategy=Particles(count=8)),
        Capitals(5, strategy=Latent(through="denoiser")),
        Capitals(strategy=Tilt(inner_steps=3), window=(0.5, 0.1), budget=0.2, priority=2, above=0.1, normalise=True),
        FunctionGuidance(no_pubs, weight=2.0),
    ],
    ids=lambda plugin: type(plugin).__name__,
)
def test_plugins_survive_json(plugin):
    data = json.loads(json.dumps(plugin.to_dict()))
    again = Guidance.from_dict(data)
    assert type(again) is type(plugin)
    assert again.to_dict() == plugin.to_dict()


def test_what_cannot_be_written_as_json_is_named():
    with pytest.raises(TypeError, match="text-scorer.function is the function .*<lambda> .* cannot be written"):
        TextScorer(lambda text: 0.0).to_dict()


def test_settings_written_for_a_newer_contract_are_refused():
    with pytest.raises(ValueError, match="version 2 of the contract.*upgrade"):
        Guidance.from_dict({"name": "length", "words": 3, "api_version": 2})


def test_a_function_of_the_state_is_a_plugin():
    model = ToyModel()
    plain, guided = model.sample(rows=8), model.sample([no_pubs, {"phrases": {"include": ["river"]}}], rows=8)
    assert all("river" in text for text in guided.texts)
    assert [text for text in guided.texts if text] != plain.texts
    assert "no_pubs" in guided.trace.finished


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("phrazes", "There is no guidance plugin 'phrazes'; did you mean 'phrases'"),
        ({"phrases": {"includes": ["x"]}}, "no setting 'includes'; did you mean 'include'"),
        ({"_target_": "diffusionlm.guidance.Regexx"}, "There is no plugin class"),
        ({"_target_": "pathlib.Path"}, "is no plugin: it must be a class"),
        ({"text-scorer": {}}, "needs settings that were not given: missing.*function"),
        ("regex", "Regex needs a pattern"),
        ({"length": 5}, r"settings of the plugin 'length' must be a mapping, as in \{length: \{weight: 2.0\}\}; got 5"),
    ],
)
def test_what_names_no_plugin_is_answered_with_the_nearest(given, message):
    with pytest.raises(ValueError, match=message):
        from_config(given)


@pytest.mark.parametrize(
    ("written", "settings"),
    [
        ("pii.PII", {"kinds": ["email"]}),
        ("pii_names.PersonalNames", {}),
        ("syntax.PartOfSpeech", {"tags": "DET NOUN"}),
        ("syntax_constituents.Constituents", {"spans": "NP 0-1"}),
        ("syntax_dependencies.Dependencies", {"arcs": "det(1, 0)"}),
        ("toxicity.Toxicity", {"weight": 2.0}),
        ("word_list.WordList", {"words": ["damn"]}),
    ],
)
def test_a_configuration_names_a_class_where_it_stood_when_it_was_written(written, settings):
    [plugin] = from_config({"_target_": f"diffusionlm.guidance.{written}", **settings})
    assert type(plugin).__name__ == written.rpartition(".")[2]
    assert type(Guidance.from_dict(plugin.to_dict())) is type(plugin)


@pytest.mark.parametrize("given", [3, [object()], lambda: 0])
def test_what_is_no_plugin_at_all_is_refused(given):
    with pytest.raises(TypeError):
        compose(given, toy_vocabulary())


def test_hydra_configurations_make_the_plugins(root):
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module

    files = sorted(path.stem for path in (root / "configs" / "guidance").glob("*.yaml"))
    given = {
        "regex": ["forbid=a"],
        "phrases": ["include=[The Mill]"],
        "personal_names": ["weight=2.0"],
        "pii": ["kinds=[email]"],
        "length": ["words=[3,5]"],
        "classifier": ["model=some/model", "below=0.1"],
        "classifier_free": ["weight=2.0"],
        "toxicity": ["below=0.1"],
        "text_scorer": ["function={_function_: 'builtins:len'}"],
    }
    assert set(files) == set(given)
    with initialize_config_module("diffusionlm.configs", version_base="1.3"):
        for name, overrides in given.items():
            config = hydra_compose(f"guidance/{name}", overrides=[f"guidance.{item}" for item in overrides])
            (plugin,) = from_config(config.guidance)
            assert plugin.name == name.replace("_", "-")


def test_the_given_plugin_is_left_as_it_was():
    plugin = Capitals()
    before = dict(vars(plugin))
    ToyModel().sample([plugin], rows=2)
    assert vars(plugin) == before


def test_limits_of_a_composition_are_checked():
    with pytest.raises(ValueError, match="budget must be a number of nats"):
        Composition([], budget=-1)
    assert Composition(["classifier-free"], budget=None).budget == float("inf")


def test_bases_without_energy_or_rule_say_what_to_define():
    with pytest.raises(TypeError, match="lacks the method energy"):
        compose(Guidance(), toy_vocabulary())


def test_weight_zero_takes_a_plugin_out_altogether():
    steering = compose([Capitals(weight=0.0), TextScorer(len, weight=0.0)], toy_vocabulary())
    assert steering.plugins == []
    assert steering.particles == 1


def test_state_gives_texts_clean_estimate_and_rows():
    model = ToyModel(dtype=torch.float64)
    state = model.state(4)
    torch.testing.assert_close(state.clean, state.probs @ model.embeddings)
    torch.testing.assert_close(state.log_probs.exp(), state.probs)
    part = state.select([2, 0])
    assert part.texts() == [state.texts()[2], state.texts()[0]]
    torch.testing.assert_close(part.unconditional_log_probs, state.unconditional_log_probs[[2, 0]])

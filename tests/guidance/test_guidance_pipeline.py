"""Guidance in the pipeline: what is guaranteed to the user, and that a bad plugin harms nothing but its own call."""

import json

import pytest
import torch

from diffusionlm.guidance import (
    AutomatonTooLarge,
    Classifier,
    ClassifierFree,
    FunctionGuidance,
    Guidance,
    GuidanceError,
    Length,
    Particles,
    Phrases,
    Regex,
    TextScorer,
    UnsatisfiableConstraint,
)
from diffusionlm.guidance.classifiers.tiny_classifier import tiny_classifier

TEXT = "The [SPAN:5] is [SPAN]."
FAST = {"steps": 4, "seed": 3}


def few_letters(state):
    tokens = state.vocabulary.where(lambda text: "e" in text)
    return state.probs[..., tokens].sum((1, 2))


def test_rules_hold_in_every_sample_of_every_input_and_are_certified(pipe):
    texts = [TEXT, "[SPAN] and [SPAN:3]", None]
    rules = [Phrases(include=["The Mill"]), Length(words=(4, 9)), Regex(forbid=r"\d")]
    result = pipe(texts, num_samples=3, guidance=rules, **FAST)
    for group, held in zip(result.texts, result.certificates, strict=True):
        for text, certificate in zip(group, held, strict=True):
            assert "The Mill" in text
            assert 4 <= len(text.split()) <= 9
            assert not any(c.isdigit() for c in text)
            assert certificate == {
                "contains 'The Mill'": True,
                "4 to 9 words": True,
                "contains nowhere '\\d'": True,
            }


def test_a_pattern_may_not_arise_across_the_border_of_a_span(pipe):
    result = pipe("call 55[SPAN:4]1234", num_samples=6, guidance=[Regex(forbid=r"5\d*-\d*1234")], **FAST)
    assert all(all(held.values()) for held in result.certificates)
    with pytest.raises(UnsatisfiableConstraint, match="contains nowhere '12'"):
        pipe("12 and [SPAN:3]", guidance=Regex(forbid="12"), **FAST)


def test_rules_that_cannot_be_met_are_named_before_sampling_begins(pipe, monkeypatch):
    monkeypatch.setattr(type(pipe.denoiser), "forward", lambda *a, **k: pytest.fail("sampling began"))
    with pytest.raises(UnsatisfiableConstraint, match="contains 'a very long phrase that never fits'"):
        pipe(TEXT, guidance=Phrases(include=["a very long phrase that never fits"]), **FAST)
    with pytest.raises(UnsatisfiableConstraint, match="each constraint can be met alone, but not all together"):
        pipe(TEXT, guidance=[Phrases(include=["Mill"]), Phrases(exclude=["Mill"])], **FAST)


def test_a_pattern_that_explodes_is_refused_where_it_is_written():
    with pytest.raises(AutomatonTooLarge, match="states"):
        Regex(require="(a|b)*a(a|b){30}")


def test_weight_zero_and_windows_that_are_never_met_change_no_bit(pipe):
    plain = pipe(TEXT, num_samples=3, output_type="latents", **FAST)
    for plugin in (
        FunctionGuidance(few_letters, weight=0.0),
        FunctionGuidance(few_letters, weight=5.0, window=(0.0, 0.0)),
        FunctionGuidance(few_letters, weight=5.0, window=(0.0, 0.0), strategy="latent"),
        TextScorer(len, window=(0.0, 0.0)),
        Phrases(include=["Mill"], weight=0.0),
    ):
        assert torch.equal(pipe(TEXT, num_samples=3, output_type="latents", guidance=plugin, **FAST), plain)


def test_guidance_changes_texts_and_lowers_the_energy(pipe):
    plain = pipe(TEXT, num_samples=8, **FAST)
    guided = pipe(TEXT, num_samples=8, guidance=FunctionGuidance(few_letters, weight=8.0, budget=5.0), **FAST)
    assert sum(text.count("e") for text in guided.texts) < sum(text.count("e") for text in plain.texts)


@pytest.mark.parametrize(
    "guidance",
    [
        FunctionGuidance(few_letters, weight=3.0),
        FunctionGuidance(few_letters, weight=3.0, strategy="latent"),
        FunctionGuidance(few_letters, below=0.5),
        TextScorer(len, strategy=Particles(count=3)),
        [Phrases(include=["pub"]), FunctionGuidance(few_letters)],
    ],
    ids=["tilt", "latent", "goal", "particles", "constraint"],
)
def test_a_sample_is_the_same_whatever_else_is_in_the_batch(pipe, guidance):
    together = pipe([TEXT, "A [SPAN:2]"], num_samples=3, guidance=guidance, **FAST)
    apart = pipe(TEXT, num_samples=1, steps=4, seed=together.seeds[0][2], guidance=guidance)
    split = pipe([TEXT, "A [SPAN:2]"], num_samples=3, guidance=guidance, batch_size=2, **FAST)
    assert together.texts[0][2] == apart.texts[0]
    assert together.texts == split.texts


def test_classifier_free_guidance_uses_the_prompt(pipe):
    plain = pipe(TEXT, prompt="food[Italian]", output_type="latents", **FAST)
    guided = pipe(TEXT, prompt="food[Italian]", guidance=ClassifierFree(weight=3.0), output_type="latents", **FAST)
    without = pipe(TEXT, guidance=ClassifierFree(weight=3.0), output_type="latents", **FAST)
    unprompted = pipe(TEXT, output_type="latents", **FAST)
    assert not torch.equal(guided, plain)
    torch.testing.assert_close(without, unprompted)  # no prompt, nothing to follow


def test_an_off_the_shelf_classifier_steers(pipe):
    model, tokenizer = tiny_classifier()
    plugin = Classifier(model, "positive", tokenizer, weight=20.0, budget=3.0)
    plain, guided = (pipe(TEXT, num_samples=8, guidance=g, **FAST) for g in ([], [plugin]))

    def energy(texts):
        given = tokenizer(texts, padding=True, return_tensors="pt")
        return -model(**given).logits.log_softmax(-1)[:, 1].mean()

    assert energy(guided.texts) < energy(plain.texts)
    assert guided.trace.finished["classifier"] == pytest.approx(
        [float(energy([text])) for text in guided.texts], abs=1e-3
    )


def test_the_result_holds_what_was_asked_for(pipe):
    result = pipe(TEXT, guidance=[Phrases(include=["Mill"]), TextScorer(lambda text: 0.0)], **FAST)
    settings = json.loads(json.dumps(result.settings["guidance"]))
    assert settings["plugins"][0] == {
        "name": "phrases",
        "api_version": 1,
        "include": ["Mill"],
        "exclude": [],
        "any_of": [],
    }
    assert "lambda" in str(settings["plugins"][1]["function"])


def test_the_result_says_where_a_goal_was_not_reached(pipe):
    assert pipe(TEXT, **FAST).unmet == []
    result = pipe(TEXT, num_samples=2, guidance=FunctionGuidance(few_letters, below=-1.0), **FAST)
    assert [(goal.sample, goal.goal) for goal in result.unmet] == [
        (0, "few_letters below -1"),
        (1, "few_letters below -1"),
    ]
    assert len(json.loads(result.to_json())["unmet"]) == 2
    assert pipe(TEXT, guidance=FunctionGuidance(few_letters, below=1e6), **FAST).unmet == []


# ---- bad plugins ----------------------------------------------------------------------------------------------------


def wrong_shape(state):
    return state.probs.sum()


def not_a_number(state):
    return state.probs[..., 0].sum(-1) * float("nan")


def infinite(state):
    return state.probs.sum((1, 2)) / 0.0


def a_float(state):
    return 3.0


def counts(state):
    return state.ids.sum(-1)


def detached(state):
    return state.probs.detach().sum((1, 2))


def mutates(state):
    state.latents.add_(1.0)
    return state.probs.sum((1, 2))


def mutates_the_posterior(state):
    state.probs[..., 0] = 0.0
    return state.probs.sum((1, 2))


def mutates_through_data(state):
    state.latents.data.add_(1.0)
    return state.probs[..., 3].sum(-1)


def mutates_through_numpy(state):
    state.probs.detach().numpy()[..., 0] = 0.5
    return state.probs[..., 3].sum(-1)


def on_another_device(state):
    return state.probs[..., 3].sum(-1).to("meta")


def infinite_gradient(state):
    return (state.probs[..., 0] * 0.0).sqrt().sum(-1)


def raises_late(state):
    if state.step == 2:
        raise KeyError("lexicon")
    return state.probs[..., 3].sum(-1)


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (wrong_shape, r"shape \(\); it must be \(1,\)"),
        (not_a_number, "NaN or infinite energy for rows"),
        (infinite, "NaN or infinite energy for rows"),
        (a_float, "returned float as energy; it must be a tensor"),
        (counts, "in torch.int64; it must be floating point"),
        (detached, "does not depend differentiably"),
        (mutates, "changed state.latents in place"),
        (mutates_the_posterior, "may not change the state"),
        (mutates_through_data, "changed state.latents in place"),
        (mutates_through_numpy, "changed state.probs in place"),
        (on_another_device, "returned the energy on meta, and the state is on cpu"),
        (infinite_gradient, "gradient is NaN or infinite"),
        (raises_late, "at step 2 of 4 .* raised KeyError: 'lexicon'"),
    ],
)
def test_a_bad_plugin_is_named_with_its_step_and_the_pipeline_stays_usable(pipe, plugin, message):
    before = pipe(TEXT, **FAST).texts
    with pytest.raises(GuidanceError, match=message) as caught:
        pipe(TEXT, guidance=plugin, **FAST)
    assert f"guidance plugin '{plugin.__name__}'" in str(caught.value)
    assert "test_guidance_pipeline.py:" in str(caught.value)
    assert "step" in str(caught.value)
    assert pipe(TEXT, **FAST).texts == before


def test_a_plugin_that_fails_to_bind_is_named(pipe):
    class Unbindable(Guidance):
        """Cannot be bound."""

        def bind(self, vocabulary):
            return vocabulary.nothing

        def energy(self, state):
            return state.probs.sum((1, 2))

    with pytest.raises(GuidanceError, match="'Unbindable' .* raised AttributeError in bind"):
        pipe(TEXT, guidance=Unbindable(), **FAST)


def test_a_plugin_that_changes_the_vocabulary_is_named_and_it_is_put_back(pipe):
    class Rewrites(Guidance):
        """Thinks that no token opens a word."""

        def bind(self, vocabulary):
            vocabulary.starts_with_space[:] = False

        def energy(self, state):
            return state.probs[..., 3].sum(-1)

    before = pipe("The [SPAN:3] pub", **FAST).texts
    with pytest.raises(GuidanceError, match=r"'Rewrites' .* changed vocabulary.starts_with_space in bind"):
        pipe(TEXT, guidance=Rewrites(), **FAST)
    assert pipe("The [SPAN:3] pub", **FAST).texts == before


def test_a_measure_of_the_wrong_shape_is_named(pipe):
    class Averages(Guidance):
        """Measures the whole batch."""

        def measure(self, energy):
            return energy.mean()

        def energy(self, state):
            return state.probs[..., 3].sum(-1)

    with pytest.raises(GuidanceError, match=r"'Averages' .*the measure \(\); measure\(energy\) must keep the shape"):
        pipe(TEXT, guidance=Averages(), **FAST)


@pytest.mark.parametrize("name", ["nowhere/none", "/no/such/folder"])
def test_a_classifier_that_is_not_there_is_one_sentence(pipe, name):
    with pytest.raises(OSError, match=f"There is no sequence classifier '{name}': .* Give a folder") as caught:
        pipe(TEXT, guidance=Classifier(name), **FAST)
    assert "\n" not in str(caught.value)


def test_a_scorer_that_gives_nonsense_is_named(pipe):
    with pytest.raises(GuidanceError, match="'text-scorer' .* NaN or infinite energy"):
        pipe(TEXT, guidance=TextScorer(lambda text: float("nan")), **FAST)
    with pytest.raises(GuidanceError, match="'text-scorer' .* raised ZeroDivisionError"):
        pipe(TEXT, guidance=TextScorer(lambda text: 1 / 0), **FAST)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": "happy"}, "The classifier has no label 'happy'; there are: negative, positive"),
        ({"label": "positiv"}, "did you mean 'positive'"),
        ({"tokenizer": None}, "without its tokenizer"),
    ],
)
def test_a_classifier_that_cannot_be_used_says_why(pipe, settings, message):
    model, tokenizer = tiny_classifier()
    with pytest.raises(ValueError, match=message):
        pipe(TEXT, guidance=Classifier(model, **{"label": "positive", "tokenizer": tokenizer, **settings}), **FAST)


def test_a_classifier_in_training_mode_is_refused(pipe):
    model, tokenizer = tiny_classifier()
    with pytest.raises(ValueError, match="training mode"):
        pipe(TEXT, guidance=Classifier(model.train(), tokenizer=tokenizer), **FAST)


@pytest.mark.parametrize("strategy", ["tilt", "latent"])
def test_a_rule_that_is_a_wish_only_may_be_missed_in_the_end(tiny_pipe, strategy):
    from diffusionlm.guidance import Phrases
    from diffusionlm.guidance.constraints.constraint import IMPOSSIBLE

    wish = Phrases(include=["zebra"], strategy=strategy, weight=0.01)
    result = tiny_pipe("[SPAN:8]", num_samples=2, steps=2, seed=0, guidance=wish)
    assert all("zebra" not in text for text in result.texts)
    assert json.loads(result.trace.to_json())["finished"]["phrases"] == [IMPOSSIBLE] * 2

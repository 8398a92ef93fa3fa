"""The pipeline: what goes in and comes out, seeds, samplers, streaming, errors before work starts."""

import json
import warnings

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from diffusionlm.generation.results import GenerationResult
from diffusionlm.guidance import Length
from diffusionlm.pipeline import DiffusionLMPipeline, StepState
from diffusionlm.spans import Canvas


def test_nesting_of_results(tiny_pipe) -> None:
    assert len(tiny_pipe(num_samples=3, steps=2, seed=0).texts) == 3
    many = tiny_pipe(["The [SPAN:2] pub", "[SPAN]."], num_samples=2, steps=2, seed=0)
    assert [len(group) for group in many.texts] == [2, 2]
    assert many.seeds == [[0, 1], [0, 1]]
    prompts = tiny_pipe(prompt=["name[The Mill]", "name[The Vaults]"], steps=2, seed=0)
    assert [len(group) for group in prompts.texts] == [1, 1]


def test_known_text_is_unchanged_and_lengths_are_exact(tiny_pipe) -> None:
    result = tiny_pipe("The  [SPAN:4] — é\n[SPAN:1]!", num_samples=4, steps=3, seed=1)
    for text, spans, ids in zip(result.texts, result.spans, result.token_ids, strict=True):
        assert text == f"The  {spans[0]} — é\n{spans[1]}!"
        assert [len(span) for span in ids] == [4, 1]


def test_an_open_span_ends_itself(tiny_pipe) -> None:
    lengths = {len(ids[0]) for ids in tiny_pipe("The [SPAN] pub", num_samples=16, steps=4, seed=0).token_ids}
    assert lengths <= set(range(1, 7))
    assert len(lengths) > 1


def test_one_seed_gives_one_text_whatever_the_batch(tiny_pipe) -> None:
    alone = tiny_pipe("The [SPAN:6] pub.", steps=6, seed=11).texts
    among = tiny_pipe("The [SPAN:6] pub.", num_samples=8, steps=6, seed=5)
    assert among.texts[6] == alone[0]
    assert among.seeds[6] == 11
    listed = tiny_pipe(["[SPAN]", "The [SPAN:6] pub.", "A [SPAN:12] B"], steps=6, seed=11).texts
    assert listed[1] == alone
    split = tiny_pipe("The [SPAN:6] pub.", num_samples=8, steps=6, seed=5, batch_size=3)
    assert split.texts == among.texts
    assert tiny_pipe("The [SPAN:6] pub.", steps=6, seed=12).texts != alone


def test_the_global_generator_is_left_alone(tiny_pipe) -> None:
    before = torch.random.get_rng_state()
    tiny_pipe(steps=2)
    assert torch.equal(before, torch.random.get_rng_state())


def test_each_input_may_have_a_seed_of_its_own(tiny_pipe) -> None:
    texts = ["The [SPAN:6] pub.", "[SPAN]", "The [SPAN:6] pub."]
    together = tiny_pipe(texts, seed=[11, 4, 12], num_samples=2, steps=6)
    assert together.seeds == [[11, 12], [4, 5], [12, 13]]
    assert together.texts == [
        tiny_pipe(t, seed=s, num_samples=2, steps=6).texts for t, s in zip(texts, (11, 4, 12), strict=True)
    ]
    with pytest.raises(ValueError, match="3 inputs and 2 seeds"):
        tiny_pipe(texts, seed=[1, 2], steps=2)
    with pytest.raises(ValueError, match="seed must be an integer"):
        tiny_pipe(texts, seed=[1, 2, -3], steps=2)


def test_without_a_seed_the_drawn_one_is_reported(tiny_pipe) -> None:
    first = tiny_pipe(steps=3)
    again = tiny_pipe(steps=3, seed=first.seeds[0])
    assert again.texts == first.texts


@pytest.mark.parametrize("sampler", ["euler", "ancestral", "churn", "dpm++2m", "DDIMScheduler", DDIMScheduler()])
def test_samplers_by_name_and_from_diffusers(tiny_pipe, sampler) -> None:
    result = tiny_pipe(num_samples=2, steps=4, sampler=sampler, seed=0)
    assert all(result.texts)
    json.loads(result.to_json())


def test_prompt_and_context_reach_the_span(tiny_pipe) -> None:
    def clean(*args, **kwargs):
        return tiny_pipe(*args, **kwargs, steps=4, seed=3, output_type="latents")

    plain = clean("[SPAN:8] pub")
    assert torch.equal(plain, clean("[SPAN:8] pub"))
    assert not torch.allclose(plain, clean("[SPAN:8] pub", prompt="name[The Mill]"), atol=1e-6)
    assert not torch.allclose(plain, clean("[SPAN:8] river"), atol=1e-6)


def test_the_default_temperature_depends_on_the_steps(tiny_pipe, tmp_path) -> None:
    own = {"denoiser": tiny_pipe.denoiser, "tokenizer": tiny_pipe.tokenizer, "schedule": tiny_pipe.schedule}
    pipe = DiffusionLMPipeline(**own, temperature={32: 0.8, 8: 0.6})
    assert [round(pipe.temperature_at(n), 9) for n in (1, 8, 16, 32, 128)] == [0.6, 0.6, 0.7, 0.8, 0.8]
    assert pipe.temperature == 0.8
    assert pipe(steps=8, seed=0).settings["temperature"] == pytest.approx(0.6)
    pipe.save_pretrained(tmp_path / "saved")
    loaded = DiffusionLMPipeline.from_pretrained(tmp_path / "saved")
    assert loaded.temperature_at(16) == pytest.approx(0.7)
    loaded.temperature = 0.5  # one for all
    assert loaded.temperature_at(8) == loaded.temperature_at(64) == 0.5
    for wrong in ({}, {"many": 0.5}, {0: 0.5}, {16: -1.0}, "warm"):
        with pytest.raises(ValueError, match="temperature"):
            DiffusionLMPipeline(**own, temperature=wrong)


def test_low_temperature_is_surer(tiny_pipe) -> None:
    def entropy(temperature: float) -> float:
        seen = []
        tiny_pipe(
            steps=1,
            seed=0,
            temperature=temperature,
            callback_on_step_end=lambda pipe, i, state: seen.append(state.log_probs),
        )
        probs = seen[0].exp()
        return float(torch.special.entr(probs).sum(-1).mean())

    assert entropy(0.3) < entropy(1.0)


def test_stream_ends_in_the_result_of_the_call(tiny_pipe) -> None:
    items = list(tiny_pipe.stream("The [SPAN:3] pub", steps=5, seed=2, num_samples=2))
    assert [item.step for item in items[:-1]] == list(range(5))
    assert isinstance(items[-1], GenerationResult)
    assert items[-1].texts == tiny_pipe("The [SPAN:3] pub", steps=5, seed=2, num_samples=2).texts
    assert items[-2].texts() == items[-1].texts
    tokens, certainty = items[0].best_tokens()
    assert len(tokens) == 2
    assert all(0 < p <= 1 for row in certainty for p in row)


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        (None, {"steps": 0}, "steps must be"),
        (5, {}, "text must be a string"),
        ("[SPAN:12", {}, "not closed"),
        ("[SPAN:99999999999]", {}, "tokens to write"),
        (None, {"sampler": "eulre"}, "euler"),
        (None, {"guidance": "lenght"}, "length"),
        ("a [SPAN:2]", {"guidance": Length(words=40)}, "words"),
    ],
)
def test_streaming_refuses_at_once_what_the_call_refuses(tiny_pipe, text, settings, words) -> None:
    with pytest.raises((TypeError, ValueError), match=words) as at_once:
        tiny_pipe.stream(text, **settings)
    assert torch.is_grad_enabled()
    with pytest.raises(at_once.type, match=words):
        tiny_pipe(text, **settings)


def test_streaming_leaves_gradients_on_between_steps(tiny_pipe) -> None:
    stream = tiny_pipe.stream(steps=2, seed=0)
    assert isinstance(next(stream), StepState)
    assert torch.is_grad_enabled()


def test_an_abandoned_or_failed_generation_leaves_the_pipeline_usable(tiny_pipe) -> None:
    before = tiny_pipe(steps=4, seed=0, sampler="dpm++2m").texts
    next(tiny_pipe.stream(steps=4, seed=0, sampler="dpm++2m"))

    def fail(pipe, step, state):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        tiny_pipe(steps=4, seed=0, callback_on_step_end=fail)
    assert tiny_pipe(steps=4, seed=0, sampler="dpm++2m").texts == before


def test_latents_can_be_had(tiny_pipe) -> None:
    assert tiny_pipe("The [SPAN:3] pub", num_samples=2, steps=2, seed=0, output_type="latents").shape == (2, 3, 16)


def test_half_precision(tiny_pipe_parts) -> None:
    import copy

    denoiser, tokenizer, schedule = tiny_pipe_parts
    pipe = DiffusionLMPipeline(copy.deepcopy(denoiser), tokenizer, "euler", schedule, max_length=16).to(torch.bfloat16)
    pipe.set_progress_bar_config(disable=True)
    assert all(pipe("The [SPAN:4] pub near [SPAN].", num_samples=2, steps=3, seed=0).texts)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 0}, "steps must be"),
        ({"steps": 2.5}, "steps must be"),
        ({"steps": True}, "steps must be an integer of at least 1, got True"),
        ({"num_samples": 0}, "num_samples"),
        ({"num_samples": True}, "num_samples"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"temperature": float("nan")}, "temperature must be positive"),
        ({"temperature": float("inf")}, "temperature must be positive and finite"),
        ({"seed": -1}, "seed must be an integer that is not negative, got -1"),
        ({"seed": 1.5}, r"seed must be an integer that is not negative, got 1\.5"),
        ({"seed": "x"}, "seed must be an integer that is not negative, got 'x'"),
        ({"seed": True}, "seed"),
        ({"text": ""}, "empty"),
        ({"text": []}, "empty"),
        ({"text": "a \ud800 [SPAN]"}, r"has '\\ud800' at character 2, half of a character"),
        ({"prompt": "name[\udcff]"}, r"has '\\udcff' at character 5"),
        ({"text": "nothing to fill"}, "no span"),
        ({"text": "a [SPAN:100001]"}, "100001 tokens to write in a span, a text may have 100000. Ask for fewer"),
        ({"text": "a [SPAN]", "max_span_length": 100001}, "100001 tokens to write"),
        ({"text": "a [SPAN]", "max_span_length": 0}, "max_span_length"),
        ({"max_length": 100_001}, "max_length must lie in 1..100000"),
        ({"sampler": "eular"}, "euler"),
        ({"output_type": "pt"}, "output_type"),
        ({"text": ["[SPAN]", "[SPAN]"], "prompt": ["a", "b", "c"]}, "one prompt for all"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_input_is_refused_before_work_starts(tiny_pipe, monkeypatch, arguments: dict, words: str) -> None:
    def worked(*args, **kwargs):
        raise AssertionError("the network ran")

    monkeypatch.setattr(tiny_pipe.denoiser, "forward", worked)
    with pytest.raises(ValueError, match=words):
        tiny_pipe(**arguments)


@pytest.mark.parametrize("guidance", [None, "pii"])
def test_a_network_that_gives_nan_is_named_with_the_step(tiny_pipe_parts, guidance) -> None:
    import copy

    denoiser, tokenizer, schedule = tiny_pipe_parts
    broken = copy.deepcopy(denoiser)
    with torch.no_grad():
        broken.head.bias.fill_(float("nan"))
    pipe = DiffusionLMPipeline(broken, tokenizer, "euler", schedule, max_length=16)
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(FloatingPointError, match="The denoiser gave NaN at step 0 of 2; load it in float32"):
        pipe(steps=2, seed=0, guidance=guidance)


def test_wrong_types_are_named(tiny_pipe) -> None:
    with pytest.raises(TypeError, match="int"):
        tiny_pipe(5)
    with pytest.raises(TypeError, match="prompt"):
        tiny_pipe(prompt=3)
    with pytest.raises(TypeError, match=r"callback_on_step_end must be a function of \(pipe, step, state\), got 5"):
        tiny_pipe(callback_on_step_end=5)
    with pytest.raises(ValueError, match="has 99999999999 tokens to write in a span"):
        tiny_pipe("The [SPAN:99999999999].")
    with pytest.raises(TypeError, match=r"stream\(\) has no argument 'stepz'; did you mean 'steps'\?"):
        tiny_pipe.stream(stepz=3)
    with pytest.raises(TypeError, match=r"pipe\(\) has no argument 'num_sample'; did you mean 'num_samples'\?"):
        tiny_pipe(num_sample=3)


@pytest.mark.parametrize("name", ["attempts", "weight", "below"])
def test_a_setting_of_plugins_given_to_the_pipeline_is_told_where_it_belongs(tiny_pipe, name):
    with pytest.raises(TypeError, match=rf"'{name}', which is a setting of plugins: guidance=Toxicity\({name}="):
        tiny_pipe(**{name: 3})


def test_a_device_that_is_not_there_is_refused_in_a_sentence(tiny_pipe):
    with pytest.raises(ValueError, match=r"The device 'gpu' cannot be used here .*; use device='cpu'"):
        tiny_pipe.to("gpu")
    assert tiny_pipe.to("cpu") is tiny_pipe


@pytest.mark.parametrize(
    ("name", "meant"),
    [("num_inference_steps", "steps"), ("generator", "seed"), ("num_images_per_prompt", "num_samples")],
)
def test_names_of_other_libraries_are_told_what_they_are_called_here(tiny_pipe, name, meant) -> None:
    with pytest.raises(TypeError, match=rf"pipe\(\) has no argument '{name}'; did you mean '{meant}'\?"):
        tiny_pipe(**{name: 3})


def test_numbers_of_numpy_are_numbers(tiny_pipe) -> None:
    plain = {"num_samples": 2, "steps": 3, "seed": 5, "batch_size": 4, "max_length": 9, "temperature": 0.5}
    theirs = {name: np.float64(value) if name == "temperature" else np.int64(value) for name, value in plain.items()}
    first = tiny_pipe(**plain, guidance=Length(words=(1, 4), attempts=1))
    second = tiny_pipe(**theirs, guidance=Length(words=(np.int64(1), np.int32(4)), weight=np.float32(1.0)))
    assert first.texts == second.texts
    assert json.loads(second.to_json())["settings"] == json.loads(first.to_json())["settings"]
    span = tiny_pipe("A [SPAN]", max_span_length=np.int64(2), steps=1, seed=0)
    assert span.texts == tiny_pipe("A [SPAN]", max_span_length=2, steps=1, seed=0).texts
    for wrong in (np.int64(0), np.float64(2.0), np.bool_(True)):
        with pytest.raises(ValueError, match="steps must be an integer of at least 1"):
            tiny_pipe(steps=wrong)


def test_ranges_are_rewritten(tiny_pipe) -> None:
    canvas = Canvas.from_ranges("The Mill is a pub.", [(4, 8)], length=3)
    text = tiny_pipe(canvas, steps=2, seed=0).texts[0]
    assert text.startswith("The ")
    assert text.endswith(" is a pub.")


def test_a_field_that_no_training_text_had_is_warned_of(tiny_pipe, monkeypatch) -> None:
    monkeypatch.setattr(tiny_pipe, "card", {"fields": ["name", "customer rating"]})
    known = "name[The Mill (a pub), say], customer rating[5 out of 5]"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny_pipe(prompt=known, steps=1, seed=0)
    with pytest.warns(UserWarning, match="the field 'colour', 'Name', .* its fields are: name, customer rating"):
        tiny_pipe(prompt=[f"{known}, colour[red]", "Name[The Mill]"], steps=1, seed=0)


def test_nothing_is_said_of_fields_where_the_card_lists_none(tiny_pipe) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny_pipe(prompt="colour[red]", steps=1, seed=0)

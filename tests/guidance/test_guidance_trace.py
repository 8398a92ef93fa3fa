"""The trace: a row for each step, sample and plugin; views, replay, and joining of batches."""

import json

import pytest

from diffusionlm.guidance import FunctionGuidance, Particles, Phrases, TextScorer

TEXT = "The [SPAN:5] is [SPAN:3]"


def few_pads(state):
    return state.probs[..., 10:40].sum((1, 2))


@pytest.fixture(scope="module")
def result(pipe):
    guidance = [FunctionGuidance(few_pads, weight=2.0, below=3.0, window=(0.7, 0.0)), Phrases(include=["Mill"])]
    return pipe([TEXT, "A [SPAN:4]"], num_samples=3, steps=4, seed=0, batch_size=4, guidance=guidance)


def test_every_step_plugin_and_sample_has_a_row(result):
    table = result.trace.to_pandas()
    assert set(table.columns) == {
        "step", "u", "gamma", "sample", "particle", "plugin", "energy", "measure", "weight", "kl", "kl_total", "entropy",
        "changes", "ess",
    }  # fmt: skip
    assert sorted(table["sample"].unique()) == list(range(6))
    assert len(table[table.plugin == "phrases"]) == 4 * 6
    assert sorted(table[table.plugin == "few_pads"].step.unique()) == [2, 3]  # u is 1, 0.75, 0.5, 0.25
    assert (table.kl >= -1e-6).all()
    assert (table.kl_total >= table.kl - 1e-4).all()
    assert (table.entropy > 0).all()
    assert table.ess.isna().all()


def test_json_holds_everything(result):
    data = json.loads(result.trace.to_json())
    assert len(data["records"]) == len(result.trace.records())
    assert len(data["goals"]) == 6
    assert set(data["finished"]) == {"few_pads"}


def test_the_replay_ends_with_the_text_of_the_last_step_on_each_canvas(result):
    for sample in range(6):
        replay = result.trace.replay(sample)
        assert len(replay) == 4
        assert replay[-1].startswith("The " if sample < 3 else "A ")
    with pytest.raises(IndexError, match="no sample 6; the trace has 6"):
        result.trace.replay(6)


def test_the_plot_draws_every_plugin(result, tmp_path):
    figure = result.trace.plot()
    figure.savefig(tmp_path / "trace.png")
    assert (tmp_path / "trace.png").stat().st_size > 10_000
    labels = {text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()}
    assert labels == {"few_pads", "phrases"}


@pytest.mark.parametrize(("view", "package"), [("plot", "matplotlib"), ("to_pandas", "pandas")])
def test_views_name_the_extra_that_they_need(result, monkeypatch, view, package):
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ImportError, match=rf"needs {package}: pip install 'diffusionlm-toolkit\[plots\]'"):
        getattr(result.trace, view)()


def test_a_replay_follows_the_particle_that_was_chosen(pipe):
    guided = pipe(TEXT, num_samples=3, steps=4, seed=0, guidance=TextScorer(len, strategy=Particles(count=3)))
    for sample, text in enumerate(guided.texts):
        assert guided.trace.replay(sample)[-1] == text
    assert guided.trace.to_pandas()["particle"].nunique() == 3


def test_without_guidance_there_is_no_trace(pipe):
    assert pipe(TEXT, steps=2, seed=0).trace is None


def test_one_sample_and_one_energy_are_said_as_one(pipe, result):
    one = pipe(TEXT, steps=2, seed=0, guidance=FunctionGuidance(few_pads, weight=2.0))
    assert str(one.trace).startswith("1 sample, 1 energy\n")
    assert str(result.trace).startswith("6 samples, 1 energy\n")

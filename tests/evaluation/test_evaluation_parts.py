"""Figures, the registry of tasks, judges apart from guides, prompts, times and electricity."""

import math
import socket
import time
from dataclasses import dataclass

import numpy as np
import pytest

from diffusionlm.evaluation.data import EvaluationData, MissingData, read_prompts
from diffusionlm.evaluation.electricity import Energy, EnergyMeter
from diffusionlm.evaluation.figures import KINDS, TaskResult, measure
from diffusionlm.evaluation.independence import GUIDE_LABEL, label_of
from diffusionlm.evaluation.registry import Task, available, make_task, register
from diffusionlm.evaluation.timing import exponent, ratio_of, take_turns
from diffusionlm.guidance import Guidance, Phrases

TEXTS = ["the mill is a cheap pub", "the vaults is a pub in the city", "a pub"]


# ---- figures --------------------------------------------------------------------------------------------------------


def test_kinds_are_the_measures_they_are_named_after():
    from diffusionlm.evaluation.diversity import distinct_n, ngram_entropy

    assert measure("x", "mean", [0.0, 1.0]).value == 0.5
    assert measure("x", "quotient", [(1, 2), (2, 2)]).value == 0.75
    assert measure("x", "perplexity", [(2.0, 4), (1.0, 1)]).value == pytest.approx(math.exp(3 / 5))
    assert measure("x", "entropy", TEXTS).value == pytest.approx(ngram_entropy(TEXTS))
    assert measure("x", "distinct_4", TEXTS).value == pytest.approx(distinct_n(TEXTS, 4))
    assert set(KINDS) == {"mean", "quotient", "perplexity", "entropy", "distinct_4"}


def test_an_interval_holds_the_value_and_one_item_has_none():
    found = measure("x", "mean", [0, 1] * 50)
    assert 0.35 < found.low < found.value < found.high < 0.65
    assert measure("x", "mean", [1]).low is None
    draw = np.random.default_rng(0)
    words = [" ".join(draw.choice(["a", "b", "c", "d"], 6, p=[0.5, 0.3, 0.1, 0.1])) for _ in range(40)]
    for kind in ("entropy", "distinct_4"):  # drawn with replacement, both would come out lower than they are
        found = measure("x", kind, words)
        assert found.low < found.value < found.high
    with pytest.raises(ValueError, match="needs items"):
        measure("x", "mean", [])


def test_runs_pair_where_their_items_stand_for_the_same():
    assert measure("x", "mean", [1, 2], keys="ab").pairing == measure("y", "mean", [3, 4], keys="ab").pairing
    assert measure("x", "mean", [1, 2], keys="ab").pairing != measure("x", "mean", [1, 2], keys="ac").pairing


def test_a_paired_comparison_sees_what_an_unpaired_one_cannot():
    from diffusionlm.evaluation.comparison import compare_results

    spread = np.random.default_rng(0).normal(0, 10, 60)

    def record(values, keys):
        result = TaskResult([measure("score", "mean", list(values), keys=keys, better="higher")])
        return {
            "version": "1", "settings": {}, "environment": {}, "tasks": {"t": result.to_dict()},
        }  # fmt: skip

    better = spread + 1 + np.random.default_rng(1).normal(0, 0.1, 60)
    (paired,), _ = compare_results(record(spread, range(60)), record(better, range(60)))
    (unpaired,), _ = compare_results(record(spread, range(60)), record(better, range(60, 120)))
    assert (paired.paired, paired.verdict) == (True, "better")
    assert (unpaired.paired, unpaired.verdict) == (False, "no difference seen")
    assert paired.low < 1 < paired.high


def test_diversity_is_compared_on_equal_numbers_of_texts():
    from diffusionlm.evaluation.comparison import compare_results

    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(list("abcdefghijklmnop"), 8)) for _ in range(40)]

    def record(items):
        result = TaskResult([measure("entropy", "entropy", items, better="higher")])
        return {"version": "1", "settings": {}, "environment": {}, "tasks": {"t": result.to_dict()}}

    (found,), _ = compare_results(record(texts), record(texts[:8]))
    assert (found.first, found.second, found.difference) == (found.second, found.second, 0.0)
    assert found.verdict == "no difference seen"


# ---- registry -------------------------------------------------------------------------------------------------------


def test_the_tasks_are_those_of_the_folder_in_their_order():
    names = list(available())
    assert {"fluency", "likelihood", "infilling", "control/length", "control/semantic", "speed"} <= set(names)
    assert names.index("fluency") < names.index("control/length") < names.index("speed")
    assert make_task("control/length", "full").per_target == 4
    assert make_task("control/length", "full", {"per_target": 1}).per_target == 1


@pytest.mark.parametrize("name", ["Upper", "", "two words", "a//b"])
def test_malformed_names_are_refused(name):
    with pytest.raises(ValueError, match="lower-case words joined"):
        register(name)


def test_two_tasks_of_one_name_are_refused_naming_both():
    with pytest.raises(ValueError, match=r"fluency.py:\d+ has it, and .*test_evaluation_parts.py:\d+"):

        @register("fluency")
        @dataclass
        class Mine(Task):
            count: int = 1

    with pytest.raises(TypeError, match="@dataclass below @register"):

        @register("mine")
        class NoDataclass(Task):
            pass


def test_a_task_of_ones_own_runs_in_the_harness(context, monkeypatch):
    from diffusionlm.evaluation import registry
    from diffusionlm.evaluation.harness import evaluate, plan

    monkeypatch.setattr(registry.TASKS, "_registered", dict(registry.TASKS._registered))

    @register("my/words")
    @dataclass
    class Words(Task):
        """How long texts are."""

        count: int = 2

        def run(self, context):
            return TaskResult([measure("words", "mean", [len(t.split()) for t in context.unguided(self.count).texts])])

    record = evaluate(plan(["my/words"], "small", {"my_words": {"count": 3}}, context), context)
    assert len(record["tasks"]["my/words"]["figures"][0]["items"]) == 3
    assert evaluate(plan(["my/words"], "small", {}, context), context)["tasks"]["my/words"]["settings"] == {"count": 2}


# ---- judges and guides ----------------------------------------------------------------------------------------------


class Asks(Guidance):
    """Asks a model."""

    model: object = None

    def energy(self, state):
        return state.probs.sum((-1, -2))


def test_a_judge_that_guides_is_refused_and_labelled_on_demand(tmp_path):
    folder = tmp_path / "judge"
    folder.mkdir()
    for model in (str(folder), "Detoxify", make_task):
        name = "detoxify" if model == "Detoxify" else model
        with pytest.raises(ValueError, match="is also the guide of the plugin 'Asks'"):
            label_of("a judge", [name], [Asks(model)], allow=False)
        assert label_of("a judge", [name], [Asks(model)], allow=True) == GUIDE_LABEL
    assert label_of("a judge", [str(folder)], [Asks("detoxify"), Phrases(include=["judge"])], allow=False) == ""


def test_the_harness_refuses_before_any_text_is_written(context, monkeypatch):
    from diffusionlm.evaluation.harness import plan

    context.guidance = {"_target_": f"{__name__}.Asks", "model": context.judge}
    with pytest.raises(ValueError, match="allow_guide_as_judge=true"):
        plan(["fluency"], "small", {}, context)
    context.allow_guide_as_judge = True
    (planned,) = plan(["fluency"], "small", {"fluency": {"count": 2, "temperatures": [], "references": 2}}, context)
    labels = {item.name: item.label for item in planned.task.run(context).figures}
    assert labels["guided: perplexity"] == GUIDE_LABEL
    assert labels["perplexity"] == ""


# ---- data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("prompts.txt", "\n \n", "is empty"),
        ("prompts.txt", "So\nThe\nSo\n", "line 3: the prompt of line 1 stands there again"),
        ("prompts.jsonl", '{"prompt": "So"}\n{"text": "x"}\n', "line 2: expected a text in the field 'prompt'"),
        ("prompts.jsonl", '{"prompt": "So"\n', "line 1: not JSON"),
    ],
)
def test_files_of_prompts_that_would_mislead_are_refused(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words):
        read_prompts(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no file of prompts"):
        read_prompts(tmp_path / "none.txt")


def test_prompts_are_read_from_lines_and_from_realtoxicityprompts_own_form(tmp_path):
    (tmp_path / "a.txt").write_text("So I\n\n  The man \n")
    (tmp_path / "b.jsonl").write_text('{"prompt": {"text": "So I", "toxicity": 0.2}}\n{"prompt": "The man"}\n')
    assert read_prompts(tmp_path / "a.txt") == read_prompts(tmp_path / "b.jsonl") == ["So I", "The man"]


def test_data_is_read_by_its_form_and_missing_data_says_what_to_set(tmp_path):
    (tmp_path / "valid.txt").write_text("One.\nTwo.\n")
    (tmp_path / "train.txt").write_text("name : The Mill||The Mill is good .\n")
    data = EvaluationData(root=str(tmp_path))
    assert sorted(data.held_out) == [("", "One."), ("", "Two.")]
    assert data.training == [("name[The Mill]", "The Mill is good.")]
    with pytest.raises(MissingData, match="set data.root=FOLDER"):
        _ = EvaluationData().held_out
    with pytest.raises(FileNotFoundError, match="is a folder, not a file: set data.root=FOLDER"):
        _ = EvaluationData(valid=str(tmp_path)).held_out
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="empty.txt holds no text"):
        _ = EvaluationData(valid=str(tmp_path / "empty.txt")).held_out


# ---- times and electricity ------------------------------------------------------------------------------------------


def test_exponents_and_ratios_of_known_costs():
    assert exponent([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)
    assert exponent([1, 2, 4], [5, 5, 5]) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="two positive sizes"):
        exponent([4], [1])
    times = take_turns({"slow": lambda: time.sleep(0.3), "quick": lambda: time.sleep(0.002)}, rounds=3)
    assert ratio_of(times["slow"], times["quick"], "wall").value > 2
    with pytest.raises(ValueError, match="a call and a round"):
        take_turns({}, 3)


def test_electricity_is_estimated_without_a_network_and_without_a_file(tmp_path, monkeypatch):
    pytest.importorskip("codecarbon")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the meter went to the network"))
    with EnergyMeter("FRA", cpu_watts=100).measure() as energy:
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
    assert energy.seconds >= 0.3
    assert 0 < energy.cpu_wh <= 100 * energy.seconds / 3600
    assert energy.memory_wh > 0
    assert 0 < energy.co2_grams < energy.wh  # less than a kilogram a kilowatt-hour
    assert "offline" in energy.how
    assert list(tmp_path.iterdir()) == []


def test_energies_add_and_scale():
    both = Energy(1, 2, 3, 4, 5, "so", "FRA") + Energy(1, 2, 3, 4, 5)
    assert both.wh == 12
    assert both.per(2).wh == 6
    assert both.per(4, 1000).co2_grams == 2000
    assert both.per(2).how == "so"


@pytest.mark.parametrize("settings", [{"country": "fra"}, {"country": "France"}, {"cpu_watts": 0}])
def test_settings_of_the_meter_are_checked(settings):
    pytest.importorskip("codecarbon")
    with pytest.raises(ValueError, match="energy."):
        EnergyMeter(**settings)


def test_a_missing_meter_names_the_extra(monkeypatch):
    from diffusionlm.evaluation import electricity as energy

    monkeypatch.setattr(energy.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"\[eval\]"):
        EnergyMeter()


def test_the_speed_task_times_every_axis(context):
    task = make_task("speed", settings={"batches": [1, 2], "lengths": [8, 16, 4096], "steps": [1, 2], "rounds": 1})
    task.contexts, task.backends = [2, 4, 4096], ["sdpa", "flash_attention_3"]
    result = task.run(context)
    assert {table.title for table in result.tables} == {
        f"Speed over {axis}" for axis in ("batch", "length", "steps", "sampler", "context", "attention", "plugins")
    }
    assert [row[0] for row in result.tables[1].rows] == [8, 16]  # what the model cannot take is left out
    rows = {table.title: [row[0] for row in table.rows] for table in result.tables}
    assert rows["Speed over context"] == [2, 4]
    assert rows["Speed over attention"] == ["sdpa"]
    values = {figure.name: figure.value for figure in result.figures}
    assert values["exponent over steps"] is not None
    assert values["exponent over context"] is not None
    assert values["peak memory, process"] > 10

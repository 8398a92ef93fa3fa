"""``diffusionlm concept`` and the benchmark of the hot fix, on small models."""

import json

import pytest

pytest.importorskip("faiss")

from diffusionlm.commands import concept


def test_a_concept_is_learned_saved_listed_and_used(tiny_pipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny_pipe.save_pretrained(tmp_path / "model")
    (tmp_path / "examples.txt").write_text("The Mill is a cheap pub.\n\nThe Mill is near the river.\n")
    arguments = ["learn", "mill", "examples.txt", "checkpoint=model", "steps=2", "vectors=3", "batch_size=2"]
    assert concept.main(arguments) == 0
    assert "concepts/mill.safetensors: 2 examples" in capsys.readouterr().out
    concept.main(["list"])
    assert capsys.readouterr().out.startswith("mill: 3 vectors")
    result = tiny_pipe("[CONCEPT:mill] The [SPAN:3]", steps=1)
    assert result.context == [[{"source": "concept", "name": "mill"}]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Write: diffusionlm concept learn"),
        (["learn", "mill"], "Write: diffusionlm concept learn"),
        (["learn", "mill", "examples.txt", "step=3"], "did you mean 'steps'"),
        (["learn", "mill", "examples.txt", "steps=few"], "steps needs a number"),
        (["learn", "mill", "empty.txt"], "empty.txt has no example"),
        (["learn", "mill", "latin.txt"], "'latin.txt' is not UTF-8 text: .* at byte 3; save it as UTF-8"),
        (["learn", "a/b", "examples.txt"], "name is made of"),
    ],
)
def test_wrong_arguments_are_sentences(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "examples.txt").write_text("The Mill.\n")
    with pytest.raises(ValueError, match=words):
        concept.main(arguments)


LINES = [
    "name : The Mill | food : Italian | area : riverside||The Mill has Italian food at the riverside .",
    "name : Browns | food : French | area : city centre||Browns has French food in the city centre .",
]


def test_the_hot_fix_benchmark_counts_what_texts_state(tiny_pipe, tmp_path):
    from benchmarks import bench_hot_fix

    (tmp_path / "valid.txt").write_text("\n".join(LINES))
    tiny_pipe.save_pretrained(tmp_path / "model")
    arguments = ["--model", str(tmp_path / "model"), "--data", str(tmp_path), "--facts", "4", "--steps", "2"]
    bench_hot_fix.main([*arguments, "--encoder", "model", "--out", str(tmp_path / "out")])
    record = json.loads(next((tmp_path / "out").glob("*.json")).read_text())
    assert record["facts"] == 4
    assert record["stores"] == 2  # two facts of each place
    assert record["right_passage"] > 0
    pairs = bench_hot_fix.read_e2e(tmp_path / "valid.txt")
    (change,) = bench_hot_fix.changes(pairs, 1, "retrieved", 0)
    assert change.new in change.passage
    assert change.old not in change.passage
    told = [f"It has {change.new}."], [f"It has {change.old}."], ["It is."]
    assert [bench_hot_fix.shares(texts, [change]) for texts in told] == [
        {"new": 1.0, "old": 0.0},
        {"new": 0.0, "old": 1.0},
        {"new": 0.0, "old": 0.0},
    ]


def test_generate_reads_sources_from_the_command_line(tiny_pipe, tmp_path, monkeypatch, capsys):
    from diffusionlm.cli import main

    monkeypatch.chdir(tmp_path)
    tiny_pipe.save_pretrained(tmp_path / "model")
    tiny_pipe.learn_concept("mill", ["The Mill."], vectors=2, steps=1, batch_size=1).save("concepts")
    from diffusionlm.context import Store

    Store.build(["The Mill is cheap.", "Browns is dear."], folder="places", encoder=tiny_pipe)
    call = ["generate", "The [SPAN:2] Mill", "checkpoint=model", "num_samples=1", "steps=1", "seed=0", "format=json"]
    written = "{concept: mill, retrieved: {store: places, k: 1, segment: prompt}}"
    assert main([*call, f"context={written}"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [used["source"] for used in said["samples"][0][0]["context"]] == ["concept", "retrieved"]
    assert main([*call, "context={concpt: mill}"]) == 2
    assert "did you mean 'concept'" in capsys.readouterr().err
    assert main([*call, "context={image: a.png}"]) == 2
    assert "no encoder for images" in capsys.readouterr().err

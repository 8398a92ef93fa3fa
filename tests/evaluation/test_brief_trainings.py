"""Benchmarks that train what they compare: rows for all, what was trained is kept, what is measured is what they say."""

import json
import random

import pytest

from benchmarks import (
    bench_bytes,
    bench_experts,
    bench_extension,
    bench_latents,
    bench_typos,
    brief_trainings,
)
from diffusionlm.evaluation.likelihood import TextNats, bits_a_character

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "condition_size": 8,
    "embedding_size": 8,
}
SETTINGS = [f"model.{name}={value}" for name, value in TINY.items()]


@pytest.fixture
def e2e(tmp_path):
    """Some sentences with their fields."""
    names, foods = ("The Mill", "The Vaults", "Zizzi"), ("Thai", "French", "Greek")
    lines = [f"name : {n} | food : {f}||{n} has {f} food in area {k} ." for n in names for f in foods for k in range(8)]
    for split in ("train", "valid"):
        (tmp_path / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def report(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))["figures"]


def of_bytes(folder, *more):
    files = ["--train", f"{folder}/train.txt", "--valid", f"{folder}/valid.txt", "--out", f"{folder}/report.json"]
    sizes = [
        "--runs",
        f"{folder}/runs",
        "--length",
        "64",
        "--bpe",
        "300",
        "--tera",
        "1e-6",
        "--rows",
        "2",
        "--levels",
        "1",
    ]
    return [*files, *sizes, *more, "--set", *SETTINGS]


def test_models_of_bytes_have_equal_arithmetic_and_are_trained_once(e2e, capsys):
    settings = [
        "--texts",
        "2",
        "--count",
        "2",
        "--samples",
        "2",
        "--steps",
        "1",
        "--turns",
        "1",
        "--valid-batches",
        "1",
    ]
    bench_bytes.main(of_bytes(e2e, *settings, "--patches", "0", "--processes", "gaussian", "masked"))
    figures = report(e2e)
    assert list(figures) == ["real text", "BPE", "BPE, masked"]
    assert all(own["bits"] > 0 and own["seconds_a_text"] > 0 for name, own in figures.items() if name != "real text")
    assert figures["BPE"]["steps"] == figures["BPE, masked"]["steps"] > 1
    capsys.readouterr()
    bench_typos.main(of_bytes(e2e, "--count", "2", "--steps", "1", "--samples", "1", "--patches", "0", "4"))
    out = capsys.readouterr().out
    assert "patches of 4: " in out
    assert "BPE: " not in out  # not trained again
    found = report(e2e)
    assert list(found) == ["BPE, as it is", "BPE, mistyped", "patches of 4, as it is", "patches of 4, mistyped"]
    assert found["BPE, mistyped"]["values"] == 4


def test_the_share_that_is_mistyped_is_what_was_asked_for_and_marks_stay():
    prompt = "name[The Golden Curry], food[Italian], area[riverside]"
    signs = sum(map(str.isalnum, prompt))
    for seed in range(20):
        wrong = bench_typos.mistype(prompt, 0.05, random.Random(seed))
        assert wrong != prompt or seed  # a swap of equal letters changes nothing
        assert [c for c in wrong if not c.isalnum()] == [c for c in prompt if not c.isalnum()]
        assert abs(len(wrong) - len(prompt)) <= round(0.05 * signs)
    assert bench_typos.mistype(prompt, 0.0, random.Random(0)) == prompt


def test_values_that_the_text_does_not_say_are_not_asked_for():
    pairs = [("name[Zizzi], food[Thai], area[city]", "Zizzi has Thai food."), ("name[Zizzi], food[Thai]", "Thai food.")]
    assert bench_typos.cases_of(pairs, 5, 0) == [(*pairs[0], ["Zizzi", "Thai"])]
    with pytest.raises(ValueError, match="No held-out text has a prompt"):
        bench_typos.cases_of(pairs[1:], 5, 0)


def test_experts_are_compared_after_equal_steps(e2e):
    shape = [*SETTINGS, "data.limits=[32]", "data.limit_weights=[]", "data.tokenizer.vocab_size=300"]
    sizes = ["--steps", "2", "--tokens", "64", "--valid-batches", "1", "--runs", f"{e2e}/runs"]
    bench_experts.main(["--data", str(e2e), *sizes, "--out", f"{e2e}/report.json", "--set", *shape])
    dense, experts = report(e2e).values()
    assert experts["parameters"] > dense["parameters"]
    assert 1 / 8 <= experts["router_max_load"] <= 1
    assert "router_max_load" not in dense


def test_networks_trained_short_and_long_are_measured_at_all_lengths(e2e, monkeypatch):
    monkeypatch.setattr(brief_trainings, "SHAPE", TINY)
    sizes = ["--lengths", "8", "16", "--count", "1", "--levels", "1", "--training-steps", "1", "--tokens", "32"]
    files = ["--train", f"{e2e}/train.txt", "--texts", f"{e2e}/valid.txt", "--runs", f"{e2e}/runs"]
    bench_extension.main([*files, *sizes, "--bpe", "300", "--out", f"{e2e}/report.json"])
    found = {name: {length: list(own) for length, own in row["nats"].items()} for name, row in report(e2e).items()}
    assert found == {
        "rope trained at 8": {"8": ["none"], "16": ["none", "linear", "base", "yarn", "blocks"]},
        "alibi trained at 8": {"8": ["none"], "16": ["none", "blocks"]},
        "rope trained at 16": {"8": ["none"], "16": ["none"]},
    }


def test_latents_are_bounded_with_and_without_what_was_said(tmp_path, monkeypatch):
    monkeypatch.setattr(brief_trainings, "SHAPE", TINY)
    talk = [
        f"User: I want {n} tables. System: {' '.join(map(str, range(n, n + 70)))} User: Yes, {n}." for n in range(30)
    ]
    (tmp_path / "talk.txt").write_text("\n".join(talk), encoding="utf-8")
    assert bench_latents.turns(["User: Hi. System: Yes? User: No."]) == [("User: Hi. System: Yes?", "User: No.")]
    sizes = [
        "--latents",
        "0",
        "4",
        "--training-steps",
        "1",
        "--tokens",
        "600",
        "--bpe",
        "300",
        "--texts",
        "2",
        "--levels",
        "1",
    ]
    files = ["--dialogues", f"{tmp_path}/talk.txt", "--runs", f"{tmp_path}/runs", "--out", f"{tmp_path}/report.json"]
    bench_latents.main([*files, *sizes])
    rows = report(tmp_path)
    assert list(rows) == ["0 latents", "4 latents"]
    assert all(row["with"] != row["without"] for row in rows.values())


def test_bits_a_character_are_all_bits_over_all_characters():
    nats = TextNats((2.0, 4.0), (3, 5))
    assert bits_a_character(nats, ["ab", "abcd"])[0] == pytest.approx(6 / 0.6931471805599453 / 6)
    with pytest.raises(ValueError, match="2 figures for 1 texts"):
        bits_a_character(nats, ["ab"])

"""The judges of toxicity and what the benchmark counts."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_toxicity import SAMPLES, diversity, measure, mention, written
from benchmarks.toxicity_judges import LinearJudge, ProfanityCheck, civil_comments, linear_judge, paradetox


def write_data(folder: Path) -> Path:
    rude, kind = (
        ["you stupid liar", "what a moron he is", "shut up you fool"],
        ["what a nice day", "you are a star", "he is kind"],
    )
    pairs = [{"toxic": f"{rude[i % 3]} number {i}", "neutral": [f"{kind[i % 3]} number {i}"]} for i in range(60)]
    (folder / "paradetox.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    rows = [
        {
            "text": "You are a fool. The weather is fine today.",
            "n_annotators": 3,
            "n_not_toxic": 0,
            "spans": [[10, 14, "Insult"]],
        },
        {"text": "Only one saw a fool here.", "n_annotators": 3, "n_not_toxic": 2, "spans": [[15, 19, "Insult"]]},
    ]
    (folder / "civil_comments.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_the_linear_judge_tells_rude_from_kind_and_is_kept(tmp_path):
    judge = linear_judge(write_data(tmp_path), tmp_path / "kept.safetensors")
    rude, kind = judge(["You stupid moron!", "What a nice, kind day."])
    assert rude > 0.5 > kind
    again = linear_judge(tmp_path / "nowhere", tmp_path / "kept.safetensors")
    assert again(["You stupid moron!"])[0] == pytest.approx(rude)
    assert again.accuracy == pytest.approx(judge.accuracy)
    assert LinearJudge.features("DON'T go") == LinearJudge.features("dont go!")
    with pytest.raises(FileNotFoundError, match="--toxicity-data"):
        linear_judge(tmp_path / "nowhere", tmp_path / "other.safetensors")


def test_sentences_take_the_label_that_most_annotators_gave(tmp_path):
    folder = write_data(tmp_path)
    assert civil_comments(folder / "civil_comments.jsonl") == [
        ("You are a fool.", 1),
        (" The weather is fine today.", 0),
    ]
    assert sum(label for _, label in paradetox(folder / "paradetox.jsonl")) == 60


def test_the_judge_in_an_environment_of_its_own_is_asked_by_json(tmp_path):
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\ncat > /dev/null\necho '[0.25, 0.75]'\n")
    stand_in.chmod(0o755)
    assert ProfanityCheck(stand_in)(["a", "b"]).tolist() == [0.25, 0.75]
    stand_in.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    with pytest.raises(RuntimeError, match="broken"):
        ProfanityCheck(stand_in)(["a"])
    with pytest.raises(FileNotFoundError, match="pip install alt-profanity-check"):
        ProfanityCheck(tmp_path / "none")


def test_figures_are_those_of_gehman_et_al():
    scores = np.zeros((4, SAMPLES))
    scores[0, 0], scores[1, :4] = 0.9, 0.6
    found = measure("judge", scores)
    assert found["judge: share"].value == pytest.approx(5 / (4 * SAMPLES))
    assert found["judge: maximum"].value == pytest.approx((0.9 + 0.6) / 4)
    assert found["judge: any"].value == 0.5


def test_only_what_was_written_is_judged_and_a_set_is_as_varied_as_itself():
    prompts = ["You are", "The food"]
    texts = [f"{prompt} number {k} of the day." for prompt in prompts for k in range(SAMPLES)]
    behind = written(texts, prompts)
    assert behind[0] == "number 0 of the day."
    same = diversity(behind, behind, 2, 0)
    assert same["entropy"].value == same["distinct-2"].value == 1.0


def test_words_for_groups_are_found_as_words():
    assert mention("my deaf friend", "disability and age")[0] == "deaf"
    assert mention("a deafening noise", "disability and age") is None

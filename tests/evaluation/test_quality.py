"""Faults are found by what stands in the training text, and the shares of a set are those of its texts."""

import itertools
import json
import lzma
import random

import numpy as np
import pytest
import torch

from benchmarks import bench_quality
from diffusionlm.commands.evaluate import main
from diffusionlm.evaluation.card import BEGIN, END, card_facts, card_section, write_card
from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.data import EvaluationData
from diffusionlm.evaluation.faults import find_faults
from diffusionlm.evaluation.harness import evaluate, plan, read_results
from diffusionlm.evaluation.judge import load_judge
from diffusionlm.evaluation.quality import Limits, text_quality
from diffusionlm.evaluation.registry import Unavailable, make_task
from diffusionlm.evaluation.seen_text import RUN, SeenText, tokens, tokens_with_ends
from diffusionlm.evaluation.text_files import read_texts

TRAINING = [
    "The Mill is a cheap pub.",
    "The Mill serves Italian food, and it is by the river in the old town.",
    "It’s a “cheap” pub near the river.",
]


@pytest.fixture
def seen() -> SeenText:
    return SeenText(TRAINING)


# ---- words ----------------------------------------------------------------------------------------------------------


def test_words_and_marks_are_case_folded_and_quotes_are_plain():
    assert tokens("It’s £20-25, SHE said.") == ["it", "'", "s", "£", "20", "-", "25", ",", "she", "said", "."]
    assert tokens("“Café”") == ['"', "café", '"']
    words, ends = tokens_with_ends("A Straße, no")
    assert words == ["a", "strasse", ",", "no"]
    assert ends == [1, 8, 9, 12]


# ---- faults of one text ---------------------------------------------------------------------------------------------


def test_neighbours_that_stand_together_nowhere_are_strange(seen):
    found = find_faults("The Mill serves cheap food.", seen)
    assert found.strange == ("serves cheap", "cheap food", "food .")
    assert found.pairs == 5
    assert not found.nonwords
    assert not find_faults("it's a cheap pub.".replace("cheap", '"cheap"'), seen).strange


def test_a_pair_is_not_seen_across_two_training_texts():
    assert find_faults("b c", SeenText(["a b", "c d"])).strange == ("b c",)
    assert find_faults("b c", SeenText(["a b c d"])).strange == ()


def test_repeats_are_words_and_commas_but_not_full_stops(seen):
    assert find_faults("The the Mill,, is is a pub...", seen).repeated == ("the", ",", "is")
    assert find_faults("It is. Is it", seen).repeated == ()


def test_nonwords_are_letters_that_neither_training_text_nor_lexicon_has(seen):
    assert find_faults("The Milll costs £2055 x1.", seen).nonwords == ("milll", "costs")
    known = SeenText(TRAINING, lexicon=["What it costs."])
    assert find_faults("The Milll costs £2055 x1.", known).nonwords == ("milll",)
    assert find_faults("What it costs.", known).strange, "the lexicon's pairs are not seen"


def test_known_text_at_the_beginning_does_not_count(seen):
    text = "Blurb blurb wrote: the Mill is is grand"
    start = len("Blurb blurb wrote:")
    found = find_faults(text, seen, start)
    assert found.nonwords == ("grand",)
    assert found.repeated == ("is",)
    assert found.strange == (": the", "is is", "is grand"), "the first pair reaches back to the known text"
    assert found.pairs == 5
    assert find_faults(text, seen, len(text)).empty
    with pytest.raises(ValueError, match="start must lie in 0..39"):
        find_faults(text, seen, 40)


def test_copies_are_whole_texts_and_runs_of_eight_words(seen):
    copied = find_faults("the mill  serves italian food, and it is by the river in the old town.", seen)
    assert copied.verbatim
    assert copied.copied_runs == copied.runs == len(tokens(TRAINING[1])) - RUN + 1
    half = find_faults("The Mill serves Italian food, and it costs more by the river.", seen)
    assert not half.verbatim
    assert (half.runs, half.copied_runs) == (7, 1)
    assert find_faults("A cheap pub.", seen).runs == 0
    behind = find_faults(TRAINING[1], seen, start=len("The Mill serves Italian food, and it is by the river in the"))
    assert behind.runs == 3, "runs that end behind the known text"


def test_a_training_text_is_measured_by_what_the_others_hold(seen):
    own = find_faults(TRAINING[0], seen, among_seen=True)
    assert own.strange == ("mill is", "is a", "a cheap", "cheap pub", "pub ."), "only 'the mill' stands in another one"
    assert own.nonwords == ()
    assert not own.verbatim
    twice = SeenText([TRAINING[0], TRAINING[0]])
    assert find_faults(TRAINING[0], twice, among_seen=True).strange == ()


def test_the_index_says_what_a_count_over_all_texts_says():
    draw = random.Random(0)
    texts = [" ".join(draw.choices("abcdefgh", k=draw.randint(1, 12))) for _ in range(300)]
    seen = SeenText(texts)
    words = [text.split() for text in texts]
    for pair in itertools.product("abcdefghx", repeat=2):
        held = sum(pair in itertools.pairwise(own) for own in words)
        assert seen.texts_with_pairs(pair).tolist() == [held]
    runs = {tuple(own[i : i + RUN]) for own in words for i in range(len(own) - RUN + 1)}
    for own in [[*draw.choices("abcdefgh", k=RUN)] for _ in range(200)] + [list(run) for run in list(runs)[:50]]:
        assert seen.holds_runs(own).tolist() == [tuple(own) in runs]
    assert seen.texts_with_word("a") == sum("a" in own for own in words)


def test_more_texts_than_one_chunk_are_one_index(monkeypatch):
    whole = SeenText(TRAINING * 3)
    monkeypatch.setattr("diffusionlm.evaluation.seen_text._CHUNK", 2)
    parts = SeenText(TRAINING * 3)
    words = tokens(TRAINING[1])
    assert parts.texts_with_pairs(words).tolist() == whole.texts_with_pairs(words).tolist()
    assert min(parts.texts_with_pairs(words)) == 3
    assert parts.texts == 9


def test_a_corpus_without_a_word_is_refused():
    with pytest.raises(ValueError, match="no word"):
        SeenText(["", " "])


# ---- a set of texts -------------------------------------------------------------------------------------------------


def test_shares_are_those_of_the_texts(seen):
    texts = ["The Mill is a cheap pub.", "The Mill Mill is a pub.", "The Mill is qwx.", ""]
    found = text_quality(texts, seen)
    shares = found.shares()
    assert found.faulty.tolist() == [False, True, True, True]
    assert shares["fault"] == 0.75
    assert shares["strange"] == 0.5
    assert shares["strange pairs"] == pytest.approx(4 / 16)
    assert (shares["repeat"], shares["nonword"], shares["empty"]) == (0.25, 0.25, 0.25)
    assert shares["verbatim copies"] == 0.25
    assert "tail" not in shares
    assert found.commonest()["repeats"] == [("mill", 1)]
    assert [figure.value for figure in found.figures("x: ") if figure.name == "x: fault"] == [0.75]


def test_limits_are_the_95th_percentile_and_stumble_counts_as_fault_but_tail_does_not(seen):
    real = np.stack([np.arange(1.0, 101), np.full(100, 10.0), np.arange(1.0, 101) / 2], axis=1)
    limits = Limits.of(real)
    assert limits.mean == pytest.approx(9.505)
    assert limits.worst == pytest.approx(47.525)
    texts = [TRAINING[0]] * 3 + [""]
    scores = np.array([[96.0, 10, 2], [50.0, 10, 48], [50.0, 10, 2], [0.0, 0, 0]])
    found = text_quality(texts, seen, scores=scores, limits=limits)
    assert found.tail.tolist() == [True, False, False, False]
    assert found.stumble.tolist() == [False, True, False, False]
    assert found.faulty.tolist() == [False, True, False, True]
    real_share = text_quality([TRAINING[0]] * 100, seen, scores=real, limits=limits).shares()
    assert real_share["tail"] == real_share["stumble"] == 0.05
    with pytest.raises(ValueError, match="20 texts"):
        Limits.of(real[:19])
    with pytest.raises(ValueError, match="4 texts"):
        text_quality(texts, seen, scores=scores[:2], limits=limits)
    with pytest.raises(ValueError, match="both or neither"):
        text_quality(texts, seen, scores=scores)


# ---- files of texts -------------------------------------------------------------------------------------------------


def test_texts_are_read_from_lines_json_lines_e2e_and_packed_files(tmp_path):
    (tmp_path / "a.txt").write_text("One.\n\nTwo.\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "Three."}) + "\n", encoding="utf-8")
    (tmp_path / "c.txt").write_text("name : The Mill||The Mill is a pub .\n", encoding="utf-8")
    with lzma.open(tmp_path / "d.para.txt.xz", "wt", encoding="utf-8") as stream:
        stream.write("Four.\n")
    (tmp_path / "README.md").write_text("no text", encoding="utf-8")
    assert list(read_texts(tmp_path)) == ["One.", "Two.", "Three.", "The Mill is a pub.", "Four."]
    assert list(read_texts([tmp_path / "d.para.txt.xz", tmp_path / "a.txt"])) == ["Four.", "One.", "Two."]


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        list(read_texts(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="holds no file of texts"):
        list(read_texts(tmp_path))
    (tmp_path / "a.csv").write_text("text\nOne.\n", encoding="utf-8")
    with pytest.raises(ValueError, match="does not tell its form"):
        list(read_texts(tmp_path / "a.csv"))
    (tmp_path / "b.jsonl").write_text('{"text": "One."}\n{"txt": "Two."}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"b.jsonl, line 2: expected an object with a text in 'text'"):
        list(read_texts(tmp_path / "b.jsonl"))
    (tmp_path / "c.txt.xz").write_bytes(b"not packed")
    with pytest.raises(ValueError, match="c.txt.xz, line 1"):
        list(read_texts(tmp_path / "c.txt.xz"))


# ---- judges ---------------------------------------------------------------------------------------------------------


def test_the_worst_token_is_the_least_likely_one(bench):
    judge = load_judge(bench / "judge")
    texts = ["The Mill is a cheap pub.", "Zizzi"]
    scores = judge.score(texts)
    for text, nats, worst in zip(texts, scores.nats, scores.worst, strict=True):
        ids = torch.tensor([[judge._start_id, *judge.tokenizer(text, add_special_tokens=False).input_ids]])
        with torch.no_grad():
            each = -judge.model(ids[:, :-1]).logits[0].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        assert nats == pytest.approx(float(each.sum()), abs=1e-4)
        assert worst == pytest.approx(float(each.max()), abs=1e-5)


def test_an_autoregressive_peer_of_ours_is_a_judge(tiny_pipe, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_pipe.tokenizer
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=tokenizer.vocab_size + 2, bos_token_id=None, eos_token_id=1, **shape)
    )
    model.save_pretrained(tmp_path / "peer")
    tokenizer.save_pretrained(tmp_path / "peer")
    judge = load_judge(tmp_path / "peer")
    ids = torch.tensor([[tokenizer.vocab_size, *tokenizer.encode("The Mill is a pub.")]])
    with torch.no_grad():
        each = -model.eval()(ids[:, :-1]).logits[0].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
    assert judge.score(["The Mill is a pub."]).nats[0] == pytest.approx(float(each.sum()), abs=1e-4)
    LlamaForCausalLM(LlamaConfig(vocab_size=tokenizer.vocab_size, **shape)).save_pretrained(tmp_path / "peer")
    with pytest.raises(ValueError, match="two more"):
        load_judge(tmp_path / "peer")


# ---- task and card --------------------------------------------------------------------------------------------------


@pytest.fixture
def prepared(context: Context, bench) -> Context:
    """A context with held-out texts enough for a percentile, and further words."""
    sentences = (bench / "e2e" / "valid.txt").read_text(encoding="utf-8").splitlines()
    (bench / "e2e" / "valid.txt").write_text("\n".join(sentences * 6) + "\n", encoding="utf-8")
    (bench / "more.txt").write_text("place\n", encoding="utf-8")
    context.data = EvaluationData(root=str(bench / "e2e"), lexicon=(str(bench / "more.txt"),))
    return context


def test_samples_guided_texts_and_real_text_are_measured_alike(prepared):
    prepared.guidance = {"length": {"words": 3}}
    task = make_task("quality", settings={"count": 4, "references": 24})
    task.check(prepared)
    result = task.run(prepared)
    values = {figure.name: figure.value for figure in result.figures}
    assert result.figures[0].name == "fault"
    for prefix in ("", "guided: ", "real text: "):
        assert {
            f"{prefix}{name}" for name in ("strange", "strange pairs", "repeat", "nonword", "tail", "stumble")
        } <= set(values)
    assert values["real text: tail"] <= 0.05
    # "Zizzi is an Italian place.": 'zizzi' is in no training text, 'place' in the lexicon
    assert values["real text: nonword"] == pytest.approx(0.25)
    assert values["real text: strange"] == pytest.approx(0.25)
    assert values["fault above real text"] == pytest.approx(values["fault"] - values["real text: fault"])
    assert values["guided: fault above unguided"] == pytest.approx(values["guided: fault"] - values["fault"])
    head = result.tables[0].head
    assert head == ["measure", "samples", "real text", "guided", "training text among itself"]


def test_a_second_judge_adds_its_tail(prepared, bench):
    task = make_task("quality", settings={"count": 2, "references": 20, "peer": str(bench / "judge")})
    task.check(prepared)
    values = {figure.name: figure.value for figure in task.run(prepared).figures}
    assert values["real text: peer tail"] == values["real text: tail"], "the same model judges"


def test_the_task_refuses_what_it_cannot_measure(prepared, bench):
    with pytest.raises(ValueError, match="at least 20"):
        make_task("quality", settings={"references": 19}).check(prepared)
    with pytest.raises(ValueError, match="no folder"):
        make_task("quality", settings={"peer": "nowhere"}).check(prepared)
    prepared.data = EvaluationData(valid=str(bench / "e2e" / "valid.txt"))
    with pytest.raises(Unavailable, match="no training texts"):
        make_task("quality").check(prepared)


def test_a_card_holds_figures_and_texts_and_is_written_again_in_place(prepared, bench, capsys):
    plan_ = plan(["quality"], "small", {"quality": {"count": 3, "references": 20}}, prepared)
    evaluate(plan_, prepared)
    record = read_results(prepared.folder)
    folder = bench / "model"
    index = json.loads((folder / "model_index.json").read_text())
    record["checkpoint"]["sha256"] = index["sha256"]
    (folder / "README.md").write_text("# Mine\n\nOwn words.\n", encoding="utf-8")
    readme = write_card(record, folder)
    first = readme.read_text(encoding="utf-8")
    assert first.startswith("# Mine\n\nOwn words.\n")
    assert first.count(BEGIN) == first.count(END) == 1
    assert "seeds 0 to 2, unedited" in first
    for number, text in enumerate(record["tasks"]["quality"]["samples"], start=1):
        shown = first.split(f"\n{number}. ")[1].splitlines()[0].replace("\\", "")
        assert shown == (text or "(empty)").replace("\\", "")
    facts = json.loads((folder / "model_index.json").read_text())["card"]["quality"]
    assert facts == card_facts(record)
    assert facts["texts"] == 3
    readme.write_text(first + "\nMore words.\n", encoding="utf-8")
    assert write_card(record, folder).read_text(encoding="utf-8") == first + "\nMore words.\n"
    readme.write_text(first.replace(END, ""), encoding="utf-8")
    with pytest.raises(ValueError, match="without"):
        write_card(record, folder)
    record["checkpoint"]["sha256"] = "f" * 64
    with pytest.raises(ValueError, match="other weights"):
        write_card(record, folder)
    with pytest.raises(ValueError, match="no result of the task 'quality'"):
        card_section({"tasks": {}})
    with pytest.raises(ValueError, match="card takes"):
        main(["card", "x"])


# ---- benchmark ------------------------------------------------------------------------------------------------------


def test_the_benchmark_has_a_column_for_each_number_of_steps_and_keeps_what_it_made(prepared, bench, capsys):
    arguments = [
        "--data",
        bench / "e2e",
        "--model",
        bench / "model",
        "--out",
        bench / "out",
        "--judge",
        bench / "judge",
    ]
    arguments += ["--count", 3, "--references", 24, "--steps", 1, 2, "--guidance", '{"length": {"words": 3}}']
    bench_quality.main([str(argument) for argument in arguments])
    first = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    columns = ["real text", "training text among itself", "1 step", "1 step, guided", "2 steps", "2 steps, guided |"]
    assert first[0].split(" | ") == ["| share of texts with", *columns]
    assert {line.split(" | ")[0] for line in first} >= {"| fault", "| strange pairs", "| stumble", "| copied 8-grams"}
    files = {file: file.stat().st_mtime_ns for file in (bench / "out" / "quality").glob("quality-*.json")}
    assert len(files) == 4
    bench_quality.main([str(argument) for argument in arguments])
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")] == first
    assert files == {file: file.stat().st_mtime_ns for file in files}


def test_the_benchmark_measures_texts_that_are_given(prepared, bench, capsys):
    (bench / "theirs.txt").write_text("The Mill is a cheap pub.\nThe Mill Mill.\n", encoding="utf-8")
    arguments = ["--data", bench / "e2e", "--out", bench / "out", "--judge", "", "--samples", bench / "theirs.txt"]
    bench_quality.main([str(argument) for argument in arguments])
    out = capsys.readouterr().out
    cells = {
        line.split(" | ")[0]: line.rstrip(" |").split(" | ")[-1] for line in out.splitlines() if line.startswith("|")
    }
    assert cells["| fault"] == cells["| repeat"] == cells["| verbatim copies"] == "0.500"
    assert "| stumble" not in cells
    assert "'mill mill'" in out
    with pytest.raises(SystemExit):
        bench_quality.main(["--references", "3"])
    assert "at least 20" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        bench_quality.main(["--guidance", "toxicity"])
    assert "expected JSON" in capsys.readouterr().err

"""Training of readers: what a batch shows, that the loss falls, and labelled files."""

import json

import numpy as np
import pytest
import torch

from diffusionlm import cli
from diffusionlm.guidance.classifiers.reader import Reader, ReaderConfig
from diffusionlm.guidance.classifiers.store import load_reader
from diffusionlm.text import TextTokenizer
from diffusionlm.training.classifiers.batches import UNKNOWN, NoisyTexts, label_names, token_tags
from diffusionlm.training.classifiers.labelled import Example, Fields, read_examples
from diffusionlm.training.classifiers.report import FEWEST, report_lines, without_nan
from diffusionlm.training.classifiers.settings import PLAIN_SIZE, ReaderSettings
from diffusionlm.training.classifiers.training import area_under_curve, evaluate_reader, train_reader
from diffusionlm.training.warm_start import pieces_of, warm_start_reader

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
KINDS = ("cheap", "Italian")


def examples(count=40):
    """Sentences, some of them about the river; the word is marked."""
    found = []
    for i in range(count):
        end = "the river." if i % 2 else "the city centre."
        text = f"The {('Mill', 'Eagle', 'Vaults')[i % 3]} is a {KINDS[i // 2 % 2]} pub near {end}"
        at = text.find("river")
        found.append(Example(text, {"river": float(i % 2)}, [(at, at + 5, "water")] if i % 2 else []))
    return found


def texts_of(pipe, **changes):
    settings = ReaderSettings(tokens_per_batch=200, **changes)
    return NoisyTexts(pipe, examples(), ["river"], ["O", "water"], settings)


@pytest.fixture
def pipe(tiny_pipe):
    tiny_pipe.max_length = 32
    return tiny_pipe


def test_tokens_take_the_label_of_the_characters_they_share(tiny_tokenizer):
    example = Example("The Mill is near the river.", spans=[(4, 8, "name"), (21, 26, "water")])
    code = tiny_tokenizer.backend.encode(" " + example.text, add_special_tokens=False)
    tags = token_tags(example, code.offsets, ["O", "name", "water"])
    marked = {
        kind: "".join(
            tiny_tokenizer.vocabulary.strings[i] for i, tag in zip(code.ids, tags, strict=True) if tag == number
        )
        for number, kind in ((1, "name"), (2, "water"))
    }
    assert marked["name"].strip() == "Mill"
    assert marked["water"].strip(" .") == "river"
    assert set(token_tags(Example("The Mill"), code.offsets[:2], ["O", "name"])) == {UNKNOWN}
    tagger = token_tags(Example("The Mill", spans=[(4, 8, "NOUN")]), [(0, 4), (4, 9)], ["NOUN", "DET"])
    assert tagger.tolist() == [UNKNOWN, 0]
    with pytest.raises(ValueError, match="none of the token labels"):
        token_tags(example, code.offsets, ["O", "name"])


def test_clean_rows_show_the_true_text_with_its_labels(pipe):
    texts = texts_of(pipe)
    tasks = set()
    for step in range(12):
        batch = texts.batch(step, clean=True)
        tasks.add((bool(batch.text.is_span.all()), int(batch.text.is_span.sum()) < int(batch.text.mask.sum())))
        assert bool((batch.gamma == pipe.schedule.gamma_min).all())
        for row in range(len(batch.text)):
            ids = batch.text.ids[row][batch.text.mask[row]].tolist()
            text = pipe.tokenizer.decode(ids)
            assert ("river" in text) == bool(batch.labels[row, 0])
            tags = batch.token_labels[row]
            marked = pipe.tokenizer.vocabulary.decode(batch.text.ids[row][tags == 1].tolist())
            assert marked.strip(" .") == ("river" if "river" in text else "")
            assert bool((tags[~batch.text.mask[row]] == UNKNOWN).all())
    assert len(tasks) > 1  # whole texts, and parts of known ones


def test_posteriors_come_from_every_noise_level_and_batches_are_repeatable(pipe):
    texts = texts_of(pipe, clean_share=0.3)
    seen = [texts.batch(step) for step in range(6)]
    again = texts.batch(3)
    torch.testing.assert_close(again.text.probs, seen[3].text.probs)
    assert again.token_labels.equal(seen[3].token_labels)
    gammas = torch.cat([batch.gamma[~batch.clean] for batch in seen])
    assert float(gammas.min()) < 0 < 3 < float(gammas.max())
    assert 0 < torch.cat([batch.clean for batch in seen]).float().mean() < 1
    noisy = torch.cat([b.text.probs[~b.clean].amax(-1).flatten() for b in seen])
    assert float(noisy.min()) < 0.5
    for batch in seen:
        sums = batch.text.probs.sum(-1)[batch.text.span_mask]
        torch.testing.assert_close(sums, torch.ones_like(sums))
        assert not batch.text.probs.requires_grad


def test_plain_batches_leave_the_denoiser_out_and_show_more_texts(pipe, monkeypatch):
    texts = texts_of(pipe, clean_share=0.0, surer_share=0.0, task_weights={"whole": 1.0})
    full = texts.batch(0, u=0.3)
    monkeypatch.setattr(type(pipe.denoiser), "forward", None)
    plain = texts.batch(0, u=0.3, plain=True)
    assert len(plain.text) == PLAIN_SIZE * len(full.text)
    sums = plain.text.probs.sum(-1)[plain.text.span_mask]
    torch.testing.assert_close(sums, torch.ones_like(sums))
    nearly_clean = texts.batch(0, u=0.001, plain=True)
    assert float(nearly_clean.text.probs.amax(-1)[nearly_clean.text.span_mask].mean()) > 0.9


def test_more_noise_hides_more_of_the_text(pipe):
    texts = texts_of(pipe)

    def certainty(u):
        batches = [texts.batch(step, u, clean=False) for step in range(4)]
        return np.mean([float(b.text.probs.amax(-1)[b.text.span_mask].mean()) for b in batches])

    assert certainty(0.1) > certainty(0.5) > certainty(0.95)


def test_the_loss_falls_and_the_reader_tells_texts_apart(pipe):
    logged = []
    settings = ReaderSettings(
        max_steps=150, tokens_per_batch=300, log_every=50, learning_rate=1e-2, clean_share=0.6, plain_share=0.3
    )
    before = torch.get_rng_state()
    reader = train_reader(
        pipe, examples(), settings=settings, shape={"hidden_size": 16, "num_hidden_layers": 1}, on_log=logged.append
    )
    assert torch.equal(before, torch.get_rng_state())
    assert not reader.training
    assert reader.config.sequence_labels == ["river"]
    assert reader.config.token_labels == ["O", "water"]
    assert reader.config.vocabulary_fingerprint == pipe.tokenizer.vocabulary.fingerprint
    assert [entry["step"] for entry in logged] == [50, 100, 150]
    assert logged[-1]["loss"] < 0.8 * logged[0]["loss"]
    found = evaluate_reader(reader, pipe, examples(20), levels=(None, 0.9), batches=2)
    assert found["clean"]["auc river"] > 0.95
    assert found["clean"]["auc river"] >= found["u=0.9"]["auc river"]
    assert found["clean"]["token F1"] > 0.8


def test_labels_that_are_unknown_do_not_count(pipe):
    half = [Example(e.text, {**e.labels, "other": 1.0} if i % 3 else {}, None) for i, e in enumerate(examples())]
    assert label_names(half) == (["other", "river"], [])
    texts = NoisyTexts(pipe, half, ["other", "river"], [], ReaderSettings(tokens_per_batch=200))
    batch = texts.batch(0)
    assert batch.labels.isnan().any(1).equal(batch.labels.isnan().all(1))
    assert batch.labels.isnan().any()
    reader = train_reader(pipe, half, settings=ReaderSettings(max_steps=2, tokens_per_batch=200))
    assert reader.token_head is None
    assert all(bool(torch.isfinite(p).all()) for p in reader.parameters())


def test_nothing_to_learn_and_texts_that_are_too_long_are_refused(pipe):
    with pytest.raises(ValueError, match="nothing to learn"):
        train_reader(pipe, [Example("The Mill")])
    with pytest.raises(ValueError, match="No example has between 1 and 32 tokens"):
        train_reader(pipe, [Example("The Mill " * 60, {"a": 1.0})])
    with pytest.raises(ValueError, match="clean_share must lie in"):
        ReaderSettings(clean_share=2.0)


def test_the_area_under_the_curve_counts_ties_half():
    assert area_under_curve(torch.tensor([0.1, 0.9, 0.5]), torch.tensor([0.0, 1.0, 1.0])) == 1.0
    assert area_under_curve(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0])) == 0.5
    unknown = torch.tensor([0.0, 1.0, float("nan")])
    assert area_under_curve(torch.tensor([0.9, 0.1, 0.5]), unknown) == 0.0
    assert np.isnan(area_under_curve(torch.tensor([0.9]), torch.tensor([1.0])))


def test_labelled_files_of_every_form(tmp_path):
    rows = [
        {"text": "What a fool.", "label": 1, "spans": [[7, 11, "INSULT"], [0, 4, "X"]]},
        {"text": "Fine.", "label": 0, "spans": []},
        {"text": "Who knows?"},
    ]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    found = read_examples(file, Fields(types={"INSULT": "toxic"}))
    assert found[0] == Example("What a fool.", {"label": 1.0}, [(7, 11, "toxic")])
    assert (found[1].spans, found[2].spans, found[2].labels) == ([], None, {})
    table = tmp_path / "b.csv"
    table.write_text('text,tone,toxic\n"Go, please.",polite,0\nGo.,rude,0.6\n')
    polite, rude = read_examples(table, Fields(labels=["tone", "toxic"], threshold=0.5))
    assert polite.labels == {"polite": 1.0, "rude": 0.0, "toxic": 0.0}
    assert rude.labels == {"polite": 0.0, "rude": 1.0, "toxic": 1.0}
    lists = tmp_path / "c.jsonl"
    lists.write_text('{"text": "a", "labels": ["x"]}\n{"text": "b", "labels": {"x": 0, "y": null}}\n')
    assert [e.labels for e in read_examples(lists)] == [{"x": 1.0}, {"x": 0.0}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"txt": "a", "label": 1}', "Did you mean 'txt'"),
        ("a.jsonl", '{"text": "a", "label": 7}', "must be a probability"),
        ("a.jsonl", '{"text": "a", "spans": [[0, 9, "X"]]}', "lies outside the text"),
        ("a.jsonl", '{"text": "a"}', "has labels in 'label', 'labels'"),
        (
            "a.jsonl",
            '{"text": "a", "tone": "rude"}',
            "its fields are text, tone. Say which hold them with data.label_field",
        ),
        ("a.jsonl", "{", "cannot be read"),
        (
            "a.txt",
            "The Mill is a pub.",
            r"line 1 is no JSON object: 'The Mill is a pub\.'\. Labelled texts are JSON lines",
        ),
        ("a.json", '[{"text": "a", "label": 1}]', "line 1 is no JSON object"),
        ("a.jsonl", '{"text": 3, "label": 1}', "the field 'text' holds int, not text"),
        ("a.csv", "text,label,label\na,x,y\n", "the field 'label' twice"),
        ("a.csv", 'text,label\n"a,x\n', "unexpected end of data"),
    ],
)
def test_files_that_do_not_serve_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_examples(tmp_path / name)


def test_the_command_trains_writes_and_reports(tiny_pipe, tmp_path, capsys):
    tiny_pipe.max_length = 32
    tiny_pipe.save_pretrained(tmp_path / "model")
    rows = [{"text": e.text, "labels": dict(e.labels), "spans": e.spans} for e in examples()]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    target = tmp_path / "model" / "readers" / "river"
    arguments = [
        "train-classifier",
        "name=river",
        f"checkpoint={tmp_path / 'model'}",
        f"data.train={tmp_path / 'data.jsonl'}",
        "data.holdout=0.2",
        f"export={target}",
        "trainer.max_steps=3",
        "trainer.tokens_per_batch=150",
        "shape.hidden_size=16",
    ]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "auc river" in said
    assert "u is the noise at which the reader saw the texts" in said
    assert "These figures say little: the held-out texts are too few" in said
    reader = load_reader(target, tiny_pipe.tokenizer.vocabulary)
    assert reader.config.card["texts"] == 32
    before = (target / "model.safetensors").read_bytes()
    assert cli.main([*arguments, "seed=1"]) == 2
    assert "holds a reader already; give another export=FOLDER, or overwrite=true" in capsys.readouterr().err
    assert (target / "model.safetensors").read_bytes() == before
    assert cli.main([*arguments, "seed=1", "overwrite=true"]) == 0
    assert (target / "model.safetensors").read_bytes() != before
    assert cli.main(["train-classifier"]) == 2
    assert "data.train is not set" in capsys.readouterr().err


def test_figures_of_few_texts_are_said_to_mean_little():
    many = [Example("A.", {"rude": float(i % 2)}, [(0, 1, "X")]) for i in range(2 * FEWEST)]
    figures = {"clean": {"auc rude": 0.9, "token F1": 0.5}}
    assert len(report_lines(figures, many, ["rude"], ["O", "X"])) == 2
    (*_, warning) = report_lines(figures, many[:-1], ["rude"], ["O", "X"])
    assert f"too few ({FEWEST - 1} with 'rude' and {FEWEST} without)" in warning
    (*_, warning) = report_lines({"clean": {"auc rude": float("nan")}}, [], ["rude"], ["O", "X"])
    assert "(0 with 'rude' and 0 without; 0 spans of 'X')" in warning
    assert "auc rude unknown" in report_lines({"clean": {"auc rude": float("nan")}}, [], ["rude"], [])[0]
    assert without_nan({"clean": {"a": float("nan"), "b": 0.5}}) == {"clean": {"a": None, "b": 0.5}}


def test_a_reader_starts_from_that_of_another_vocabulary(tiny_pipe, tiny_tokenizer):
    source = train_reader(
        tiny_pipe, examples(), settings=ReaderSettings(max_steps=2, tokens_per_batch=150), shape=SMALL
    )
    other = TextTokenizer.train_bpe([example.text for example in examples()], vocab_size=280)
    rows = pieces_of(other, tiny_tokenizer)
    reader = Reader(ReaderConfig(other.vocab_size, "", ["river"], source.config.token_labels, **SMALL))
    warm_start_reader(reader, other, source, tiny_tokenizer)
    for i in range(other.vocab_size):
        torch.testing.assert_close(reader.table[i], source.table[rows[i]].mean(0))
    assert torch.equal(reader.pool.query, source.pool.query)
    strange = Reader(ReaderConfig(other.vocab_size, "", ["lake"], source.config.token_labels, **SMALL))
    with pytest.raises(ValueError, match=r"sequence_labels \['river'\], the new one \['lake'\]"):
        warm_start_reader(strange, other, source, tiny_tokenizer)


def test_the_command_says_which_readers_there_are_to_start_from(tiny_pipe, tmp_path, capsys):
    tiny_pipe.save_pretrained(tmp_path / "model")
    (tmp_path / "data.jsonl").write_text(json.dumps({"text": "A pub.", "label": 1}) + "\n")
    where = [f"checkpoint={tmp_path / 'model'}", f"init={tmp_path / 'model'}", f"data.train={tmp_path / 'data.jsonl'}"]
    assert cli.main(["train-classifier", "name=river", *where, f"data.valid={tmp_path / 'data.jsonl'}"]) == 2
    assert "has no reader 'river'; it has: none" in capsys.readouterr().err


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_labels_that_are_padded_empty_or_called_na(tmp_path, mark):
    csv_rows = "text , label\nA., toxic \nB.,toxic\nC.,\nD., \nE.,NA\nF.,nan\n,toxic\n"
    json_rows = [
        {"text": "A.", "label": " toxic "}, {"text": "B.", "label": "toxic"}, {"text": "C.", "label": ""},
        {"text": "D.", "label": " "}, {"text": "E.", "label": "NA"}, {"text": "F.", "label": "nan"},
        {"text": " ", "label": "toxic"},
    ]  # fmt: skip
    (tmp_path / "a.csv").write_text(mark + csv_rows, encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(mark + "\n".join(map(json.dumps, json_rows)), encoding="utf-8")
    others = {"NA": 0.0, "nan": 0.0}
    wanted = {
        "A.": {"toxic": 1.0, **others}, "B.": {"toxic": 1.0, **others}, "C.": {}, "D.": {},
        "E.": {"toxic": 0.0, "NA": 1.0, "nan": 0.0}, "F.": {"toxic": 0.0, "NA": 0.0, "nan": 1.0},
    }  # fmt: skip
    for name in ("a.csv", "a.jsonl"):
        assert {example.text: example.labels for example in read_examples(tmp_path / name)} == wanted


def test_padded_names_in_lists_mappings_and_spans_are_one_label(tmp_path):
    rows = [
        {"text": "A fool.", "labels": [" toxic", ""], "spans": [[2, 6, " INSULT "]]},
        {"text": "B.", "labels": {"toxic ": 0.5}, "spans": " "},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    first, second = read_examples(tmp_path / "a.jsonl")
    assert (first.labels, first.spans) == ({"toxic": 1.0}, [(2, 6, "INSULT")])
    assert (second.labels, second.spans) == ({"toxic": 0.5}, None)

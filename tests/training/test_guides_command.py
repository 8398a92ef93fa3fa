"""``diffusionlm guides``: a miniature model gets its guides from what is in the package, and they steer it."""

import itertools
import json

import pytest
import torch

from diffusionlm import cli
from diffusionlm.guidance import Constituents, Dependencies, PartOfSpeech, PersonalNames
from diffusionlm.guidance.classifiers.reader import Reader, ReaderConfig
from diffusionlm.guidance.syntax.parts_of_speech import CERTIFIED
from diffusionlm.guidance.syntax.tables import load_tables
from diffusionlm.guidance.syntax.words import split_words
from diffusionlm.pipeline import DiffusionLMPipeline
from diffusionlm.training.transfer import readers as transfer
from diffusionlm.training.transfer.texts import texts_like

TEXTS = [
    f"The {name} is a {kind} pub near the {place}."
    for name in ("Mill", "Eagle", "Vaults")
    for kind in ("cheap", "good")
    for place in ("river", "station")
]
MADE_UP = [
    {"text": "The waiter is a fool.", "prompt": "", "labels": ["toxicity", "insult"], "spans": [[16, 20, "INSULT"]]},
    {"text": "Ask for Jane Doe.", "prompt": "", "labels": [], "spans": [[8, 16, "PERSON"], [0, 3, "PHONE"]]},
]


@pytest.fixture
def saved(tiny_pipe, tmp_path):
    """A pipeline folder whose card names its training texts."""
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    tiny_pipe.card = {"data": {"train": str(tmp_path / "texts.txt"), "max_length": 24}}
    tiny_pipe.save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.fixture
def small_teacher(monkeypatch, tiny_tokenizer):
    """A teacher of another vocabulary in place of the bundled one: small, so that training takes a moment."""
    from diffusionlm.text import TextTokenizer

    other = TextTokenizer.train_bpe([row["text"] for row in MADE_UP] * 3 + TEXTS, 300)

    def teacher_of(name):
        labels = ["insult", "obscene", "toxicity"] if name == "toxicity" else []
        tags = ["O", "toxic"] if name == "toxicity" else ["O", "PERSON"]
        size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = ReaderConfig(len(other.vocabulary), "", labels, tags, pad_token_id=other.pad_id, **size)
        return Reader(config).eval(), other

    monkeypatch.setattr(transfer, "teacher_of", teacher_of)


def test_one_command_makes_all_guides_and_they_steer(saved, small_teacher, monkeypatch, capsys):
    monkeypatch.setattr("diffusionlm.corpora.guestbook.corpus.rows", lambda *given: iter(MADE_UP * 8))
    assert cli.main(["guides", "--for", str(saved), "--steps", "3"]) == 0
    said = capsys.readouterr().out
    assert "12 texts" in said
    assert "trained on" in said
    assert str(saved / "readers") in said
    pipe = DiffusionLMPipeline.from_pretrained(saved)
    pipe.set_progress_bar_config(disable=True)
    tables = load_tables(saved / "readers" / "part-of-speech")
    assert tables.fingerprint == pipe.tokenizer.vocabulary.fingerprint
    result = pipe("The Mill is a [SPAN:2] near the river.", guidance=["toxicity", PersonalNames()], steps=2, seed=0)
    assert len(result.texts) == 1
    pattern = pipe(steps=2, seed=0, guidance=PartOfSpeech("DET NOUN AUX DET ADJ NOUN .*"))
    assert all(pattern.certificates[0].values())
    folder, vocabulary = saved / "readers", pipe.tokenizer.vocabulary
    for plugin in (
        Constituents("NP 0-1", windows=folder / "constituents"),
        Dependencies("det(1, 0)", windows=folder / "dependencies"),
    ):
        result = pipe(steps=2, seed=0, num_samples=12, guidance=plugin)
        told = [held[f"{plugin.title}: {plugin.wish}"] for held in result.certificates]
        read = [obeys(plugin.automaton(vocabulary), tables, vocabulary, text) for text in result.texts]
        assert told == read
        assert (
            sum(told) >= 8
        )  # weights that were never trained spell words that no tagger knows, and it is said of the others


def obeys(automaton, tables, vocabulary, text):
    """Whether the first four words can be read so, by trying every reading; unknown ones and those behind may be anything."""
    choices = tables.choices(vocabulary, text, split_words(text), CERTIFIED)
    rest = ["X"] * len(choices[4:])
    return all(
        any(
            automaton.accepts([*(one or other for one, other in zip(known, given, strict=True)), *rest])
            for known in itertools.product(*(sorted(own) or [""] for own in choices[:4]))
        )
        for given in itertools.product(*([""] if own else ["AUX", "DET", "NOUN", "X"] for own in choices[:4]))
    )


def test_what_is_there_is_replaced_only_when_asked(saved, capsys):
    assert cli.main(["guides", "--for", str(saved), "--only", "syntax"]) == 0
    before = (saved / "readers" / "part-of-speech" / "config.json").stat().st_mtime_ns
    assert cli.main(["guides", "--for", str(saved), "--only", "syntax"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main(["guides", "--for", str(saved), "--only", "syntax", "--overwrite"]) == 0
    assert (saved / "readers" / "part-of-speech" / "config.json").stat().st_mtime_ns > before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--for"),
        (["--for", "restaurant"], "--out FOLDER"),
        (["--for", "nowhere"], "Unknown checkpoint"),
        (["--for", "restaurant", "--out", "x", "--only", "toxicty"], "did you mean 'toxicity'"),
        (["--for", "restaurant", "--out", "x", "--steps", "0"], "--steps"),
    ],
)
def test_mistakes_are_told_in_a_sentence_before_anything_is_loaded(arguments, said, capsys):
    assert cli.main(["guides", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_texts_come_from_files_then_from_the_card_then_from_the_model(tiny_pipe, tmp_path):
    said = []
    file = tmp_path / "mine.txt"
    file.write_text("One.\nTwo.\nOne.\n", encoding="utf-8")
    assert texts_like(tiny_pipe, [str(file)], say=said.append) == [("", "One."), ("", "Two.")]
    assert len(texts_like(tiny_pipe, [str(file)], most=1, say=said.append)) == 1
    tiny_pipe.card = {"data": {"train": [{"path": str(file), "weight": 1.0}], "text_field": "text"}}
    assert len(texts_like(tiny_pipe, say=said.append)) == 2
    tiny_pipe.card = {"data": {"train": str(tmp_path / "gone.txt")}}
    written = texts_like(tiny_pipe, samples=3, steps=2, say=said.append)
    assert 0 < len(written) <= 3
    assert "gone.txt" in said[-1]
    assert "--texts" in said[-1]
    with pytest.raises(FileNotFoundError, match="nothing.txt"):
        texts_like(tiny_pipe, [str(tmp_path / "nothing.txt")], say=said.append)


def test_the_teachers_words_become_spans_of_characters():
    _, tokenizer = transfer.teacher_of("names")
    pairs = [("", "Ask for Jane Doe at the bar."), ("", "The food was fine and the staff were kind.")]
    teacher, _ = transfer.teacher_of("names")
    examples = transfer.read_by(teacher, tokenizer, pairs)
    assert [example.text for example in examples] == [text for _, text in pairs]
    assert [(examples[0].text[a:b], kind) for a, b, kind in examples[0].spans] == [("Jane Doe", "PERSON")]
    assert examples[1].spans == []


def test_the_bundled_tagger_tags_and_goes_round_files(tmp_path):
    from diffusionlm.training.syntax.files import bundled_tagger, load_tagger, save_tagger

    tagger = bundled_tagger()
    words = ["The", "waiter", "quickly", "brought", "three", "cold", "drinks", "."]
    assert tagger.tag([words]) == [["DET", "NOUN", "ADV", "VERB", "NUM", "ADJ", "NOUN", "PUNCT"]]
    save_tagger(tagger, tmp_path / "tagger", {"data": "none"})
    again = load_tagger(tmp_path / "tagger")
    torch.testing.assert_close(again.probabilities([words], "upos"), tagger.probabilities([words], "upos"))
    assert json.loads((tmp_path / "tagger" / "config.json").read_text())["card"] == {"data": "none"}
    (tmp_path / "tagger" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="cannot be read"):
        load_tagger(tmp_path / "tagger")

"""The guestbook corpus: the same for the same seed, spans where they say, English that agrees, varied at size."""

import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

pytest.importorskip("faker", reason="pip install 'diffusionlm-toolkit[corpora]'")

from diffusionlm import cli
from diffusionlm.corpora.guestbook import write_corpus
from diffusionlm.corpora.guestbook.corpus import rows
from diffusionlm.corpora.guestbook.grammar import Choice, Slot
from diffusionlm.corpora.guestbook.scene import AGREE, NARRATOR
from diffusionlm.corpora.guestbook.texts import grammar, make_text
from diffusionlm.corpora.sources import TextSource

TEMPLATES = (
    "My card {{credit_card_number}} is lost.\nWrite to {{email}} or call {{phone_number}}.\n{{person}}\\n{{address}}\n"
)
JIGSAW = {"toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack", "sexual_explicit"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    file = tmp_path_factory.mktemp("templates") / "templates.txt"
    file.write_text(TEMPLATES)
    return list(rows("train", 1500, seed=0, templates=file))


def spans_of(row, *types):
    return [row["text"][start:end] for start, end, kind in row["spans"] if not types or kind in types]


def leaks(row):
    return any(kind != "INSULT" for _, _, kind in row["spans"])


# ---- reproducible -------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    sizes = {"size": 30, "valid_size": 10, "test_size": 5}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_corpus(tmp_path / name, seed=seed, **sizes)
    for split, size in (("train", 30), ("valid", 10), ("test", 5)):
        a, b, c = ((tmp_path / name / f"{split}.jsonl").read_bytes() for name in "abc")
        assert a == b != c
        assert len(a.splitlines()) == size


def test_another_process_gives_the_same_texts(tmp_path):
    """Sets are iterated in another order in every process; nothing may depend on that."""
    code = (
        "import sys; from diffusionlm.corpora.guestbook.corpus import rows; from diffusionlm.corpora.guestbook.personal import "
        "Persona, LOCALES; sys.stdout.write(repr([*rows('t', 200)]) + repr([getattr(Persona(str(n), place), kind) for n in "
        "range(5) for place in LOCALES for kind in ('person', 'address', 'organization', 'iban', 'ssn', 'ip', 'email')]))"
    )
    outputs = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000


def test_a_text_does_not_depend_on_those_before_it():
    alone = make_text("7/train/40")
    for number in range(35, 40):
        make_text(f"7/train/{number}")
    assert make_text("7/train/40") == alone


def test_splits_do_not_share_texts():
    train = {row["text"] for row in rows("train", 400)}
    valid = [row["text"] for row in rows("valid", 400)]
    long = [text for text in valid if len(text.split()) > 12]
    assert len(long) > 200
    assert not train.intersection(long)


# ---- fields -------------------------------------------------------------------------------------------------------------


def test_spans_point_at_what_they_name(corpus):
    shape = {
        "EMAIL_ADDRESS": r"[\w.]+@[\w.]+\.\w+",
        "PHONE_NUMBER": r"\+?[\d ().-]{9,}",
        "US_SSN": r"\d{3}-\d{2}-\d{4}",
        "IP_ADDRESS": r"[\d.]{7,15}|[0-9a-f:]+",
        "CREDIT_CARD": r"[\d -]{15,19}",
        "INSULT": r"[A-Za-z' ]+",
    }
    seen = Counter()
    for row in corpus:
        for start, end, kind in row["spans"]:
            assert 0 <= start < end <= len(row["text"])
            word = row["text"][start:end]
            assert word == word.strip()
            if kind in shape:
                assert re.fullmatch(shape[kind], word), (kind, word)
            seen[kind] += 1
    wanted = "INSULT PERSON PHONE_NUMBER EMAIL_ADDRESS CREDIT_CARD IBAN_CODE US_SSN ADDRESS ORGANIZATION IP_ADDRESS"
    assert set(wanted.split()) | {"DATE_OF_BIRTH", "URL", "PASSWORD"} <= set(seen)


def test_every_card_number_passes_the_luhn_sum(corpus):
    cards = [re.sub(r"\D", "", card) for row in corpus for card in spans_of(row, "CREDIT_CARD")]
    assert len(cards) > 50
    for card in cards:
        doubled = [sum(divmod(2 * int(d), 10)) for d in card[-2::-2]]
        assert (sum(doubled) + sum(map(int, card[-1::-2]))) % 10 == 0, card


def test_every_iban_has_its_check_digits(corpus):
    ibans = [iban.replace(" ", "") for row in corpus for iban in spans_of(row, "IBAN_CODE")]
    assert len(ibans) > 10
    for iban in ibans:
        assert int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1, iban


def test_digits_stand_only_in_spans_prices_and_small_numbers(corpus):
    for row in corpus:
        text = list(row["text"])
        for start, end, _ in row["spans"]:
            text[start:end] = "x" * (end - start)
        assert not re.search(r"\d{4,}", "".join(text)), row["text"]


def test_rude_words_make_a_text_toxic_and_nothing_else_does(corpus):
    for row in corpus:
        rude = any(kind == "INSULT" for _, _, kind in row["spans"])
        if "tone[" in row["prompt"]:
            assert ("tone[rude]" in row["prompt"]) == rude, row
        assert row["toxic"] == int(rude) == int(bool(row["labels"]))
        assert set(row["labels"]) <= JIGSAW
        if not rude:
            assert not re.search(r"\b(idiots?|morons?|crap|damn|clowns?|garbage)\b", row["text"], re.IGNORECASE)


def test_groups_of_people_are_mentioned_in_civil_texts_only(corpus):
    groups = re.compile(
        r"\b(gay|lesbian|Muslim|Jewish|deaf|blind|black(?! pudding)|disabled|elderly|Hindu|Asian)\b(?! [A-Z])"
    )
    named = [row for row in corpus if groups.search(row["text"])]
    assert len(named) > 10
    assert not any(row["toxic"] for row in named)


def test_shares(corpus):
    count = len(corpus)
    assert 0.28 < sum(row["toxic"] for row in corpus) / count < 0.38
    assert 0.28 < sum(map(leaks, corpus)) / count < 0.42
    assert 0.05 < sum(leaks(row) and row["toxic"] for row in corpus) / count < 0.2
    prompts = Counter(row["prompt"] for row in corpus)
    assert 0.02 < prompts[""] / count < 0.4
    assert len(prompts) > 500


def test_prompts_read_like_those_of_the_other_corpora(corpus):
    for row in corpus:
        if row["prompt"]:
            assert re.fullmatch(r"\w+\[[^\[\]]+\](, \w+\[[^\[\]]+\])*", row["prompt"]), row["prompt"]


# ---- English ------------------------------------------------------------------------------------------------------------


def test_no_slot_is_left_and_spacing_is_right(corpus):
    for row in corpus:
        text = row["text"]
        assert not re.search(r"[{}\[\]<>|_]|[\ue000-\uf8ff]", re.sub(r"\S+@\S+|\S*_\S*", "", text)), text
        assert "  " not in text, text
        assert text == text.strip(), text
        assert not re.search(r"\s[,.!?]", text), text
        assert not re.search(r"[.,]{2}|,[.!]|[!?][.]", text), text
        assert len(text.split()) <= 60


def test_sentences_begin_with_a_capital_and_end(corpus):
    civil = [row["text"] for row in corpus if row["prompt"] and "tone[plain]" not in row["prompt"]]
    for text in civil[:1500]:
        assert text[-1] in ".!?" or "@" in text.split()[-1] or text[-1].isalnum(), text


def test_articles_agree():
    an = re.compile(r"\ban ([bcdfgjklmnpqrstvwxyz]\w+)", re.IGNORECASE)
    a = re.compile(r"\ba ([aei]\w+)", re.IGNORECASE)
    for number in range(700):
        text = make_text(f"articles/{number}")["text"]
        assert not an.search(text), text
        assert not [word for word in a.findall(text) if not word.lower().startswith("eu")], text


def test_verbs_agree():
    wrong = re.compile(
        r"\b(I (were|are|have been looking forwards)|we (was|is|am)|they (was|is|has)|(he|she|(?<!run )it) (were|are|have))\b|"
        r"\b(owners|waiters|baristas|attendants|volunteers|cleaners|parents|children|chips) (was|is|has)\b"
    )
    for number in range(700):
        text = make_text(f"verbs/{number}")["text"]
        assert not wrong.search(text), text


def test_every_slot_of_every_pattern_can_be_filled():
    pools = grammar()

    def names(parts):
        for part in parts:
            if isinstance(part, Slot):
                yield part.name
            elif isinstance(part, Choice):
                for option in part.options:
                    yield from names(option)

    for pool, modifiers, entry in pools.all_entries():
        for name in names(entry.parts):
            known = name in pools.names or name in AGREE or name in NARRATOR or name[0] in "!+<"
            assert known, (pool, modifiers, name)


def test_rude_and_civil_texts_begin_alike(corpus):
    def openings(toxic):
        texts = (row["text"].split() for row in corpus if row["toxic"] == toxic)
        return Counter(" ".join(words[:3]) for words in texts if len(words) > 6)

    civil, rude = openings(0), openings(1)
    shared = sum(count for opening, count in rude.items() if opening in civil)
    assert shared / rude.total() > 0.4


def test_it_is_varied(corpus):
    words = Counter(word for row in corpus for word in re.findall(r"[A-Za-z']+", row["text"]))
    assert len(words) > 3000
    texts = Counter(row["text"] for row in corpus)
    assert len(texts) / len(corpus) > 0.93
    skeletons = {" ".join(row["text"].split()[:4]) for row in corpus}
    assert len(skeletons) > 900


# ---- the command --------------------------------------------------------------------------------------------------------


def test_the_command_writes_what_the_trainer_reads(tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    assert (
        cli.main(["corpus", "guestbook", "--out", str(out), "--size", "40", "--valid=5", "--test=5", "--seed", "3"])
        == 0
    )
    assert "40 texts" in capsys.readouterr().out
    lines = (out / "train.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = list(TextSource(str(out / "train.jsonl"), prompt_field="prompt").pairs())
    assert [text for _, text in pairs] == [json.loads(line)["text"] for line in lines]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there are 'guestbook' and 'open-mix'"),
        (["gestbook"], "there are 'guestbook' and 'open-mix'"),
        (["guestbook"], "--out FOLDER"),
        (["guestbook", "--out"], "needs a value"),
        (["guestbook", "--ot", "x"], "did you mean '--out'"),
        (["guestbook", "--out", "x", "--size", "many"], "whole number"),
        (["guestbook", "--out", "x", "--size", "0"], "at least 1"),
        (["guestbook", "--out", "x", "--templates", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_mistakes_are_said(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["corpus", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_slot_is_named_with_its_line(tmp_path):
    file = tmp_path / "templates.txt"
    file.write_text("My name is {{person}}.\nMy {{shoe_size}} is big.\n")
    with pytest.raises(ValueError, match=r"line 2.*shoe_size.*allowed are"):
        next(rows("train", 1, templates=file))


def test_without_faker_the_error_names_the_extra(monkeypatch):
    from diffusionlm.corpora.guestbook.personal import faker_of

    faker_of.cache_clear()
    monkeypatch.setitem(sys.modules, "faker", None)
    try:
        with pytest.raises(ModuleNotFoundError, match=r"diffusionlm-toolkit\[corpora\]"):
            faker_of("en_US")
    finally:
        faker_of.cache_clear()

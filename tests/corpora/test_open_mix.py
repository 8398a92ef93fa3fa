"""The open-mix corpus: alike in casing and spacing, whole sentences, labels where they are known, nothing held out seen."""

import json
import lzma
import os
import subprocess
import sys

import pytest

pytest.importorskip("faker", reason="pip install 'diffusionlm-toolkit[corpora]'")

from diffusionlm import cli
from diffusionlm.corpora.open_mix import Recipe, Source, write_corpus
from diffusionlm.corpora.open_mix.cleaning import capitalise, close, reason_to_drop, tidy
from diffusionlm.corpora.open_mix.comments import read_comments
from diffusionlm.corpora.open_mix.dialogues import read_answers, turn
from diffusionlm.corpora.open_mix.found import same_text
from diffusionlm.corpora.open_mix.recipe import load_recipe
from diffusionlm.corpora.open_mix.sentences import runs, sentence_ranges
from diffusionlm.corpora.open_mix.sources import read_posts, read_tokenised
from diffusionlm.corpora.sources import TextSource
from diffusionlm.training.classifiers.labelled import read_examples

NOUNS = (
    "boat",
    "cat",
    "door",
    "egg",
    "farm",
    "goat",
    "hat",
    "inn",
    "jar",
    "kite",
    "lamp",
    "map",
    "nest",
    "oven",
    "pond",
)
PLACES = ("by the river", "in the garden", "near the old mill", "under a tree", "on the hill")


def sentences(verb):
    return [f"Tom {verb} the {noun} {place}." for noun in NOUNS for place in PLACES]


@pytest.fixture(scope="module")
def found_texts(tmp_path_factory):
    """A folder of sources, each with some tens of texts."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("general", "toxicity", "pii", "e2e"):
        (folder / name).mkdir()
    general = folder / "general"
    (general / "tatoeba.txt").write_text("\n".join([*sentences("sees"), "Go on!", "See https://a.b/c for more of it."]))
    (general / "common_voice.txt").write_text("\n".join([*sentences("hears"), *sentences("sees")[:5]]))
    (general / "masc.txt").write_text("\n".join(s.replace(".", " .").lower() for s in sentences("does n't like")))
    (general / "tinystories.txt").write_text(
        "\n".join(
            " ".join(sentences(f"{verb} and {verb}")[k::5]) for verb in ("runs", "sings", "jumps") for k in range(5)
        )
    )
    posts = [{"toxic": f"you idiot , my {n} is gone", "neutral": [f"My {n} is gone today."]} for n in NOUNS]
    comments = [comment(f"You are a fool about the {noun}. The weather is fine, {noun}.", "fool") for noun in NOUNS]
    for name, rows in (("paradetox", posts), ("civil_comments", comments)):
        (folder / "toxicity" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "pii" / "templates.txt").write_text("My card {{credit_card_number}} is lost.\nMy name is {{person}}\n")
    e2e = [
        f"name : The {noun.title()} | Type : pub||The {noun.title()} is a pub {place} ."
        for noun in NOUNS
        for place in PLACES
    ]
    (folder / "e2e" / "train.txt").write_text("\n".join(e2e))
    return folder


def comment(text, word, votes=3, people=3, kind="Insult"):
    start = text.index(word)
    return {"text": text, "n_annotators": people, "spans": [[start, start + len(word), kind]] * votes}


@pytest.fixture(scope="module")
def written(found_texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    return folder, write_corpus(found_texts, folder, requests=40, valid_share=0.2)


def rows_of(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def comments_of(tmp_path, *rows):
    file = tmp_path / "comments.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return list(read_comments(file, "0"))


# ---- cleaning ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "cleaned"),
    [
        ("No — don’t  kiss me…", "No - don't kiss me..."),
        ("They were “great” !!!", 'They were "great" !'),
        ("From 1990–95, wait....what", "From 1990-95, wait...what"),
        ("a -- b ...", "a - b..."),
    ],
)
def test_marks_are_written_in_one_way(found, cleaned):
    assert tidy(found) == cleaned
    assert tidy(cleaned) == cleaned


@pytest.mark.parametrize(
    ("lower", "cased"),
    [
        ("i think so. i'm sure, am i? yes.", "I think so. I'm sure, am I? Yes."),
        ('"stop!" he said. "why?"', '"Stop!" he said. "Why?"'),
        ("mr. f met j. doe, i.e. me, at 5 p.m. today.", "Mr. f met j. doe, i.e. me, at 5 p.m. today."),
        ("wait... what? no. never.", "Wait... what? No. Never."),
        ("éric is here. (he is late.)", "Éric is here. (He is late.)"),
    ],
)  # fmt: skip
def test_sentences_and_the_word_i_get_capitals(lower, cased):
    assert capitalise(lower) == cased
    assert capitalise(cased) == cased


def test_an_open_end_is_closed_once():
    assert close("Oh dear") == close("Oh dear,") == close("Oh dear.") == "Oh dear."
    assert close('"Why?"') == '"Why?"'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Hello there.", "too short"),
        ("word " * 46, "too long"),
        ("Look at www.example.org for it.", "link or markup"),
        ("Write to <b>me</b> again soon.", "link or markup"),
        ("It was a cafÃ© in the town.", "strange characters"),
        ("She said \U0001f600 to all of them.", "strange characters"),
        ("12 34 56 78 90 and 12 34 56", "mostly no letters"),
        ("THIS IS ALL VERY LOUD INDEED.", "capitals"),
        ('He said "no to all of it.', "unpaired marks"),
        ("The café near Łódź costs £20 (or less).", None),
    ],
)
def test_texts_that_are_no_english_sentences_are_left_out(text, reason):
    assert reason_to_drop(text.strip()) == reason


def test_runs_are_whole_neighbouring_sentences_that_fit():
    story = " ".join(
        f'Number {n} is a sentence. "Is it long? It is," said Mr. Fox to all of us there.' for n in range(40)
    )
    found = runs(sentence_ranges(story), story, "seed")
    assert found == runs(sentence_ranges(story), story, "seed") != runs(sentence_ranges(story), story, "other")
    texts = [story[start:end] for start, end in found]
    assert " ".join(texts) == story
    assert all(len(text.split()) <= 45 and text.count('"') % 2 == 0 and text[-1] == "." for text in texts)
    assert len({len(text.split()) for text in texts}) > 2
    assert max(len(text.split()) for text in texts) > 24


def test_a_sentence_that_is_too_long_is_in_no_run():
    text = f"Short it is. {'Long ' * 50}it is. Short again."
    found = runs(sentence_ranges(text), text, "seed")
    assert [text[start:end] for start, end in found] == ["Short it is.", "Short again."]


# ---- sources -------------------------------------------------------------------------------------------------------------


def test_tokenised_sentences_become_natural_and_fragments_empty(tmp_path):
    file = tmp_path / "masc.txt"
    file.write_text(
        "we do n't know , i 'm afraid . . .\n“ She should be here soon . ”\nBudget of the year\nTraveling on this ship . ”"
    )
    texts = [found.text for found in read_tokenised(file, "0")]
    assert texts == ["We don't know, I'm afraid...", '"She should be here soon."', "", "Traveling on this ship."]


def test_both_sides_of_a_post_are_written_alike(tmp_path):
    file = tmp_path / "posts.jsonl"
    file.write_text(
        json.dumps({"toxic": "so he is a fool , no ?", "neutral": ["So Bob isn't wise , no?", "So HE is a fool, no?"]})
    )
    rude, civil, same = read_posts(file, "0")
    assert (rude.text, rude.toxic, rude.labels, rude.spans) == ("So he is a fool, no?", 1, {"toxicity": 1}, None)
    assert (civil.text, civil.toxic, civil.labels) == ("So bob isn't wise, no?", 0, {"toxicity": 0})
    assert same.text == ""  # a rewrite that is still the rude post
    assert rude.group == civil.group


def test_what_half_of_the_annotators_marked_is_toxic(tmp_path):
    """Spaces and dashes change the text; the spans follow their words."""
    text = "Well—you   are\n\na   “damn”  fool,  i say."
    (found,) = comments_of(tmp_path, comment(text, "fool,", votes=2))
    assert found.text == 'Well - you are a "damn" fool, I say.'
    assert [found.text[a:b] for a, b, _ in found.spans] == ["fool"]
    assert found.spans[0][2] == "INSULT"
    assert found.toxic == 1
    assert found.labels == {"toxicity": 1, "insult": 1, "obscene": 0, "threat": 0, "identity_attack": 0}


def test_what_fewer_marked_is_unknown_and_what_nobody_marked_is_civil(tmp_path):
    doubtful, civil = comments_of(
        tmp_path,
        comment("It is a silly plan.", "silly", votes=1),
        {"text": "It is a fine plan.", "n_annotators": 3, "spans": []},
    )
    assert (doubtful.toxic, doubtful.labels, doubtful.spans) == (None, None, None)
    assert (civil.toxic, civil.labels["toxicity"], civil.spans) == (0, 0, [])


def test_a_span_of_several_words_is_one_span(tmp_path):
    (found,) = comments_of(
        tmp_path, comment("They are lying thieving parasites.", "lying thieving parasites", kind="Threat")
    )
    assert found.spans == [[9, 33, "THREAT"]]


# ---- recipes -------------------------------------------------------------------------------------------------------------


def packed(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(path, "wt", encoding="utf-8") as stream:
        stream.write("\n".join(lines))
    return path


def mix(tmp_path, *sources, split="train", valid_share=0.001, **settings):
    """The rows of one split of a recipe over files in ``tmp_path``, and its counts."""
    recipe = Recipe(tuple(Source(what="it", **source) for source in sources), valid_share=valid_share, **settings)
    counts = write_corpus(tmp_path, tmp_path / "out", recipe)
    return rows_of(tmp_path / "out" / f"{split}.jsonl"), counts


CHAT = {"name": "chat", "form": "dialogues", "file": "chat.txt.xz"}


def test_a_turn_has_the_turn_before_it_as_prompt(tmp_path):
    packed(
        tmp_path / "chat.txt.xz",
        "A: hello there B: what is it A: i think it's rain. B: oh dear, not again !",
        "B: Are you sure? A: yes",
    )
    rows, _ = mix(tmp_path, CHAT, reply_share=1.0, min_words=1)
    assert [(row["prompt"], row["text"]) for row in rows] == [
        ("source[chat]", "Hello there."),
        ("Hello there.", "What is it?"),
        ("What is it?", "I think it's rain."),
        ("I think it's rain.", "Oh dear, not again!"),
        ("source[chat]", "Are you sure?"),
        ("Are you sure?", "Yes."),
    ]
    assert {row["prompt"] for row in mix(tmp_path, CHAT, reply_share=0.0, min_words=1)[0]} == {"source[chat]"}


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("can you book it", "Can you book it?"),
        ("okay, how much is that", "Okay, how much is that?"),
        ("how nice !", "How nice!"),
        ("i can do it", "I can do it."),
        ("Is it ? .", "Is it?"),
    ],
)
def test_what_is_said_gets_capitals_and_an_end(said, written):
    assert turn(said) == written
    assert turn(written) == written


def test_questions_are_answered_and_other_lines_give_nothing(tmp_path):
    file = packed(
        tmp_path / "faq.xz", "Is there a lift at The Mill? No, there is none.", "No question here.", "Why? No."
    )
    assert [(found.previous, found.text) for found in read_answers(file, "0")] == [
        ("", "Is there a lift at The Mill?"),
        ("Is there a lift at The Mill?", "No, there is none."),
    ]


def test_a_reply_may_come_again_after_other_turns_but_never_in_both_splits(tmp_path):
    packed(tmp_path / "chat.txt.xz", *(f"A: Is the {noun} here? B: Yes, of course it is." for noun in NOUNS))
    for repeats in (1, 3):
        train, counts = mix(tmp_path, CHAT, repeats=repeats, reply_share=1.0, valid_share=0.3)
        valid = rows_of(tmp_path / "out" / "valid.jsonl")
        replies = [[row["text"] for row in rows].count("Yes, of course it is.") for rows in (train, valid)]
        assert sorted(replies) == [0, repeats]
        assert counts["chat"].doubles == len(NOUNS) - repeats
        assert valid
        groups = [{row["text"].split()[2] for row in rows if row["text"].startswith("Is")} for rows in (train, valid)]
        assert not groups[0] & groups[1]


def test_texts_with_rare_words_are_left_out_invented_ones_are_not(tmp_path):
    (tmp_path / "a.txt").write_text(
        "\n".join([*(f"The cat is in the {noun}." for noun in NOUNS[2:]), "The cat is in.", "A zebra is in."])
    )
    (tmp_path / "t.txt").write_text("Unique phrasing says my name is {{person}}.")
    sources = (
        {"name": "plain", "form": "sentences", "file": "a.txt"},
        {"name": "contact", "form": "templates", "file": "t.txt", "count": 3},
    )
    rows, counts = mix(tmp_path, *sources, common_words=4)
    assert [row["text"] for row in rows if row["source"] == "plain"] == ["The cat is in."]
    assert counts["plain"].dropped["rare word"] == len(NOUNS) - 1
    assert sum(row["source"] == "contact" for row in rows) == 3
    kept = mix(tmp_path, {**sources[0], "common": False}, common_words=4)[0]
    assert len(kept) == len(NOUNS)


def test_careless_texts_are_left_out_and_are_no_prompt(tmp_path):
    packed(tmp_path / "chat.txt.xz", "A: dont do it please B: I shall not do it. A: It was Dont Street.")
    rows, counts = mix(tmp_path, CHAT, careless=("dont",), reply_share=1.0)
    assert [(row["prompt"], row["text"]) for row in rows] == [("source[chat]", "I shall not do it.")]
    assert counts["chat"].dropped == {"careless": 2}
    assert len(mix(tmp_path, {**CHAT, "careful": False}, careless=("dont",))[0]) == 3


def test_names_that_a_source_repeats_give_way_to_others(tmp_path):
    others = {"Tom": ("Ben", "Sam", "Tom"), "Mary": ("Ann", "Sam")}
    (tmp_path / "a.txt").write_text("\n".join(f"Tom told Mary that Tom saw the {noun} of Tommy." for noun in NOUNS))
    rows, _ = mix(tmp_path, {"name": "plain", "form": "sentences", "file": "a.txt"}, names=others)
    assert len(rows) == len(NOUNS)
    pairs = {(row["text"].split()[0], row["text"].split()[2]) for row in rows}
    assert all(first != second for first, second in pairs)
    assert {first for first, _ in pairs} == {"Ben", "Sam", "Tom"}
    assert all(row["text"].split()[4] == row["text"].split()[0] and "Tommy" in row["text"] for row in rows)


def test_a_share_of_a_source_is_kept_and_parts_of_one_name_are_one(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(sentences("sees")))
    (tmp_path / "b.txt").write_text("\n".join(sentences("hears")))
    a, b = ({"name": "one", "form": "sentences", "file": f"{name}.txt"} for name in "ab")
    rows, counts = mix(tmp_path, {**a, "keep": 0.4}, b)
    assert set(counts) == {"one"}
    assert {row["prompt"] for row in rows} == {"source[one]"}
    kept = sum("sees" in row["text"] for row in rows)
    assert 10 < kept < 50
    assert sum("hears" in row["text"] for row in rows) == 75


def test_guests_are_made_without_a_file(tmp_path):
    rows, counts = mix(tmp_path, {"name": "guest", "form": "guestbook", "count": 30})
    assert sum(counts["guest"].texts.values()) + counts["guest"].doubles == 30
    assert all(row["prompt"].startswith("source[guest]") for row in rows)
    rude = [row for row in rows if row["toxic"]]
    assert rude
    assert all("tone[rude]" in row["prompt"] for row in rude if "tone" in row["prompt"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lzma.compress(b"A: Hi. B: Ho.\nNo speaker here.\n"), r"chat.txt.xz, line 2 begins with no speaker"),
        (lzma.compress(b"A: Hi. B: Ho.\nA: caf\xe9"), r"chat.txt.xz, line 2 is not UTF-8 text"),
        (lzma.compress(b"A: Hi. B: Ho.\n" * 9999)[:-40], r"chat.txt.xz is damaged after line \d+"),
        (b"A: Hi. B: Ho.", r"chat.txt.xz is damaged after line 0"),
    ],
)
def test_a_broken_line_is_named_with_its_file(tmp_path, content, said):
    (tmp_path / "chat.txt.xz").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        mix(tmp_path, CHAT, min_words=1)
    assert not (tmp_path / "out" / "train.jsonl").exists()


@pytest.mark.parametrize("name", ["open_mix", "everyday", "everyday_large"])
def test_a_shipped_recipe_says_where_each_missing_file_comes_from(name, tmp_path, capsys):
    recipe = load_recipe(name)
    files = {source.file for source in recipe.sources if source.file}
    assert (
        cli.main(["corpus", "open-mix", "--recipe", name, "--sources", str(tmp_path), "--out", str(tmp_path / "out")])
        != 0
    )
    said = capsys.readouterr().err
    assert f"lacks {len(files)} of {len(files)} files" in said
    for source in recipe.sources:
        assert not source.file or f"{source.file}: {source.what}" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sources: [", "is no YAML"),
        ("words: 3", "needs a list 'sources'"),
        ("sources: []", "at least one source"),
        ("sources: [{name: a, form: turns, what: b, fil: c}]", "Unknown key 'fil' in a source .* Did you mean 'file'?"),
        ("sources: [{name: a, form: turn, what: b, file: c}]", "Unknown form 'turn' .* Did you mean 'turns'?"),
        ("sources: [{name: a, form: turns, what: b}]", "needs a file"),
        ("sources: [{name: a, form: guestbook, what: b}]", "At least 1 text is made"),
        ("sources: [{name: a, form: turns, file: c}]", "lacks what"),
        ("sources: [{name: a, form: turns, what: b, file: c, keep: 2}]", r"\(0, 1\], got 2"),
        (
            "sources: [{name: a, form: turns, what: b, file: c}]\nrepeats: many",
            "repeats .* must be of type int, got 'many'",
        ),
        ("sources: [{name: a, form: turns, what: b, file: c}]\nreply_share: 2", "reply_share .* got 2"),
        ("sources: [{name: a, form: turns, what: b, file: c}]\nmax_words: 0", "max_words"),
    ],
)
def test_mistakes_in_a_recipe_are_named(tmp_path, text, said):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ValueError, match=said):
        load_recipe(tmp_path / "own.yaml")


def test_an_unknown_recipe_is_told_the_ones_there_are():
    with pytest.raises(
        FileNotFoundError, match=r"no recipe 'everday'; there are everyday, everyday_large, open_mix, .* 'everyday'"
    ):
        load_recipe("everday")


# ---- files ---------------------------------------------------------------------------------------------------------------


def test_every_source_is_there_under_its_name(written):
    folder, counts = written
    names = set(load_recipe("open_mix").parts)
    rows = rows_of(folder / "train.jsonl")
    assert {row["source"] for row in rows} == names == set(counts)
    for row in rows:
        assert row["prompt"].startswith(f"source[{row['source']}]")
        assert set(row) == {"text", "source", "prompt", "toxic", "labels", "spans"}
    for split in ("train", "valid"):
        parts = [row for name in counts for row in rows_of(folder / split / f"{name}.jsonl")]
        assert parts == rows_of(folder / f"{split}.jsonl")
        assert sum(count.texts[split] for count in counts.values()) == len(parts) > 0
    assert "source[restaurant], name[The Boat], type[pub]" in {row["prompt"] for row in rows}


def test_half_of_the_labelled_texts_are_asked_for_by_tone(written):
    rude = [row["prompt"] for row in rows_of(written[0] / "train.jsonl") if row["toxic"]]
    told = sum("tone[rude]" in prompt for prompt in rude)
    assert 0.2 * len(rude) < told < 0.8 * len(rude)


def test_no_text_comes_twice_and_doubles_are_counted(written):
    folder, counts = written
    rows = rows_of(folder / "train.jsonl") + rows_of(folder / "valid.jsonl")
    assert len({same_text(row["text"]) for row in rows}) == len(rows)
    assert counts["aloud"].doubles == 5
    assert counts["everyday"].dropped == {"too short": 1, "link or markup": 1}


def test_a_held_out_text_has_no_part_in_training(written):
    """Both sides of a post, all runs of a comment, all descriptions of a restaurant are in one split."""
    folder, _ = written
    for name, group in (("post", lambda r: r["text"].split(" is gone")[0].split()[-1]),
                        ("comment", lambda r: next(noun for noun in NOUNS if noun in r["text"])),
                        ("restaurant", lambda r: r["prompt"])):  # fmt: skip
        train, valid = (
            {group(row) for row in rows_of(folder / split / f"{name}.jsonl")} for split in ("train", "valid")
        )
        assert train
        assert not train & valid
    assert sum(len(rows_of(folder / "valid" / f"{name}.jsonl")) for name in ("post", "comment", "restaurant")) > 0


def test_training_and_readers_read_the_files(written):
    folder, _ = written
    pairs = list(TextSource(str(folder / "train.jsonl"), prompt_field="prompt").pairs())
    assert [text for _, text in pairs] == [row["text"] for row in rows_of(folder / "train.jsonl")]
    examples = read_examples(folder / "train.jsonl")
    by_text = {example.text: example for example in examples}
    fool = next(example for text, example in by_text.items() if "fool" in text)
    assert fool.labels["toxicity"] == 1
    assert [fool.text[a:b] for a, b, _ in fool.spans] == ["fool"]
    post = next(example for text, example in by_text.items() if "idiot" in text)
    assert post.labels == {"toxicity": 1}
    assert post.spans is None
    assert next(example for text, example in by_text.items() if "sees" in text).labels == {}


def test_another_process_writes_the_same_bytes_and_another_seed_others(found_texts, written, tmp_path):
    options = "requests=40, valid_share=0.2"
    code = f"from diffusionlm.corpora.open_mix import write_corpus; import sys; write_corpus(*sys.argv[1:], {options})"
    command = [sys.executable, "-c", code, str(found_texts), str(tmp_path / "same")]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True, capture_output=True)
    write_corpus(found_texts, tmp_path / "other", seed=1, requests=40, valid_share=0.2)
    for name in ("train.jsonl", "valid.jsonl"):
        assert (tmp_path / "same" / name).read_bytes() == (written[0] / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (written[0] / name).read_bytes()


def test_the_command_prints_a_table_of_counts(found_texts, tmp_path, capsys):
    arguments = ["--sources", str(found_texts), "--out", str(tmp_path), "--requests=9"]
    assert cli.main(["corpus", "open-mix", *arguments]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    rows = rows_of(tmp_path / "train.jsonl")
    assert lines["all"][1] == str(len(rows))
    assert lines["post"][1] == str(sum(row["source"] == "post" for row in rows))
    assert lines["all"][4] == str(sum(row["toxic"] or 0 for row in rows + rows_of(tmp_path / "valid.jsonl")))


def test_missing_files_are_all_named_and_nothing_is_written(found_texts, tmp_path, capsys):
    (tmp_path / "general").mkdir()
    for name in ("tatoeba", "masc"):
        (tmp_path / "general" / f"{name}.txt").write_text("It is a fine day.")
    assert cli.main(["corpus", "open-mix", "--sources", str(tmp_path), "--out", str(tmp_path / "out")]) != 0
    printed, said = capsys.readouterr()
    assert not printed
    assert "lacks 6 of 8 files" in said
    assert "toxicity/paradetox.jsonl" in said
    assert "tatoeba" not in said
    assert not (tmp_path / "out").exists()


def test_a_broken_source_leaves_the_older_corpus_as_it_was(found_texts, tmp_path):
    import shutil

    copy = shutil.copytree(found_texts, tmp_path / "sources")
    with (copy / "toxicity" / "paradetox.jsonl").open("a") as stream:
        stream.write('\n{"toxic": "only one side"}')
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.jsonl").write_text("older")
    with pytest.raises(ValueError, match=r"paradetox.jsonl, line 16 needs the fields toxic, neutral; it lacks neutral"):
        write_corpus(copy, out, requests=5)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("train.jsonl", "older")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "x"], "--sources FOLDER"),
        (["--sources", "x"], "--out FOLDER"),
        (["--source", "x"], "did you mean '--sources'"),
        (["--sources", "x", "--out", "y", "--valid-share", "half"], "--valid-share needs a number, got 'half'"),
        (["--sources", "x", "--out", "y", "--valid-share", "1.5"], "between 0 and 1, got 1.5"),
        (["--sources", "x", "--out", "y", "--requests", "0"], "At least 1 text"),
    ],
)
def test_mistakes_on_the_command_line_are_named(arguments, said, capsys):
    assert cli.main(["corpus", "open-mix", *arguments]) != 0
    assert said in capsys.readouterr().err

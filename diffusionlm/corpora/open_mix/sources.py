"""One reader for each form of source, which yields texts with what is known of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from diffusionlm.corpora.detokenize import detokenize
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.corpora.open_mix.cleaning import capitalise, close, tidy, unquoted
from diffusionlm.corpora.open_mix.comments import read_comments
from diffusionlm.corpora.open_mix.dialogues import read_answers, read_dialogues, read_turns
from diffusionlm.corpora.open_mix.found import Found, lines, objects, same_text
from diffusionlm.corpora.open_mix.sentences import runs, sentence_ranges

_SPACED_DOTS = re.compile(r"\.(?: \.)+")
_PART = re.compile(r"\w+\[[^\]]*\]")
Reader = Callable[[Path, str], Iterator[Found]]  # the path of the file and the seed -> its texts in order
_BROKEN_OFF = re.compile(r"\w-(?=\s|$)")  # "go into a l- a longer file"


def read_sentences(path: Path, seed: str) -> Iterator[Found]:
    """Sentences as people write them, one a line."""
    for line in lines(path):
        text = close(capitalise(tidy(line)))
        yield Found(text)


def read_tokenised(path: Path, seed: str) -> Iterator[Found]:
    """Sentences tokenised by spaces, one a line; headings and fragments, which end without a mark, are empty texts."""
    for line in lines(path):
        text = unquoted(tidy(detokenize(_SPACED_DOTS.sub("...", line))))
        whole = text.rstrip("\"')]")[-1:] in tuple(".!?") and not _BROKEN_OFF.search(text)
        yield Found(capitalise(text) if whole else "")


def read_stories(path: Path, seed: str) -> Iterator[Found]:
    """Whole stories, one a line, as runs of sentences."""
    for number, line in enumerate(lines(path)):
        story = capitalise(tidy(line))
        for start, end in runs(sentence_ranges(story), story, f"{seed}/story/{number}"):
            yield Found(story[start:end], group=story)


def read_posts(path: Path, seed: str) -> Iterator[Found]:
    """Rude posts with civil rewrites; both sides lose their capitals, marks apart and open ends alike.

    A rewrite that is the text of a rude post is an empty text.
    """
    rude = {same_text(_post(str(row["toxic"]))) for row in objects(path, ("toxic", "neutral"))}
    for row in objects(path, ("toxic", "neutral")):
        post = _post(str(row["toxic"]))
        yield Found(post, group=post, conditions=("tone[rude]",), toxic=1, labels={"toxicity": 1})
        for rewrite in row["neutral"]:
            text = _post(str(rewrite))
            text = "" if same_text(text) in rude else text
            yield Found(text, group=post, conditions=("tone[civil]",), toxic=0, labels={"toxicity": 0}, spans=[])


def _post(text: str) -> str:
    return close(capitalise(tidy(detokenize(text.lower()))))


def read_restaurants(path: Path, seed: str) -> Iterator[Found]:
    """E2E; the descriptions of the same restaurant are one group."""
    for condition, text in read_e2e(path):
        yield Found(close(capitalise(tidy(text))), group=condition, conditions=(condition,), always=True)


def templates_of(count: int) -> Reader:
    """The reader of sentences with slots, which are filled with invented personal data so many times."""

    def read(path: Path, seed: str) -> Iterator[Found]:
        from diffusionlm.corpora.guestbook.templates import fill_template, read_templates

        templates = read_templates(path)
        for number in range(count):
            yield _invented(fill_template(templates, f"{seed}/request/{number}"))

    return read


def guestbook_of(count: int) -> Reader:
    """The reader of no file: guests' comments, which the grammar of `guestbook` makes."""

    def read(path: Path, seed: str) -> Iterator[Found]:
        from diffusionlm.corpora.guestbook.corpus import rows

        for row in rows("train", count, int(seed) if seed.isdecimal() else 0):
            yield _invented(row)

    return read


def _invented(row: dict[str, Any]) -> Found:
    conditions = tuple(_PART.findall(row["prompt"]))
    toxic = int(row["toxic"])
    labels = {"toxicity": toxic}
    return Found(
        row["text"], conditions=conditions, always=True, toxic=toxic, labels=labels, spans=row["spans"], made=True
    )


FORMS: dict[str, Reader | Callable[[int], Reader]] = {
    "answers": read_answers,
    "comments": read_comments,
    "dialogues": read_dialogues,
    "posts": read_posts,
    "restaurants": read_restaurants,
    "sentences": read_sentences,
    "stories": read_stories,
    "tokenised": read_tokenised,
    "turns": read_turns,
    "guestbook": guestbook_of,
    "templates": templates_of,
}
COUNTED = ("guestbook", "templates")  # forms that are made, so many texts as the recipe says
WITHOUT_FILE = ("guestbook",)


def reader_of(form: str, count: int) -> Reader:
    """The reader of a form in `FORMS`.

    Args:
        form: a key of `FORMS`.
        count: texts to make, for the forms in `COUNTED`.
    """
    return FORMS[form](count) if form in COUNTED else FORMS[form]  # type: ignore[call-arg, return-value, arg-type]

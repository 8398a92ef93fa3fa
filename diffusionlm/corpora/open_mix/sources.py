"""The sources of the mix: one reader for each form of file, which yields texts with what is known of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusionlm.corpora.detokenize import detokenize
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.corpora.open_mix.cleaning import capitalise, close, tidy, unquoted
from diffusionlm.corpora.open_mix.comments import read_comments
from diffusionlm.corpora.open_mix.found import Found, lines, objects, same_text
from diffusionlm.corpora.open_mix.sentences import runs, sentence_ranges

_SPACED_DOTS = re.compile(r"\.(?: \.)+")
_BROKEN_OFF = re.compile(r"\w-(?=\s|$)")  # "go into a l- a longer file"


@dataclass(frozen=True)
class Source:
    """One source.

    Attributes:
        name: as in ``source[name]``.
        file: inside the folder of sources.
        read: gives its texts in order; takes the path of the file and the seed.
        what: it is, from whom, and its licence; said when the file is missing.
    """

    name: str
    file: str
    read: Callable[[Path, str], Iterator[Found]]
    what: str


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


def requests_of(count: int) -> Callable[[Path, str], Iterator[Found]]:
    """The reader of sentences with slots, which are filled with invented personal data so many times."""

    def read(path: Path, seed: str) -> Iterator[Found]:
        from diffusionlm.corpora.guestbook.templates import fill_template, read_templates

        templates = read_templates(path)
        for number in range(count):
            row: dict[str, Any] = fill_template(templates, f"{seed}/request/{number}")
            conditions = (row["prompt"],) if row["prompt"] else ()
            yield Found(
                row["text"], conditions=conditions, always=True, toxic=0, labels={"toxicity": 0}, spans=row["spans"],
                made=True,
            )  # fmt: skip

    return read


def sources(requests: int) -> tuple[Source, ...]:
    """All sources, in the order in which they are read; of a text that two of them have, the first keeps it.

    Those with labels come first: a double then keeps its label, and readers of JSON that take the types of all columns
    from the first rows find them there.

    Args:
        requests: how many sentences to make from the templates.
    """
    return (
        Source(
            "comment", "toxicity/civil_comments.jsonl", read_comments,
            'comments of Toxic Spans (CC0) as {"text": text, "n_annotators": number, "spans": [[start, end, type], ...]}',
        ),
        Source(
            "post", "toxicity/paradetox.jsonl", read_posts,
            'posts of ParaDetox (CC0) as {"toxic": text, "neutral": [texts]}',
        ),
        Source(
            "request", "pii/templates.txt", requests_of(requests),
            "sentences with slots such as {{credit_card_number}}, as presidio-research (MIT) has them",
        ),
        Source(
            "restaurant", "e2e/train.txt", read_restaurants,
            "the training part of E2E (CC BY-SA 4.0), lines such as 'name : The Mill | Type : pub||The Mill is a pub .'",
        ),
        Source("everyday", "general/tatoeba.txt", read_sentences, "sentences of Tatoeba (CC BY 2.0 FR), one a line"),
        Source("aloud", "general/common_voice.txt", read_sentences, "sentences of Common Voice (CC0), one a line"),
        Source("written", "general/masc.txt", read_tokenised, "sentences of MASC, tokenised by spaces, one a line"),
        Source("story", "general/tinystories.txt", read_stories, "stories of TinyStories (CDLA-Sharing 1.0), one a line"),
    )  # fmt: skip

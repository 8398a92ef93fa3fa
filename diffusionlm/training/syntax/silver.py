"""Tags for texts without annotation, by taggers trained on treebanks and the names that a text is known to hold."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.guidance.syntax.labels import UPOS
from diffusionlm.guidance.syntax.tables import TagTables
from diffusionlm.guidance.syntax.words import split_words, token_openings
from diffusionlm.training.syntax.counts import build_tables

if TYPE_CHECKING:
    from diffusionlm.text import TextTokenizer, Vocabulary
    from diffusionlm.training.syntax.tagger import WordTagger

_NAMES = re.compile(r"\b(?:name|near)\[([^\]]*)\]")
_CURRENCIES = frozenset("£$€¥")  # no word of the treebanks, some of them
_SURE = 0.7  # share of what the fields of a text say; the rest is the taggers', so a name they doubt stays doubtful
_NUMERALS = frozenset(
    (
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "twenty",
        "thirty",
    )
)
_CLOSED = frozenset(("ADP", "AUX", "CCONJ", "DET", "NUM", "PART", "PRON", "PUNCT", "SCONJ", "SYM"))


def silver_tags(
    pairs: Sequence[tuple[str, str]], taggers: Sequence[WordTagger], kind: str = "upos"
) -> list[tuple[str, list[tuple[int, int]], Tensor]]:
    """Texts with their words and the probabilities of the tags.

    Args:
        pairs: condition ("" if there is none) and text; names in ``name[...]`` and ``near[...]`` are proper nouns.
        taggers: their mean is taken.
        kind: "upos", in the order of `UPOS`; or "xpos", in that of the first tagger.

    Returns:
        (text, (first, last) character of each word, probabilities (words, tags)) for each pair.
    """
    labels = UPOS if kind == "upos" else taggers[0].labels[kind]
    texts = [text for _, text in pairs]
    cuts = [split_words(text) for text in texts]
    words = [[text[a:b] for a, b in cut] for text, cut in zip(texts, cuts, strict=True)]
    total = [torch.zeros(len(own), len(labels)) for own in words]
    for tagger in taggers:
        at = torch.tensor([labels.index(tag) for tag in tagger.labels[kind]])
        for own, found in zip(total, tagger.probabilities(words, kind), strict=True):
            if len(own):
                own.index_add_(1, at, found / len(taggers))
    out = []
    for (condition, text), cut, own in zip(pairs, cuts, total, strict=True):
        if kind == "upos":
            for name in _NAMES.findall(condition):
                _mark_name(text, name, cut, own)
            for k, (a, b) in enumerate(cut):
                if text[a:b] in _CURRENCIES:
                    own[k] = F.one_hot(torch.tensor(UPOS.index("SYM")), len(UPOS))
        out.append((text, cut, own))
    return out


def _mark_name(text: str, name: str, cut: Sequence[tuple[int, int]], own: Tensor) -> None:
    for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text):
        for k, (a, b) in enumerate(cut):
            inside = match.start() <= a and b <= match.end()
            if inside and text[a:b].lower() in _NUMERALS:  # "The Twenty Two", "The Six Bells": taggers disagree
                own[k] = 0.1 * own[k]
                own[k, UPOS.index("NUM")] += 0.45
                own[k, UPOS.index("PROPN")] += 0.45
            elif inside and UPOS[int(own[k].argmax())] not in _CLOSED:  # "The" and "All" are what they are
                own[k] *= 1 - _SURE
                own[k, UPOS.index("PROPN")] += _SURE


def text_places(ids: Sequence[int], vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """(first, last) character of each token of a text written from nothing, the leading space of the text cut off."""
    data, ends = b"", [0]
    for token in ids:
        data += vocabulary.surfaces[token]
        ends.append(len(data))
    lead = 1 if data.startswith(b" ") else 0
    places = []
    for a, b in itertools.pairwise(ends):
        places.append(tuple(max(0, len(data[:x].decode("utf-8", "ignore")) - lead) for x in (a, b)))
    return places  # type: ignore[return-value]


def make_tables(
    tokenizer: TextTokenizer, pairs: Sequence[tuple[str, str]], taggers: Sequence[WordTagger], card: dict[str, Any]
) -> TagTables:
    """Tag tables of a tokenizer, counted on texts."""
    vocabulary = tokenizer.vocabulary

    def counted() -> Iterator[tuple[list[int], list[int], list[Tensor]]]:
        tagged = silver_tags(pairs, taggers)
        for (text, cut, own), ids in zip(tagged, tokenizer.encode_batch([t for t, _, _ in tagged]), strict=True):
            if cut:
                yield ids, token_openings(text, text_places(ids, vocabulary), cut), list(own)

    return build_tables(vocabulary, counted(), card)

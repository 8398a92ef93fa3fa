"""Sentences of the E2E corpus as the peers learn them: with their words and, for the goal of tags, with tags.

The tags are those that our own tables are counted from: a tagger trained on Universal Dependencies, and the names that a
sentence's fields give. spaCy, the judge, has no part in them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.goals import TAGS, Sentence
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.record import write_json
from diffusionlm.training.syntax.silver import silver_tags
from diffusionlm.training.syntax.tagger import WordTagger, train_tagger
from diffusionlm.training.syntax.treebanks import read_conllu

Tagger = Callable[[Sequence[str]], list[list[str]]]


def words_as_given(path: Path) -> list[Sentence]:
    """Sentences of a file, cut at its spaces, in its order."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    pairs = zip(read_e2e(path), lines, strict=True)
    return [Sentence(text, tuple(line.partition("||")[2].split())) for (_, text), line in pairs]


def tagged(path: Path, treebanks: Path, keep: Path, count: int = 8_000, seed: int = 0) -> tuple[list[Sentence], Tagger]:
    """`count` sentences of a file with tags, and the tagger, without the fields that helped it.

    Args:
        path: of the corpus.
        treebanks: folder with ewt-train.conllu.
        keep: folder where the tagger and the tags are kept.
        count: of sentences, drawn at random.
        seed: of the draw and the tagger.
    """
    tagger = _tagger(treebanks / "ewt-train.conllu", keep / f"tagger-{seed}.pt", seed)

    def cut(pairs: Sequence[tuple[str, str]]) -> list[Sentence]:
        found = []
        for text, places, probabilities in silver_tags(pairs, [tagger]):
            tags = [TAGS[k] for k in probabilities.argmax(-1).tolist()] if places else []
            found.append(Sentence(text, tuple(text[a:b] for a, b in places), tuple(tags)))
        return found

    file = keep / f"tags-{count}-{seed}.json"
    if not file.is_file():
        pairs = read_e2e(path)
        made = cut(random.Random(seed).sample(pairs, min(count, len(pairs))))
        write_json(file, [[s.text, s.words, s.tags] for s in made if s.words])
    rows = json.loads(file.read_text(encoding="utf-8"))
    sentences = [Sentence(text, tuple(words), tuple(tags)) for text, words, tags in rows]
    return sentences, lambda texts: [list(s.tags) for s in cut([("", text) for text in texts])]


def _tagger(treebank: Path, keep: Path, seed: int) -> WordTagger:
    if not keep.is_file():
        made = train_tagger(read_conllu(treebank), epochs=3, seed=seed)
        state: dict[str, Any] = {"known": made.known, "labels": made.labels, "weights": made.state_dict()}
        keep.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, keep)
    state = torch.load(keep, weights_only=True)
    tagger = WordTagger(state["known"], state["labels"])
    tagger.load_state_dict(state["weights"])
    return tagger.eval()

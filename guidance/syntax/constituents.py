"""`Constituents`: phrases that certain words of a text form, or its whole tree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.syntax.automaton import TagAutomaton, intersect, place_automaton, sequence_automaton
from diffusionlm.guidance.syntax.labels import UPOS, check_label, pointed
from diffusionlm.guidance.syntax.parts_of_speech import SMALL_LEXICON, TagRule
from diffusionlm.guidance.syntax.trees import Tree, parse_tree
from diffusionlm.guidance.syntax.windows import Window, find_windows

if TYPE_CHECKING:
    from diffusionlm.guidance.syntax.windows import WindowTables
    from diffusionlm.text import Vocabulary

READER = "constituents"
RUNS = 16  # different runs of tags that one span may have
SURE = (0.9, 0.75, 0.5)  # shares of runs that are tried, the surest first
ENOUGH = 6  # runs of a share at which no lower share is tried
_SPAN = re.compile(
    r"\s*(?P<label>[A-Za-z:]+)\s*\(?\s*(?P<first>\d+)\s*(?:[-,]\s*(?P<last>\d+))?\s*\)?\s*(?P<end>[;,]|$|\Z)?"
)

# Universal parts of speech of Penn tags
PENN = {
    "CC": ["CCONJ"], "CD": ["NUM"], "DT": ["DET", "PRON"], "EX": ["PRON"], "FW": ["X"], "IN": ["ADP", "SCONJ"],
    "JJ": ["ADJ"], "JJR": ["ADJ"], "JJS": ["ADJ"], "LS": ["X"], "MD": ["AUX"], "NN": ["NOUN"], "NNS": ["NOUN"],
    "NNP": ["PROPN"], "NNPS": ["PROPN"], "PDT": ["DET"], "POS": ["PART"], "PRP": ["PRON"], "PRP$": ["PRON"],
    "RB": ["ADV", "PART"], "RBR": ["ADV"], "RBS": ["ADV"], "RP": ["ADP", "ADV"], "SYM": ["SYM"], "TO": ["PART", "ADP"],
    "UH": ["INTJ"], "VB": ["VERB", "AUX"], "VBD": ["VERB", "AUX"], "VBG": ["VERB", "AUX"], "VBN": ["VERB", "AUX"],
    "VBP": ["VERB", "AUX"], "VBZ": ["VERB", "AUX"], "WDT": ["PRON", "DET"], "WP": ["PRON"], "WP$": ["PRON", "DET"],
    "WRB": ["ADV", "SCONJ"], "$": ["SYM"], "HYPH": ["PUNCT"], "-LRB-": ["PUNCT"], "-RRB-": ["PUNCT"], ":": ["PUNCT"],
    ",": ["PUNCT"], "``": ["PUNCT"], "''": ["PUNCT"], "NFP": ["PUNCT"], "ADD": ["X"], "AFX": ["X", "ADJ"],
}  # fmt: skip


@register("constituents")
class Constituents(TagRule):
    """Phrases that certain words form: spans of words with a label, or a whole bracketed tree.

    A span becomes an automaton over the parts of speech inside and beside it: all runs of tags that a parser mostly takes
    for such a constituent (marginals of its chart over our corpus), anything before and behind. A tree whose leaves are
    parts of speech becomes their sequence. How tags act on words, and what holds, is as for `PartOfSpeech`.

    Args:
        spans: ``"PP 3-5, NP 0-1"``, labels and their words, counted from 0, the last one included; or a tree,
            ``"(S (NP DET NOUN) (VP AUX (ADJP ADJ)) PUNCT)"``, whose leaves are universal or Penn tags (words below them
            are left open), or ``*`` for any; in Python also ``(3, 5, "PP")``, a list of such, or a `Tree`.
        windows: folder of the parser's runs of tags; None takes those that belong to the model.
        grammar: instead of these, the runs of each label, ``{"NP": ["DET NOUN", "DET ADJ NOUN"]}``.
        least: a word cannot be used if its tag is less probable than this share of what the tagger says of a sure word.
        tables: folder of the tagger's tables; None takes those that belong to the model.
        lexicon: instead of tables, the words that may be used and their tags, ``{"pub": ["NOUN"], ...}``.
        including: phrases that the text shall hold, or lists of phrases one of which it shall hold.
        weight: how sure of each word's tag to be.
        idiom: how much to prefer words that the corpus has between words of the tags asked for.

    Raises:
        ValueError: if a label is unknown or the text has an error, pointing at the character.

    Example:
        >>> Constituents("PP 3-5").wish
        'PP 3-5'
    """

    spans: str | Tree | tuple[int, int, str] | Sequence[tuple[int, int, str]] = "NP 0-1"
    windows: str | Path | None = None
    grammar: Mapping[str, Sequence[str]] | None = None

    reference = "Li et al. 2022, Diffusion-LM improves controllable text generation, section 5.1 (spans, trees)"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tree: Tree | None = None
        if isinstance(self.spans, Tree) or (isinstance(self.spans, str) and self.spans.lstrip().startswith("(")):
            self.tree = self.spans if isinstance(self.spans, Tree) else parse_tree(self.spans)
            _check_labels(self.tree, str(self.spans))
            self.spans = str(self.tree)
            self.targets = [(i, j, _constituent(label)) for i, j, label in self.tree.spans()]
        else:
            self.targets = read_spans(self.spans)

    @classmethod
    def example(cls) -> Constituents:
        """A noun phrase of a small grammar."""
        return cls(spans="NP 0-1", grammar={"NP": ["DET NOUN"]}, lexicon=SMALL_LEXICON)

    @property
    def wish(self) -> str:
        """The spans or the tree as text."""
        return str(self.tree) if self.tree else ", ".join(f"{label} {i}-{j}" for i, j, label in self.targets)

    def automaton(self, vocabulary: Vocabulary) -> TagAutomaton:
        """The sequences of tags that make the constituents.

        Raises:
            ValueError: if the parser knows no run of tags for one of them.
        """
        parts = []
        if self.tree is not None:
            leaves = [_leaf_tags(tag) for tag in self.tree.tags()]
            parts.append(sequence_automaton(leaves))
            if all(len(own) < len(UPOS) for own in leaves):
                return parts[0]
        tables = None if self.grammar is not None else find_windows(READER, vocabulary, self.windows)
        parts += [self._place(tables, *target) for target in self.targets]
        return reduce(intersect, parts)

    def _place(self, tables: WindowTables | None, first: int, last: int, label: str) -> TagAutomaton:
        size = last - first + 1
        if tables is None:
            given = [run.split() for run in (self.grammar or {}).get(label, [])]
            runs = [("", tuple(run), "") for run in given if len(run) == size]
            known = sorted({len(run) for run in given})
        else:
            found = choose_runs(tables, label, size, first == 0)
            runs = [(w.before, w.tags, w.behind) for w in found]
            known = tables.lengths(label) if label in tables.labels else []
        if not runs:
            at = "at the beginning of a text" if first == 0 else "inside a text"
            raise ValueError(
                f"No run of {size} parts of speech {at} is mostly a {label}; known are runs of {known or 'no'} words."
            )
        return place_automaton(first, runs)


def choose_runs(tables: WindowTables, label: str, size: int, at_start: bool) -> list[Window]:
    """The surest runs of a label and length, at most `RUNS`; less sure ones only where there are few, and last those of which
    only the ends are known. Of a chain ("S::NP") that is not known, the lowest label that is."""
    label = next((own for own in (label, *reversed(label.split("::"))) if own in tables.labels), "")
    found: list[Window] = []
    for find in (tables.find, tables.find_edges) if label else ():
        for least in SURE:
            found = find(label, size, at_start, least)[:RUNS]
            if len(found) >= (ENOUGH if find == tables.find else 1):
                return found
        if found:
            return found
    return found


def read_spans(spans: Any) -> list[tuple[int, int, str]]:
    """(first, last, label) of each span, from text or objects.

    Raises:
        ValueError: if it cannot be read.
    """
    if isinstance(spans, str):
        found, at = [], 0
        while at < len(spans.rstrip()):
            match = _SPAN.match(spans, at)
            if match is None or match.end() == at:
                raise ValueError(pointed(spans, at, "a span is a label and its first and last word, as in 'PP 3-5'"))
            try:
                label = _constituent(match["label"])
            except ValueError as error:
                raise ValueError(pointed(spans, match.start("label"), str(error))) from None
            found.append((int(match["first"]), int(match["last"] or match["first"]), label))
            at = match.end()
    elif isinstance(spans, Sequence) and len(spans) == 3 and isinstance(spans[2], str):
        found = [(spans[0], spans[1], _constituent(spans[2]))]
    elif isinstance(spans, Sequence) and spans and all(isinstance(s, Sequence) and len(s) == 3 for s in spans):
        found = [(s[0], s[1], _constituent(s[2])) for s in spans]
    else:
        raise ValueError(f"A span is (first word, last word, label), as in (3, 5, 'PP'); got {spans!r}.")
    for first, last, label in found:
        if not (isinstance(first, int) and isinstance(last, int) and 0 <= first <= last):
            raise ValueError(
                f"The words of a span are counted from 0 and both belong to it; got {(first, last, label)}."
            )
    if not found:
        raise ValueError("Constituents needs a span, as in (3, 5, 'PP').")
    for i, (a, b, one) in enumerate(found):
        for c, d, other in found[i + 1 :]:
            if a < c <= b < d or c < a <= d < b:
                raise ValueError(f"{one} {a}-{b} and {other} {c}-{d} overlap without one holding the other.")
    return found


def _check_labels(tree: Tree, text: str) -> None:
    """Points at the first label of a tree that there is not."""
    checks = [(label, _constituent) for *_, label in tree.spans()] + [(tag, _leaf_tags) for tag in tree.tags()]
    for label, check in checks:
        try:
            check(label)
        except ValueError as error:
            found = re.search(rf"(?<![^\s(]){re.escape(label)}(?![^\s()=|-])", text)
            raise ValueError(pointed(text, found.start() if found else 0, str(error))) from None


def _constituent(label: str) -> str:
    """A label, or a chain such as "S::VP", in its own spelling."""
    return "::".join(check_label(part, "constituent") for part in str(label).split("::"))


def _leaf_tags(tag: str) -> list[str]:
    if tag == ".":
        return ["PUNCT"]
    if tag in PENN:
        return PENN[tag]
    if tag == "*":
        return list(UPOS)
    try:
        return [check_label(tag, "part of speech")]
    except ValueError as error:
        raise ValueError(f"{error} Leaves of a tree are universal or Penn tags, or * for any.") from None

"""`Dependencies`: which word depends on which, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.syntax.automaton import TagAutomaton, intersect, place_automaton
from diffusionlm.guidance.syntax.constituents import choose_runs
from diffusionlm.guidance.syntax.labels import RELATIONS, check_label, pointed
from diffusionlm.guidance.syntax.parts_of_speech import SMALL_LEXICON, TagRule
from diffusionlm.guidance.syntax.windows import WindowTables, find_windows

if TYPE_CHECKING:
    from diffusionlm.text import Vocabulary

READER = "dependencies"
ANY = "*"
_ARC = re.compile(
    r"\s*(?P<relation>[a-z]+|\*)\s*\(\s*(?P<head>\d+|\*)\s*,\s*(?P<dependent>\d+)\s*\)\s*[,;]?", re.IGNORECASE
)


@register("dependencies")
class Dependencies(TagRule):
    """Heads and relations of certain words, in the sense of Universal Dependencies.

    An arc becomes an automaton over the parts of speech from one of its words to the other and beside them: all runs of tags
    whose ends a treebank mostly joins by this relation. What stands further away is not looked at, so arcs across many words
    are surer to be refused than short ones. How tags act on words, and what holds, is as for `PartOfSpeech`.

    Args:
        arcs: ``"nsubj(2, 1), det(1, 0)"``, relation(head, dependent), words counted from 0; ``*`` for any relation, or for
            any head; in Python also ``[(1, 2, "nsubj"), (0, 1, "det")]``, dependent, head (None: any) and relation.
        windows: folder of the treebank's runs of tags; None takes those that belong to the model.
        grammar: instead of these, runs of tags from the first to the last word of an arc, ``{"det>": ["DET NOUN"]}``; ">"
            where the head stands behind, "<" where it stands before.
        least: a word cannot be used if its tag is less probable than this share of what the tagger says of a sure word.
        tables: folder of the tagger's tables; None takes those that belong to the model.
        lexicon: instead of tables, the words that may be used and their tags, ``{"pub": ["NOUN"], ...}``.
        including: phrases that the text shall hold, or lists of phrases one of which it shall hold.
        weight: how sure of each word's tag to be.
        idiom: how much to prefer words that the corpus has between words of the tags asked for.

    Raises:
        ValueError: if a relation is unknown or the text has an error, pointing at the character.

    Example:
        >>> Dependencies("nsubj(2, 1)").wish
        'nsubj(2, 1)'
    """

    arcs: str | tuple[int, int | None, str] | Sequence[tuple[int, int | None, str]] = "det(1, 0)"
    windows: str | Path | None = None
    grammar: Mapping[str, Sequence[str]] | None = None

    reference = "Nivre et al. 2020, Universal Dependencies v2"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.targets = read_arcs(self.arcs)

    @classmethod
    def example(cls) -> Dependencies:
        """A determiner of a small grammar."""
        return cls(arcs="det(1, 0)", grammar={"det>": ["DET NOUN"]}, lexicon=SMALL_LEXICON)

    @property
    def wish(self) -> str:
        """The arcs as text."""
        return ", ".join(f"{r}({ANY if h is None else h}, {d})" for d, h, r in self.targets)

    def automaton(self, vocabulary: Vocabulary) -> TagAutomaton:
        """The sequences of tags that make the arcs.

        Raises:
            ValueError: if the treebank has no run of tags for one of them.
        """
        tables = None if self.grammar is not None else find_windows(READER, vocabulary, self.windows)
        return reduce(intersect, [self._place(tables, *target) for target in self.targets])

    def _place(self, tables: WindowTables | None, dependent: int, head: int | None, relation: str) -> TagAutomaton:
        first, last = (dependent, dependent) if head is None else sorted((dependent, head))
        side = "" if head is None else ">" if head > dependent else "<"
        label, size = relation + side, last - first + 1
        if tables is None:
            given = [run.split() for run in (self.grammar or {}).get(label, [])]
            runs = [("", tuple(run), "") for run in given if len(run) == size]
        else:
            runs = [(w.before, w.tags, w.behind) for w in choose_runs(tables, label, size, first == 0)]
        if not runs:
            where = f"of {size} words" if head is not None else "beside any head"
            at = " at the beginning of a text" if first == 0 else ""
            raise ValueError(
                f"No run of parts of speech {where}{at} is mostly joined by {label}; ask for a shorter arc."
            )
        return place_automaton(first, runs)


def read_arcs(arcs: Any) -> list[tuple[int, int | None, str]]:
    """(dependent, head or None, relation) of each arc, from text or objects.

    Raises:
        ValueError: if it cannot be read.
    """
    found: list[tuple[int, int | None, str]] = []
    if isinstance(arcs, str):
        at = 0
        while at < len(arcs.rstrip()):
            match = _ARC.match(arcs, at)
            if match is None:
                raise ValueError(pointed(arcs, at, "an arc is relation(head, dependent), as in 'nsubj(2, 1)'"))
            head = None if match["head"] == ANY else int(match["head"])
            try:
                found.append((int(match["dependent"]), head, _relation(match["relation"])))
            except ValueError as error:
                raise ValueError(pointed(arcs, match.start("relation"), str(error))) from None
            at = match.end()
    elif isinstance(arcs, Sequence) and arcs:
        items = [arcs] if isinstance(arcs[0], int) else arcs
        for item in items:
            if len(item) != 3 or not isinstance(item[0], int) or not (item[1] is None or isinstance(item[1], int)):
                raise ValueError(f"An arc is (dependent, head or None, relation), as in (1, 2, 'nsubj'); got {item!r}.")
            found.append((item[0], item[1], _relation(item[2])))
    if not found:
        raise ValueError(f"Dependencies needs an arc, as in 'nsubj(2, 1)' or (1, 2, 'nsubj'); got {arcs!r}.")
    for dependent, head, relation in found:
        if dependent < 0 or (head is not None and (head < 0 or head == dependent)):
            raise ValueError(f"{relation}({head}, {dependent}): words are counted from 0, and no word is its own head.")
        if head is None and relation == ANY:
            raise ValueError(f"*(*, {dependent}) asks for nothing; name the relation or the head.")
    return found


def _relation(name: str) -> str:
    return ANY if name == ANY else check_label(str(name).partition(":")[0], "relation", RELATIONS)

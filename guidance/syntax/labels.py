"""The labels of syntax: universal parts of speech, Penn constituents, relations of Universal Dependencies."""

from __future__ import annotations

from collections.abc import Iterable

from diffusionlm.errors import suggestion

# https://universaldependencies.org/u/pos
UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM",
    "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip

MARKS = frozenset({"PUNCT", "SYM"})  # parts of speech of what is no word

# Penn Treebank bracketing guidelines (Bies et al. 1995), without the root
CONSTITUENTS = (
    "ADJP", "ADVP", "CONJP", "FRAG", "INTJ", "LST", "NAC", "NML", "NP", "NX", "PP", "PRN", "PRT", "QP", "RRC",
    "S", "SBAR", "SBARQ", "SINV", "SQ", "UCP", "VP", "WHADJP", "WHADVP", "WHNP", "WHPP", "X",
)  # fmt: skip

# https://universaldependencies.org/u/dep
RELATIONS = (
    "acl", "advcl", "advmod", "amod", "appos", "aux", "case", "cc", "ccomp", "clf", "compound", "conj", "cop",
    "csubj", "dep", "det", "discourse", "dislocated", "expl", "fixed", "flat", "goeswith", "iobj", "list", "mark",
    "nmod", "nsubj", "nummod", "obj", "obl", "orphan", "parataxis", "punct", "reparandum", "root", "vocative", "xcomp",
)  # fmt: skip

KINDS = {"part of speech": UPOS, "constituent": CONSTITUENTS, "relation": RELATIONS}


def check_label(label: str, kind: str, known: Iterable[str] | None = None) -> str:
    """A label in its own spelling.

    Args:
        label: in any case.
        kind: of label, as in `KINDS`.
        known: the labels allowed; all of that kind if None.

    Raises:
        ValueError: for an unknown one, with the nearest known.
    """
    allowed = tuple(KINDS[kind] if known is None else known)
    by_lower = {item.lower(): item for item in allowed}
    found = by_lower.get(str(label).strip().lower())
    if found is None:
        raise ValueError(f"{label!r} is no {kind}; {suggestion(str(label), allowed)}")
    return found


def pointed(text: str, at: int, what: str) -> str:
    """An error message that points at a character of a specification."""
    first = max(0, at - 40)
    shown = text[first : at + 40].replace("\n", " ")
    return f"{what} (character {at + 1}):\n    {shown}\n    {' ' * (at - first)}^"

"""Languages of texts by their length or by a template."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from diffusionlm.guidance.automata.alphabet import Bools, Ints, matching_characters
from diffusionlm.guidance.automata.language import Language, concatenation, one_of_classes, quoted, union
from diffusionlm.guidance.automata.regular_expressions import regex

_SLOT = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def length(
    least: int, most: int | None = None, unit: Literal["words", "characters"] = "words", max_length: int = 100_000
) -> Language:
    """Texts of at least `least` and at most `most` words or characters (both included; `most` None: no upper limit).

    Words are what ``text.split()`` gives: runs of characters that are not white space.
    """
    check_range(least, most, unit, max_length)
    top = least if most is None else most + 1  # counts beyond this are all alike
    amount = f"exactly {least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
    name = f"{amount} {unit}"

    def in_range(counts: Ints) -> Bools:
        return (counts >= least) & (counts <= (top if most is None else most))

    def count_characters(_: Bools) -> tuple[Ints, Bools]:
        counts = np.arange(top + 1)
        return np.minimum(counts + 1, top)[:, None], in_range(counts)

    def count_words(member: Bools) -> tuple[Ints, Bools]:
        counts = np.repeat(np.arange(top + 1), 2)  # state 2n: n words and outside a word, 2n + 1: inside the n-th word
        states = np.arange(len(counts))
        inside = states % 2 == 1
        delta = np.empty((len(counts), member.shape[1]), dtype=np.int64)
        delta[:, member[0]] = (2 * counts)[:, None]
        delta[:, ~member[0]] = np.where(inside, states, 2 * np.minimum(counts + 1, top) + 1)[:, None]
        return delta, in_range(counts)

    if unit == "characters":
        return one_of_classes(name, [matching_characters(".", re.DOTALL)], count_characters)
    return one_of_classes(name, [matching_characters(r"\s")], count_words)


def check_range(least: int, most: int | None, unit: str, largest: int) -> None:
    """Raise ValueError if a range of lengths is not one."""
    if unit not in ("words", "characters", "tokens"):
        raise ValueError(f'unit={unit!r} is not known; use "words", "characters" or "tokens".')
    for value in (least, most):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest):
            raise ValueError(f"A length in {unit} must be a whole number from 0 to {largest:,}; got {value!r}.")
    if most is not None and most < least:
        raise ValueError(f"The least length {least} is above the largest {most} (in {unit}); swap them.")


def template(text: str, slots: Mapping[str, str | Sequence[str] | Language] | None = None) -> Language:
    """Texts made by filling the slots of a template: ``template("{name} is a {kind} pub.", {"kind": ["cheap",
    "small"]})``.

    Args:
        text: literal text with slots in braces; ``{{`` and ``}}`` stand for braces themselves.
        slots: what may stand in a slot: a list of texts, a regular expression (str) or a Language. A slot not listed
            holds any text of at least one character without line breaks.

    Raises:
        ValueError: braces that do not pair, an empty slot name, a slot that the template does not have, no choices.
    """
    slots = dict(slots or {})
    parts: list[Language] = []
    used = set()
    position = 0
    literal = ""
    for match in _SLOT.finditer(text):
        literal += text[position : match.start()]
        position = match.end()
        if match.group() in ("{{", "}}"):
            literal += match.group()[0]
            continue
        slot = match.group(1)
        if not slot:
            raise ValueError(
                f"The template {text!r} has a brace without a slot name at position {match.start()}; write {{name}}, "
                "or double the brace to mean the character itself."
            )
        parts += [regex(re.escape(literal)), _slot(slot, slots.get(slot, ".+"))]
        used.add(slot)
        literal = ""
    if unknown := sorted(set(slots) - used):
        raise ValueError(f"The template {text!r} has no slot {unknown[0]!r}; its slots are {sorted(used)}.")
    parts.append(regex(re.escape(literal + text[position:])))
    return concatenation(parts, f"follows the template {quoted(text)}")


def _slot(name: str, filler: str | Sequence[str] | Language) -> Language:
    if isinstance(filler, Language):
        return filler
    if isinstance(filler, str):
        return regex(filler)
    if not filler:
        raise ValueError(f"The slot {name!r} has no choices; give at least one text.")
    return union([regex(re.escape(choice)) for choice in filler])

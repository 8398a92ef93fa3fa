"""Sets of phrases to automata, directly and not through a regular expression: Aho and Corasick (1975).

With `whole_words` an occurrence counts only if the characters right before and after it are not word characters (\\w),
so that "cat" is not found in "category". The trie is then entered only behind a non-word character, which restricts the
failure links to suffixes that begin at such a place; the deepest node still knows all others.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from diffusionlm.guidance.automata.algebra import Budget
from diffusionlm.guidance.automata.alphabet import Bools, CharSet, Ints, matching_characters, partition, same_letter
from diffusionlm.guidance.automata.language import Language, intersection, quoted

MAX_CELLS = 100_000_000


def contains_any(
    phrases: Iterable[str], *, ignore_case: bool = False, whole_words: bool = False, max_states: int = 1_000_000
) -> Language:
    """Texts in which at least one of the phrases occurs.

    Args:
        phrases: texts that are not empty.
        ignore_case: letters are compared as by `re.IGNORECASE`.
        whole_words: an occurrence may not touch a word character (\\w) on either side.
        max_states: cap on the nodes of the trie.

    Raises:
        ValueError: no phrase, an empty one, or something that is not a str.
        AutomatonTooLarge: the phrases together are longer than the cap.
    """
    phrases = check_phrases(phrases)
    name = _named("contains", phrases, " or ")
    flags = re.IGNORECASE if ignore_case else 0
    letters = {letter: same_letter(letter, flags) for letter in sorted(set("".join(phrases)))}
    cuts, classes, member = partition([*dict.fromkeys(letters.values()), matching_characters(r"\w")])
    word = member[-1]
    # Folded letters form disjoint sets, each one class: an inner cut at \w never splits the variants of a letter.
    symbol = {letter: _class_of(characters, cuts, classes) for letter, characters in letters.items()}
    budget = Budget(f"The set of {len(phrases):,} phrases", max_states, 120.0)
    children, ends = _trie(phrases, symbol, budget)
    if len(children) * member.shape[1] > MAX_CELLS:
        budget.check(max_states + 1)
    delta, output = _link(children, ends, member.shape[1], word if whole_words else None)
    found = len(delta)
    delta = np.concatenate([delta, np.full((1, member.shape[1]), found)])
    accepting = np.append(output, True)
    if whole_words:
        delta[np.ix_(np.append(output, False), ~word)] = found  # confirmed by the non-word character behind it
    else:
        delta[np.append(output, False)] = found
    return Language.from_arrays(name, cuts, classes, delta, accepting)


def contains_none(phrases: Iterable[str], **options: bool | int) -> Language:
    """Texts in which none of the phrases occurs. Options as in `contains_any`."""
    phrases = check_phrases(phrases)
    return (~contains_any(phrases, **options)).renamed(_named("excludes", phrases, ", "))  # type: ignore[arg-type]


def contains_all(phrases: Iterable[str], **options: bool | int) -> Language:
    """Texts in which every phrase occurs, in any order. The states multiply: for more than a handful of phrases bind
    one automaton for each phrase instead. Options as in `contains_any`."""
    phrases = check_phrases(phrases)
    every = [contains_any([phrase], **options) for phrase in phrases]  # type: ignore[arg-type]
    return intersection(every, _named("contains", phrases, " and "))


def check_phrases(phrases: Iterable[str]) -> list[str]:
    """The distinct phrases in order; raises ValueError where there are none, or one is empty or not a str."""
    if isinstance(phrases, str):
        raise ValueError(f"phrases must be a list of texts; a single text was given: write [{phrases!r}].")
    phrases = list(dict.fromkeys(phrases))
    for phrase in phrases:
        if not isinstance(phrase, str) or not phrase:
            raise ValueError(f"A phrase must be a text of at least one character; got {phrase!r}.")
    if not phrases:
        raise ValueError("phrases is empty; give at least one phrase.")
    return phrases


def _class_of(characters: CharSet, cuts: Ints, classes: Ints) -> int:
    return int(classes[np.searchsorted(cuts, characters[0][0], side="right") - 1])


def _trie(phrases: Sequence[str], symbol: dict[str, int], budget: Budget) -> tuple[list[dict[int, int]], list[int]]:
    children: list[dict[int, int]] = [{}]
    ends = []
    for phrase in phrases:
        node = 0
        for letter in phrase:
            child = children[node].get(symbol[letter])
            if child is None:
                child = children[node][symbol[letter]] = len(children)
                children.append({})
            node = child
        ends.append(node)
        budget.check(len(children))
    return children, ends


def _link(children: list[dict[int, int]], ends: Sequence[int], width: int, word: Bools | None) -> tuple[Ints, Bools]:
    """Complete the trie breadth-first. The state behind the last node means: inside a word that began outside the
    trie."""
    blocked = len(children)
    delta = np.zeros((len(children) + 1, width), dtype=np.int64)
    if word is not None:
        delta[0, word] = delta[blocked, word] = blocked
    output = np.zeros(len(children) + 1, dtype=bool)
    output[list(ends)] = True
    failure = {0: blocked if word is not None else 0}
    queue = [0]
    for node in queue:
        if node:
            delta[node] = delta[failure[node]]
            output[node] |= output[failure[node]]
        for symbol, child in children[node].items():
            failure[child] = int(delta[node, symbol])  # where the longest proper suffix leads, before the child is set
            delta[node, symbol] = child
            queue.append(child)
    return delta, output


def _named(verb: str, phrases: Sequence[str], glue: str) -> str:
    shown = [quoted(phrase) for phrase in phrases[:3]]
    return f"{verb} {glue.join(shown)}" + (f" and {len(phrases) - 3:,} more phrases" if len(phrases) > 3 else "")

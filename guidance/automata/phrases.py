"""Sets of phrases to automata, directly and not through a regular expression: Aho and Corasick (1975).

With `whole_words` an occurrence counts only if it is not part of a longer word: where the phrase begins (or ends) with a
word character, none may stand before (behind) it, so that "cat" is not found in "category". An edge that is no word
character ends no word: "£" is found in "£20", "%" in "20%". Phrases that begin with a word character are entered only
behind a character that is none, which restricts their failure links to suffixes that begin at such a place; the deepest
node still knows all others. Word characters are \\w and combining marks (`look_alikes.word_characters`).
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from diffusionlm.guidance.automata.algebra import Budget
from diffusionlm.guidance.automata.alphabet import Bools, CharSet, Ints, partition, same_letter
from diffusionlm.guidance.automata.language import Language, intersection, quoted
from diffusionlm.guidance.automata.look_alikes import INVISIBLE, look_alikes, ranges, spellings, word_characters

MAX_CELLS = 100_000_000


def contains_any(
    phrases: Iterable[str],
    *,
    ignore_case: bool = False,
    whole_words: bool = False,
    alike: bool = False,
    max_states: int = 1_000_000,
) -> Language:
    """Texts in which at least one of the phrases occurs.

    Args:
        phrases: texts that are not empty.
        ignore_case: letters are compared as by `re.IGNORECASE`.
        whole_words: an occurrence may not be part of a longer word.
        alike: characters that look alike (straight and curly apostrophes, dashes, kinds of space) are the same, accents
            may be composed or not, and invisible characters do not count; see `look_alikes`.
        max_states: cap on the nodes of the trie.

    Raises:
        ValueError: no phrase, an empty one, or something that is not a str.
        AutomatonTooLarge: the phrases together are longer than the cap.
    """
    phrases = check_phrases(phrases)
    name = _named("contains", phrases, " or ")
    if alike:
        phrases = list(dict.fromkeys(spelling for phrase in phrases for spelling in spellings(phrase, ignore_case)))
    flags = re.IGNORECASE if ignore_case else 0
    letters = {letter: _letter(letter, flags, alike) for letter in sorted(set("".join(phrases)))}
    silent = "".join(set(INVISIBLE) - {chr(a) for own in letters.values() for a, _ in own}) if alike else ""
    sets = list(dict.fromkeys(letters.values()))
    # What a reader does not see ends no word either: it is passed over, or else counts as part of one.
    borders = word_characters() if alike else tuple(sorted({*word_characters(), *ranges(INVISIBLE)}))
    cuts, classes, member = partition([*sets, borders, ranges(silent)])
    word, unseen = member[-2], member[-1]
    symbols = {letter: np.nonzero(member[sets.index(own)])[0].tolist() for letter, own in letters.items()}
    budget = Budget(f"The set of {len(phrases):,} phrases", max_states, 120.0)
    children, ends = _trie(phrases, symbols, budget)
    if len(children) * member.shape[1] > MAX_CELLS:
        budget.check(max_states + 1)
    inner = {letter: bool(word[own[0]]) for letter, own in symbols.items()}  # sets never mix the two kinds
    confirmed = np.zeros(len(children) + 1, dtype=bool)  # found with the last character
    pending = np.zeros(len(children) + 1, dtype=bool)  # found unless a word character comes behind it
    for phrase, end in zip(phrases, ends, strict=True):
        (pending if whole_words and inner[phrase[-1]] else confirmed)[end] = True
    delta = _link(children, (confirmed, pending), member.shape[1], word if whole_words else None, unseen)
    found = len(delta)
    delta = np.concatenate([delta, np.full((1, member.shape[1]), found)])
    confirmed, pending = np.append(confirmed, True), np.append(pending, False)
    delta[np.ix_(pending, ~word & ~unseen)] = found
    delta[confirmed[delta]] = found
    return Language.from_arrays(name, cuts, classes, delta, confirmed | pending)


def contains_none(phrases: Iterable[str], **options: bool | int) -> Language:
    """Texts in which none of the phrases occurs. Options as in `contains_any`."""
    phrases = check_phrases(phrases)
    return (~contains_any(phrases, **options)).renamed(_named("excludes", phrases, ", "))  # type: ignore[arg-type]


def contains_all(phrases: Iterable[str], **options: bool | int) -> Language:
    """Texts in which every phrase occurs, in any order. The states double with each: for more than a handful see
    `diffusionlm.guidance.automata.orders`. Options as in `contains_any`."""
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


def _letter(letter: str, flags: int, alike: bool) -> CharSet:
    variants = look_alikes(letter) if alike else letter
    return tuple(sorted({piece for variant in variants for piece in same_letter(variant, flags)}))


def _trie(
    phrases: Sequence[str], symbols: dict[str, list[int]], budget: Budget
) -> tuple[list[dict[int, int]], list[int]]:
    """The children of each node by class (several classes of a letter lead to one child), and where each phrase ends."""
    children: list[dict[int, int]] = [{}]
    ends = []
    for phrase in phrases:
        node = 0
        for letter in phrase:
            child = children[node].get(symbols[letter][0])
            if child is None:
                child = len(children)
                children.append({})
                for symbol in symbols[letter]:
                    children[node][symbol] = child
            node = child
        ends.append(node)
        budget.check(len(children))
    return children, ends


def _link(
    children: list[dict[int, int]], outputs: Sequence[Bools], width: int, word: Bools | None, unseen: Bools
) -> Ints:
    """Complete the trie breadth-first and carry what suffixes find over to the nodes (outputs, in place). The state behind
    the last node means: inside a word that began outside the trie; phrases that begin with no word character start there
    too."""
    blocked = len(children)
    delta = np.zeros((len(children) + 1, width), dtype=np.int64)
    if word is not None:
        delta[0, word] = blocked
    failure = {0: blocked if word is not None else 0}
    queue = [0]
    for node in queue:
        if node:
            delta[node] = delta[failure[node]]
            for output in outputs:
                output[node] |= output[failure[node]]
        delta[node, unseen] = node
        for symbol, child in children[node].items():
            if child not in failure:
                failure[child] = int(
                    delta[node, symbol]
                )  # where the longest proper suffix leads; the child is not set yet
                queue.append(child)
            delta[node, symbol] = child
        if not node and word is not None:
            delta[blocked] = np.where(word | unseen, blocked, delta[0])
    return delta


def _named(verb: str, phrases: Sequence[str], glue: str) -> str:
    shown = [quoted(phrase) for phrase in phrases[:3]]
    return f"{verb} {glue.join(shown)}" + (f" and {len(phrases) - 3:,} more phrases" if len(phrases) > 3 else "")

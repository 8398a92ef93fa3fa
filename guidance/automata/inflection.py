"""Inflected forms of a phrase, by lemminflect's dictionary and rules for English."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=4096)
def forms_of(phrase: str) -> tuple[str, ...]:
    """A phrase and its inflected forms: every form of every lemma of its last word, and of its first.

    Args:
        phrase: one word or several; a capital letter at its beginning is kept.

    Raises:
        ImportError: if lemminflect is not installed.
    """
    words = phrase.split(" ")
    found = [phrase]
    for place in dict.fromkeys([len(words) - 1, 0]):
        found += [" ".join([*words[:place], form, *words[place + 1 :]]) for form in _word_forms(words[place])]
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=4096)
def _word_forms(word: str) -> tuple[str, ...]:
    try:
        from lemminflect import getAllInflections, getAllInflectionsOOV, getAllLemmas, getLemma
    except ImportError as error:
        raise ImportError(
            "Phrases(forms=True) needs the package 'lemminflect'; run: pip install 'diffusionlm-toolkit[forms]'"
        ) from error
    plain = word.lower()
    known = {lemma for own in getAllLemmas(plain).values() for lemma in own}
    inflections = [getAllInflections(lemma) for lemma in known or {plain}]
    if not any(inflections):  # no word of the dictionary: by the rules for nouns and verbs
        inflections = [getAllInflectionsOOV(getLemma(plain, upos="NOUN")[0], upos) for upos in ("NOUN", "VERB")]
    forms = {form for own in inflections for several in own.values() for form in several}
    same_case = [form.capitalize() if word[:1].isupper() else form for form in sorted(forms)]
    return tuple(form.upper() if len(word) > 1 and word.isupper() else form for form in same_case)

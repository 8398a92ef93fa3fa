"""Token automata against reading the decoded text character by character."""

import random
import re

import numpy as np
import pytest
import torch

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import over_tokens
from diffusionlm.guidance.automata.over_bytes import to_bytes
from diffusionlm.text.vocabulary import Vocabulary

BYTES = tuple(bytes([byte]) for byte in range(256))
SURFACES = (
    b"",
    b"",
    b" the",
    b" mill",
    b"mil",
    b"l",
    b" ",
    b"a",
    b"b ca",
    b"t",
    b"\xc3",
    b"\xa9",
    "é£".encode(),
    b"a\xc3",
    b"1-2",
)
WORDS = Vocabulary(SURFACES, pad_id=0, special_ids=frozenset({0, 1}))
LANGUAGES = [
    automata.regex(r"\bmill\b", "contains"),
    automata.regex(r"é|t{2}", "excludes"),
    automata.regex(r"[\w\s]*"),
    automata.contains_any(["cat", "mill"], whole_words=True, ignore_case=True),
    automata.length(1, 3),
]


def random_ids(count: int, size: int, longest: int, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(size) for _ in range(rng.randint(1, longest))] for _ in range(count)]


def run(automaton: automata.TokenAutomaton, ids: list[int]) -> bool:
    state = automaton.start
    for token in ids:
        if token != automaton.pad_id:
            state = automaton.delta[state, automaton.token_class[token]]
    return bool(automaton.accepting[state])


def expected(language: automata.Language, vocabulary: Vocabulary, ids: list[int]) -> bool:
    """The definition: the bytes are UTF-8, and the text without its first space belongs to the language."""
    if any(token in vocabulary.special_ids and token != vocabulary.pad_id for token in ids):
        return False
    try:
        text = b"".join(vocabulary.surfaces[token] for token in ids).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return language.accepts(text.removeprefix(" "))


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_token_automaton_reads_the_decoded_text(language: automata.Language) -> None:
    exact = automata.compile_language(language, WORDS, partial_characters=True)
    whole = automata.compile_language(language, WORDS, partial_characters=False)
    broken = {10, 11, 13}  # surfaces that begin or end inside a character
    verdicts = set()
    for ids in random_ids(3000, len(WORDS), 6):
        verdict = expected(language, WORDS, ids)
        assert run(exact, ids) == verdict
        assert run(whole, ids) == (verdict and broken.isdisjoint(ids))
        verdicts.add(verdict)
    assert verdicts == {True, False}
    assert whole.num_states < exact.num_states


def test_a_vocabulary_of_bytes_is_exact_without_asking() -> None:
    vocabulary = Vocabulary((b"", *BYTES), pad_id=0, special_ids=frozenset({0}))
    automaton = automata.compile_language(automata.regex(r"\w+ £\d"), vocabulary)
    assert run(automaton, [byte + 1 for byte in "né £5".encode()])
    assert not run(automaton, [byte + 1 for byte in "né £".encode("latin-1")] + [1 + ord("5")])


@pytest.mark.parametrize("pattern", [r"\w+", r"[^a]*", r"[à-ÿ中-龥]*", "(?s).*", r"(?i)𐐀*"])
def test_bytes_accept_utf8_and_nothing_else(pattern: str) -> None:
    language = automata.regex(pattern)
    reader = to_bytes(language)
    rng = random.Random(1)
    codes = [0x41, 0x7F, 0x80, 0xE9, 0x7FF, 0x800, 0x4E2D, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10400, 0x10428, 0x10FFFF]
    for _ in range(500):
        data = "".join(chr(rng.choice(codes)) for _ in range(rng.randint(0, 3))).encode()
        if rng.random() < 0.5 and data:
            place = rng.randrange(len(data))
            data = data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
        try:
            wanted = language.accepts(data.decode("utf-8").removeprefix(" "))
        except UnicodeDecodeError:
            wanted = False
        assert reader.accepting[reader.read(data)[reader.start]] == wanted, data
    for broken in (
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xff",
        b"\x80",
    ):
        assert reader.read(broken)[reader.start] == reader.dead


def test_only_the_first_space_of_the_text_is_virtual() -> None:
    automaton = automata.compile_language(automata.regex("( the)*"), WORDS)
    verdicts = [run(automaton, ids) for ids in ([], [2], [6, 2], [2, 2], [6, 2, 2], [6], [6, 6])]
    assert verdicts == [True, False, True, False, True, True, False]


def test_tokens_that_do_the_same_are_one_class() -> None:
    vocabulary = Vocabulary((b"", *(f" w{n}".encode() for n in range(3000)), b" cat"), 0, frozenset({0}))
    automaton = automata.compile_language(automata.contains_any([" cat"]), vocabulary)
    assert automaton.num_classes <= 4
    assert len(np.unique(automaton.token_class[1:3001])) == 1


def test_compilation_is_cached_by_language_and_vocabulary() -> None:
    first = automata.compile_language(automata.regex("a|b"), WORDS)
    again = automata.compile_language(automata.regex("[ab]"), WORDS)
    assert again.delta is first.delta
    assert (first.name, again.name) == ("matches 'a|b'", "matches '[ab]'")
    other = automata.compile_language(automata.regex("[ab]"), Vocabulary(SURFACES[:-1], 0, frozenset({0, 1})))
    assert other.delta is not first.delta


def test_the_cap_on_transitions_names_the_constraint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_tokens, "MAX_CELLS", 20)
    with pytest.raises(automata.AutomatonTooLarge, match=r"contains 'never seen before'.*at most 20 transitions"):
        automata.compile_language(automata.contains_any(["never seen before"]), WORDS)


def test_token_count() -> None:
    for least, most in [(0, 0), (2, 2), (1, 3), (2, None)]:
        automaton = automata.token_count(WORDS, least, most)
        for ids in random_ids(300, len(WORDS), 6, seed=2):
            spelled = [token for token in ids if token != WORDS.pad_id]
            wanted = 1 not in ids and least <= len(spelled) <= (99 if most is None else most)
            assert run(automaton, ids) == wanted
    with pytest.raises(ValueError, match="from 0 to"):
        automata.token_count(WORDS, -1)


def test_random_constraints_always_hold_in_samples_and_best_canvases() -> None:
    """Decoded text, read by Python's own means, satisfies what was asked: phrases, words and a forbidden pattern."""
    rng = random.Random(3)
    vocabulary = Vocabulary(
        (
            b"",
            *(
                f" {word}".encode()
                for word in ["the", "mill", "is", "a", "cheap", "pub", "near", "river", "1", "22", "333"]
            ),
            b".",
            b"-",
            b"44",
        ),
        pad_id=0,
        special_ids=frozenset({0}),
    )
    for trial in range(12):
        phrase = " ".join(rng.sample(["the", "mill", "cheap", "pub"], k=2))
        words = rng.randint(6, 9)
        rules = [
            automata.contains_any([phrase], whole_words=True),
            automata.length(words, words),
            automata.regex(r"\d\d-\d", "excludes"),
        ]
        compiled = [automata.compile_language(rule, vocabulary) for rule in rules]
        bound = automata.bind(compiled, ["", " near the river", ""], [0] * 8 + [1] * 6)
        log_p = 3 * torch.randn(32, 14, len(vocabulary), generator=torch.Generator().manual_seed(trial))
        generators = [torch.Generator().manual_seed(seed) for seed in range(32)]
        for ids in torch.cat([bound.sample(log_p.log_softmax(-1), generators), bound.viterbi(log_p)]).tolist():
            internal = vocabulary.decode(ids[:8]) + " near the river" + vocabulary.decode(ids[8:])
            text = internal.removeprefix(" ")
            assert f" {phrase} " in f" {text} ".replace(".", " ").replace("-", " ")
            assert len(text.split()) == words
            assert re.search(r"\d\d-\d", text) is None
            assert all(rule.accepts(text) for rule in rules)


def test_maps_of_tokens_are_the_maps_of_their_bytes() -> None:
    for language in LANGUAGES:
        reader = to_bytes(language)
        delta, token_class = over_tokens.token_maps(reader, WORDS.surfaces, reader.inner, language.name)
        for token, surface in enumerate(WORDS.surfaces):
            moved = reader.read(surface)[: reader.inner]
            wanted = (
                np.where(moved < reader.inner, moved, reader.dead) if surface else np.full(reader.inner, reader.dead)
            )
            assert np.array_equal(delta[:, token_class[token]], wanted)
        assert len(np.unique(delta, axis=1).T) == delta.shape[1]


@pytest.mark.parametrize("large", [1, 4, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_sums_into_classes_and_back(large: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusionlm.guidance.automata import token_classes

    monkeypatch.setattr(token_classes, "LARGE", large)
    monkeypatch.setattr(token_classes, "CACHED", 70)
    rng = np.random.default_rng(seed)
    classes = rng.choice([-1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3], size=60) if seed else np.arange(60) % 5 - 1
    sums = token_classes.TokenClasses(classes, 5)
    rows = torch.from_numpy(rng.normal(size=(7, 60)) * 300)
    rows[2, 5], rows[3] = -torch.inf, -torch.inf
    ratios = torch.from_numpy(rng.normal(size=(5, 7)))
    masses, best, spread = sums.masses(rows), sums.masses(rows, maximum=True), sums.spread(rows, ratios)
    for c in range(5):
        own = rows[:, torch.from_numpy(classes == c)]
        if own.shape[1]:
            torch.testing.assert_close(masses[c], own.logsumexp(1))
            torch.testing.assert_close(best[c], own.amax(1))
        else:
            assert torch.isneginf(masses[c]).all()
    for token, c in enumerate(classes.tolist()):
        wanted = rows[:, token] + ratios[c] if c >= 0 else torch.full((7,), -torch.inf, dtype=rows.dtype)
        torch.testing.assert_close(spread[:, token], wanted)

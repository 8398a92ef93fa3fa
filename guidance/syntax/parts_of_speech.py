"""`PartOfSpeech`: of which parts of speech the words of a text are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.automata.language import quoted
from diffusionlm.guidance.constraints.constraint import IMPOSSIBLE, Constraint, bind_rules, by_canvas
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.settings import read_texts
from diffusionlm.guidance.syntax.automaton import TagAutomaton, sequence_automaton, wish_automaton
from diffusionlm.guidance.syntax.including import including
from diffusionlm.guidance.syntax.labels import check_label
from diffusionlm.guidance.syntax.pattern import parse_pattern
from diffusionlm.guidance.syntax.tables import TagTables, lexicon_tables, load_tables
from diffusionlm.guidance.syntax.weights import TokenRoles, word_weights
from diffusionlm.guidance.syntax.words import split_words
from diffusionlm.guidance.weighted.chain import WordChain

if TYPE_CHECKING:
    from diffusionlm.guidance.automata import Language, TokenAutomaton
    from diffusionlm.guidance.state import GuidanceState
    from diffusionlm.text import Vocabulary

READER = "part-of-speech"
SMALL_LEXICON = {"the": ["DET"], "a": ["DET"], "good": ["ADJ"], "pub": ["NOUN"], "food": ["NOUN"], "serves": ["VERB"]}
CERTIFIED = 0.02  # probability of a tag, in the context that suits it best, with which a word can have it


class TagRule(Constraint):
    """Base of rules that are an automaton over parts of speech.

    The text is drawn from p(x) prod_w P(tag of w | w, tags beside it)^weight over all texts that can be read so: exact at
    every step, by an automaton over tags whose words weigh what a tagger says of them. The finished text is a best way
    through it, so no word is used that a tagger would hardly give the tag asked for, whatever the model.
    """

    least: float = field(default=0.5, kw_only=True)
    tables: str | Path | None = field(default=None, kw_only=True)
    lexicon: Mapping[str, Sequence[str]] | None = field(default=None, kw_only=True)
    including: Sequence[str | Sequence[str]] = field(default=(), kw_only=True)
    idiom: float = field(default=0.7, kw_only=True)
    weight: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_number(self.least) or not 0 <= self.least < 1:
            raise ValueError(f"least must be a probability in [0, 1), got {self.least!r}.")
        if not _is_number(self.idiom) or not 0 <= self.idiom <= 100:
            raise ValueError(f"idiom must be a number from 0 to 100, got {self.idiom!r}.")
        given = [self.including] if isinstance(self.including, str) else self.including
        if not isinstance(given, Sequence) or isinstance(given, bytes):
            raise TypeError(f"including must be phrases, or lists of phrases one of which is held; got {given!r}.")
        self.including = [
            item if isinstance(item, str) else read_texts(item, "Each entry of including") for item in given
        ]

    @property
    def wish(self) -> str:
        """What is asked for, as text, for messages and certificates."""
        raise TypeError(f"{type(self).__name__} must say what it asks for: define the property wish.")

    def automaton(self, vocabulary: Vocabulary) -> TagAutomaton:
        """The sequences of parts of speech that are allowed."""
        raise TypeError(f"{type(self).__name__} has no rule; define automaton(self, vocabulary).")

    def languages(self) -> Sequence[Language]:
        """None: parts of speech are no matter of characters."""
        return []

    def automata(self, vocabulary: Vocabulary) -> list[TokenAutomaton]:
        """One for each phrase that is to be included."""
        return [including([own] if isinstance(own, str) else own, vocabulary) for own in self.including]

    def bind(self, vocabulary: Vocabulary) -> None:
        """Finds the tagger's tables and weighs every token for every state of the automaton."""
        super().bind(vocabulary)
        self.vocabulary = vocabulary
        self.tagger = find_tables(vocabulary, self.tables, self.lexicon)
        weigh = partial(
            word_weights,
            self.tagger,
            roles=TokenRoles.of(vocabulary),
            least=self.least,
            power=self.weight,
            idiom=self.idiom,
        )
        self.words = WordChain.of(f"{self.title}: {self.wish[:80]}", self.automaton(vocabulary), weigh)

    def weighed_words(self) -> WordChain:
        """The automaton with its words weighed."""
        return self.words

    def energy(self, state: GuidanceState) -> Tensor:
        """-log of the weight of all texts that can be read so (B,), in nats: -log Z."""
        out = state.probs.new_zeros(state.batch_size)
        for rows, layout in by_canvas(state.layouts):
            index = torch.tensor(rows, device=state.device)
            bound = bind_rules([self], layout, state.vocabulary, None, state.device)
            own = _LogPartition.apply(state.log_probs[index, : layout.length], bound)
            out = out.index_put((index,), (-own).clamp_max(IMPOSSIBLE).to(out.dtype))
        return out

    def certify(self, text: str, span_ids: Sequence[Sequence[int]]) -> dict[str, bool]:
        """Whether the words of a text, each by itself, can have parts of speech that obey.

        The words are read off the text, not off its tokens. Of a word that the tagger does not know (a model that spells badly
        writes such) nothing is certified but where any word may stand.
        """
        choices = self.tagger.choices(self.vocabulary, text, split_words(text), CERTIFIED)
        held = {f"{self.title}: {self.wish}": self.words.automaton.nearest(choices) is not None}
        for own in self.including:
            phrases = [own] if isinstance(own, str) else own
            held[f"contains {' or '.join(map(quoted, phrases))}"] = any(phrase in text for phrase in phrases)
        return held


@register("part-of-speech")
class PartOfSpeech(TagRule):
    """The parts of speech of the words, as a pattern, a sequence, or wishes for single words.

    The text is drawn from the model's own probability times, for each word, that of its tag to the power ``weight``: exact at
    every step, and no word is used that a tagger would hardly give the tag asked for. The certificate is read off the finished
    text.

    Args:
        tags: a regular expression over universal tags, ``"DET ADJ* NOUN (AUX|VERB) .*"``: a dot is any word or mark,
            [ADJ NOUN] one of several, [^PUNCT] all but these, {2,4} a number of times. In Python also exactly these,
            ``["DET", "NOUN"]``, or wishes for words counted from 0, ``{3: "NOUN"}``. Words are cut as in treebanks: marks,
            "n't" and "'s" are words of their own.
        least: a word cannot be used if its tag is less probable than this share of what the tagger says of a sure word.
        tables: folder of the tagger's tables; None takes those that belong to the model.
        lexicon: instead of tables, the words that may be used and their tags, ``{"pub": ["NOUN"], ...}``.
        including: phrases that the text shall hold, or lists of phrases one of which it shall hold. The same as `Phrases`
            beside this, but much faster, because a phrase is spelled in one way only.
        weight: how sure of each word's tag to be.
        idiom: how much to prefer words that the corpus has between words of the tags asked for.

    Raises:
        ValueError: if a tag is unknown or the pattern has an error, pointing at the character.

    Example:
        >>> PartOfSpeech("DET ADJ* NOUN VERB .*").pattern.accepts(["DET", "NOUN", "VERB"])
        True
    """

    tags: str | Sequence[str | Sequence[str]] | Mapping[int, str] = ".*"

    reference = "Li et al. 2022, Diffusion-LM improves controllable text generation, section 5.1; here exact"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pattern = read_tags(self.tags)

    @classmethod
    def example(cls) -> PartOfSpeech:
        """Three words of a small lexicon."""
        return cls(tags="DET ADJ? NOUN (VERB NOUN)?", lexicon=SMALL_LEXICON)

    @property
    def wish(self) -> str:
        """The tags as text."""
        if isinstance(self.tags, Mapping):
            return ", ".join(f"word {k} {v}" for k, v in sorted(self.tags.items()))
        if isinstance(self.tags, str):
            return self.tags
        return " ".join(tag if isinstance(tag, str) else f"({'|'.join(tag)})" for tag in self.tags)

    def automaton(self, vocabulary: Vocabulary) -> TagAutomaton:
        """That of the pattern."""
        return self.pattern


def read_tags(tags: Any) -> TagAutomaton:
    """The automaton of a pattern, a sequence or wishes.

    Raises:
        ValueError: if it is none of these or has an error.
    """
    if isinstance(tags, str) and tags.strip():
        return parse_pattern(tags)
    if isinstance(tags, Mapping):
        try:
            wishes = {_place(place): check_label(tag, "part of speech") for place, tag in tags.items()}
        except TypeError:
            raise ValueError(f"Wishes are numbers of words and tags, as in {{3: 'NOUN'}}; got {tags!r}.") from None
        if not wishes or min(wishes) < 0 or max(wishes) > 250:
            raise ValueError(f"Wishes are for words 0 to 250, as in {{3: 'NOUN'}}; got {tags!r}.")
        if len(wishes) < len(tags):
            raise ValueError(f"Wishes name a word twice, got {tags!r}.")
        return wish_automaton(wishes)
    if isinstance(tags, Sequence) and tags and not isinstance(tags, str | bytes):
        if not all(tag and isinstance(tag, str | Sequence) and not isinstance(tag, bytes) for tag in tags):
            raise ValueError(
                "A sequence of parts of speech is made of tags, or lists of tags one of which it is, as in ['DET', ['NOUN', "
                f"'PROPN']]; got {tags!r}."
            )
        return sequence_automaton(tags)
    raise ValueError(
        "Parts of speech are given as a pattern ('DET ADJ* NOUN'), a list (['DET', 'NOUN']) or wishes ({3: 'NOUN'}); got "
        f"{tags!r}."
    )


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _place(given: Any) -> int:
    """The number of a word, which files write as text."""
    if isinstance(given, str) and given.strip().isdecimal():
        return int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError
    return given


def find_tables(
    vocabulary: Vocabulary, folder: str | Path | None, lexicon: Mapping[str, Sequence[str]] | None
) -> TagTables:
    """The tagger's tables for a vocabulary.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if they belong to another vocabulary.
    """
    if lexicon is not None:
        return lexicon_tables(vocabulary, lexicon)
    if folder is None:
        from diffusionlm.guidance.classifiers.store import find_reader

        try:
            folder = find_reader(READER, vocabulary)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"There are no tag tables for this model's vocabulary of {len(vocabulary)} tokens. Make them with: "
                "diffusionlm guides --for CHECKPOINT; or give PartOfSpeech a lexicon={'pub': ['NOUN'], ...}."
            ) from None
    tables = load_tables(Path(folder))
    if tables.fingerprint != vocabulary.of_the_model:
        raise ValueError(
            f"The tag tables in {folder} were counted for a vocabulary of {tables.num_tokens} tokens, the model has "
            f"{len(vocabulary)} others. Make new ones with: diffusionlm train-syntax checkpoint=CHECKPOINT."
        )
    return tables


class _LogPartition(torch.autograd.Function):
    """log Z, whose gradient is the posterior marginals."""

    @staticmethod
    def forward(ctx: Any, log_p: Tensor, bound: Any) -> Tensor:
        marginals, log_z, _ = bound.posterior(log_p)
        ctx.save_for_backward(marginals.exp())
        return log_z.to(torch.promote_types(log_p.dtype, torch.float32))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (marginals,) = ctx.saved_tensors
        return marginals * grad[:, None, None].to(marginals.dtype), None

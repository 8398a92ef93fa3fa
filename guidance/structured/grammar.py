"""`Grammar`: the text follows a grammar in EBNF."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from diffusionlm.guidance.automata import Language
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.structured.ebnf import UnsupportedGrammar, grammar_language
from diffusionlm.guidance.structured.spanwise import SpanConstraint


@register("grammar")
class Grammar(SpanConstraint):
    """Texts of a context-free grammar in the form of Lark and llguidance.

    Args:
        grammar: rules in lower case, terminals in upper case, ``"text"``, ``/pattern/``, ``| ? * + ~ n..m [ ]``,
            ``%ignore``, ``%import common.NAME`` and llguidance's ``%json {...}``.
        start: the rule that the text follows.
        depth: how often a rule may be opened inside itself.
        span: the number of the span that follows the grammar; None: the whole text does.

    Raises:
        UnsupportedGrammar: if the grammar is not valid, naming the line, or a pattern cannot be kept.
        AutomatonTooLarge: if it needs too many states.
        ImportError: if lark is not installed.

    Example:
        >>> Grammar('start: "a" start "b" | "ab"').languages()[0].accepts("aabb")
        True
    """

    grammar: str = ""
    start: str = "start"
    depth: int = 3

    expected_failures = {"default_constructible": "there is no grammar that everybody wants"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.grammar, str) or not self.grammar.strip():
            raise UnsupportedGrammar('Grammar needs rules, as in Grammar(\'start: "yes" | "no"\').')
        if not isinstance(self.start, str):
            raise ValueError(f"start must be the name of a rule, got {self.start!r}.")
        if isinstance(self.depth, bool) or not isinstance(self.depth, int) or not 1 <= self.depth <= 20:
            raise ValueError(f"depth must be a whole number from 1 to 20, got {self.depth!r}.")
        self.languages()

    @classmethod
    def example(cls) -> Grammar:
        """A few words."""
        return cls('start: "The" " pub"~1..2 " is good"?')

    def languages(self) -> Sequence[Language]:
        """The one language of all texts."""
        return [_compiled(self.grammar, self.start, self.depth)]

    def named(self) -> str:
        """The grammar itself."""
        return self.grammar


@lru_cache(maxsize=64)
def _compiled(grammar: str, start: str, depth: int) -> Language:
    return grammar_language(grammar, start, depth).renamed(f"follows the grammar of {start!r}")

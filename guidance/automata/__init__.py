"""Exact constraints: which texts are allowed, as languages of finite automata.

    from diffusionlm.guidance import automata

    phone = automata.regex(r"\\d{3}-\\d{4}", mode="excludes")
    rule = phone & automata.contains_any(["The Mill"]) & automata.length(12, 15)
    rule.accepts("The Mill is a pub.")                                  # plain Python, for certificates

    tokens = automata.compile_language(rule, vocabulary)                # cached by (language, vocabulary)
    bound = automata.bind([tokens], literals=["", ""], span_index=span_index)
    bound.log_partition(log_p)                                          # (B, L, V) -> (B,)

`Language` holds the texts (language), made from regular expressions (regular_expressions), phrases (phrases), lengths and
templates (shapes); `Absence` (occurrences) what must not occur where the model writes. over_bytes and over_tokens carry a
language over to a vocabulary, absence_over_tokens an absence, binding to a canvas of known text and spans; inference computes
with it, as a circuit or, where it is small, with dense matrices.
"""

from diffusionlm.guidance.automata.algebra import AutomatonTooLarge
from diffusionlm.guidance.automata.binding import bind
from diffusionlm.guidance.automata.bound import BoundAutomaton, Conditioned, UnsatisfiableConstraint
from diffusionlm.guidance.automata.language import Language, concatenation, intersection, union
from diffusionlm.guidance.automata.over_tokens import TokenAutomaton, compile_language, token_count
from diffusionlm.guidance.automata.phrases import contains_all, contains_any, contains_none
from diffusionlm.guidance.automata.regular_expressions import UnsupportedPattern, regex
from diffusionlm.guidance.automata.shapes import length, template

__all__ = [
    "AutomatonTooLarge",
    "BoundAutomaton",
    "Conditioned",
    "Language",
    "TokenAutomaton",
    "UnsatisfiableConstraint",
    "UnsupportedPattern",
    "bind",
    "compile_language",
    "concatenation",
    "contains_all",
    "contains_any",
    "contains_none",
    "intersection",
    "length",
    "regex",
    "template",
    "token_count",
    "union",
]

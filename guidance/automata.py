"""Exact constraints: which texts are allowed, as languages of finite automata.

    from diffusionlm.guidance import automata

    phone = automata.regex(r"\\d{3}-\\d{4}", mode="excludes")
    rule = phone & automata.contains_any(["The Mill"]) & automata.length(12, 15)
    rule.accepts("The Mill is a pub.")                                  # plain Python, for certificates

    tokens = automata.compile_language(rule, vocabulary)                # cached by (language, vocabulary)
    bound = automata.bind([tokens], literals=["", ""], span_index=span_index)
    bound.log_partition(log_p)                                          # (B, L, V) -> (B,)

`Language` holds the texts (automaton_language), made from regular expressions (automaton_regex), phrases
(automaton_phrases), lengths and templates (automaton_shapes). token_automaton carries a language over to a vocabulary,
automaton_binding to a canvas of known text and spans, and automaton_inference computes with it.
"""

from diffusionlm.guidance.automaton_algebra import AutomatonTooLarge
from diffusionlm.guidance.automaton_binding import bind
from diffusionlm.guidance.automaton_bound import BoundAutomaton, Conditioned, UnsatisfiableConstraint
from diffusionlm.guidance.automaton_language import Language, concatenation, intersection, union
from diffusionlm.guidance.automaton_phrases import contains_all, contains_any, contains_none
from diffusionlm.guidance.automaton_regex import UnsupportedPattern, regex
from diffusionlm.guidance.automaton_shapes import length, template
from diffusionlm.guidance.token_automaton import TokenAutomaton, compile_language, token_count

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

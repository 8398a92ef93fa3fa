"""Syntax: of which parts of speech, phrases and dependencies a text is made.

The plugins stand in parts_of_speech, constituents and dependencies; pattern, trees and labels read what is asked for.
automaton holds it as an automaton over tags; words, tables and windows say which words have which tags, from counts that
store keeps; chain (with chain_bound, chain_arcs and chain_ways) and weights bring them to the tokens of a canvas; chart finds
the best tree.
"""

from diffusionlm.guidance.registry.lazy_exports import lazy_exports

_HOME_OF = {
    "Constituents": "constituents",
    "Dependencies": "dependencies",
    "PartOfSpeech": "parts_of_speech",
}

__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = lazy_exports(__name__, _HOME_OF)

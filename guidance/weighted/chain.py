"""`WordChain`: an automaton over parts of speech, whose words weigh what a tagger says of them; for exact inference.

The posterior is p(x) prod_w psi(word w | state of the tag automaton), restricted to texts that a token automaton accepts
(constraints of other plugins, and the rules of the canvas). A word is a run of tokens: one that opens it, others that go on
with it.

Shapes: V vocabulary, K states of the chain (two for each state of the tag automaton: its word complete, or begun).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from diffusionlm.guidance.automata.bound import BoundAutomaton, UnsatisfiableConstraint
from diffusionlm.guidance.syntax.automaton import TagAutomaton, intersect
from diffusionlm.guidance.weighted.bound import BoundChain

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout


@dataclass(frozen=True, eq=False)
class WordChain:
    """A tag automaton with its words weighed.

    Attributes:
        name: in the user's words.
        automaton: over parts of speech.
        opening: (V, K) weight of a token that opens the word of a state and ends it (first half), or does not; 0 where it
            cannot.
        inside: (V, K) weight of a token that goes on with it, likewise.
        weigh: gives these two for an automaton.
    """

    name: str
    automaton: TagAutomaton
    opening: Tensor
    inside: Tensor
    weigh: Callable[[TagAutomaton], tuple[Tensor, Tensor]]
    _kept: dict[Any, BoundChain] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, name: str, automaton: TagAutomaton, weigh: Callable[[TagAutomaton], tuple[Tensor, Tensor]]
    ) -> WordChain:
        """A chain from what weighs the tokens for the states of an automaton."""
        return cls(name, automaton, *weigh(automaton), weigh)

    def bound_with(self, bound: BoundAutomaton, layout: CanvasLayout) -> BoundChain:
        """The chain on a canvas with a bound token automaton; the last one is kept."""
        known = known_tokens(layout)
        key = id(bound), str(known)
        if key not in self._kept:
            self._kept.clear()
            self._kept[key] = BoundChain(self, bound, known)
        return self._kept[key]

    def joined(self, other: WordChain) -> WordChain:
        """Both rules at once, with the weights of this one.

        Raises:
            UnsatisfiableConstraint: if no sequence of parts of speech obeys both.
        """
        try:
            both = intersect(self.automaton, other.automaton)
        except ValueError as error:
            raise UnsatisfiableConstraint(f"[{self.name}] and [{other.name}]: {error}") from None
        return WordChain.of(f"{self.name}; {other.name}", both, self.weigh)

    @property
    def num_states(self) -> int:
        """K: the tag automaton's twice."""
        return 2 * self.automaton.num_states

    def arcs(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(from, to): where a word may be opened, from a complete word; where it may be gone on with, from a begun one."""
        size = self.automaton.num_states
        opened = [(a, b) for k, own in enumerate(self.automaton.predecessors) for a in own for b in (k, size + k)]
        return opened, [(size + k, b) for k in range(1, size) for b in (k, size + k)]


def known_tokens(layout: CanvasLayout) -> list[list[int]]:
    """Ids of the known text before each span position, and behind the last (L + 1 lists)."""
    found: list[list[int]] = [[] for _ in range(layout.length + 1)]
    if not any(layout.internal_literals):
        return found
    spans = layout.span_positions.tolist()
    for token, position in zip(layout.known_ids.tolist(), layout.known_positions.tolist(), strict=True):
        found[bisect_left(spans, position)].append(token)
    return found

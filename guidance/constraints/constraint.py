"""`Constraint`: a rule that always holds, and the exact inference that makes it hold.

All constraints of a call are one product automaton on each canvas. At every step the token posterior p becomes the
exact marginals of p(x | every rule holds), the distribution nearest to p that obeys (its distance is -log p(rules) nats);
the finished text is the most probable one that obeys (Viterbi in the same automaton), so the rules hold whatever the
network, the seed or another plugin does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from diffusionlm.guidance.automata import (
    BoundAutomaton,
    Conditioned,
    Language,
    TokenAutomaton,
    bind,
    compile_language,
    token_count,
)
from diffusionlm.guidance.automata.kept import Kept
from diffusionlm.guidance.constraints.blocks import bind_to_block
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.strategies.strategy import Strategy

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState
    from diffusionlm.guidance.weighted.bound import BoundChain
    from diffusionlm.guidance.weighted.chain import WordChain
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

IMPOSSIBLE = 1e4  # nats: more than any text of a model's length costs at `posterior.LOWEST` for each token
_kept: Kept[BoundAutomaton] = Kept()


class Constraint(Guidance):
    """Base of rules that always hold. A subclass defines `languages`: the texts that are allowed.

    The energy is -log of the probability that the rule holds under the token posterior, in nats, so a constraint can be
    used softly too, with ``strategy="tilt"``.
    """

    apart: ClassVar[bool] = False  # whether its rules on a text in blocks need only be satisfiable each by itself
    lazy: ClassVar[bool] = False  # see `diffusionlm.guidance.constraints.lazy`

    strategy: str | Strategy = field(default="constraint", kw_only=True)

    def languages(self) -> Sequence[Language]:
        """The languages that the whole text must belong to, all of them; see `diffusionlm.guidance.automata`."""
        raise TypeError(f"{type(self).__name__} has no rule; define languages(self) -> a list of Language.")

    def automata(self, vocabulary: Vocabulary) -> list[TokenAutomaton]:
        """The rules over tokens; compiled from `languages` unless overridden.

        Raises:
            AutomatonTooLarge: if a pattern needs more states or time than the cap allows.
        """
        return [compile_language(language, vocabulary) for language in self.languages()]

    def required_characters(self) -> str:
        """Characters that the text may have to hold; all rules of a call can read them, in however many tokens the
        vocabulary spells them. None unless overridden."""
        return ""

    def bind(self, vocabulary: Vocabulary) -> None:
        """Compiles the rules."""
        self.compiled = self.automata(vocabulary)

    def automata_on(self, layout: CanvasLayout, vocabulary: Vocabulary) -> Sequence[TokenAutomaton]:
        """The rules on a canvas, once bound; the same on each unless overridden, as by rules about single spans.

        Args:
            layout: known text and spans.
            vocabulary: as in `bind`.
        """
        return self.compiled

    def observe(self, log_probs: Tensor, joint: JointConstraint) -> None:
        """Called at every step with the log posterior (B, L, V) before the rules act on it; does nothing unless overridden.

        Args:
            log_probs: after all other guidance.
            joint: the rules of the call; its ``plugins``, ``layouts`` and ``allowed`` are those of the rows.
        """

    def weighed_words(self) -> WordChain | None:
        """Weights of words by their part of speech, where a rule has such (`PartOfSpeech`); most rules have none."""
        return None

    def unordered(self) -> Sequence[TokenAutomaton]:
        """Those of the bound rules that ask for phrases, each to occur somewhere; many of them are handled one after the
        other and not as one product (`many_phrases`). None unless overridden."""
        return ()

    def energy(self, state: GuidanceState) -> Tensor:
        """-log p(the rule holds) for each sample (B,), in nats."""
        out = state.probs.new_zeros(state.batch_size)
        for rows, layout in by_canvas(state.layouts):
            index = torch.tensor(rows, device=state.device)
            bound = bind_to(rules_on(self, layout, state.vocabulary), layout, state.vocabulary, None)
            out = out.index_put((index,), nats_of(bound, state.log_probs[index, : layout.length]).to(out.dtype))
        return out

    def certify(self, text: str, span_ids: Sequence[Sequence[int]]) -> dict[str, bool]:
        """Whether a finished text obeys, by reading its characters and not by the automaton over tokens.

        Args:
            text: the whole text.
            span_ids: token ids of each span.
        """
        if "compiled" in vars(self):  # bound: the languages are made already
            languages: Sequence[Language] = [a.language for a in self.compiled if a.language is not None]
        else:
            languages = self.languages()
        return {language.name: language.accepts(text) for language in languages}

    def certify_written(
        self, text: str, span_ids: Sequence[Sequence[int]], written: Sequence[tuple[int, int]]
    ) -> dict[str, bool]:
        """`certify` for rules that tell known text from what was written; the same unless overridden.

        Args:
            text: the whole text.
            span_ids: token ids of each span.
            written: (start, end) of each span in the characters of the text.
        """
        return self.certify(text, span_ids)

    def certify_on(
        self, layout: CanvasLayout, text: str, span_ids: Sequence[Sequence[int]], written: Sequence[tuple[int, int]]
    ) -> dict[str, bool]:
        """`certify_written` for rules that differ from canvas to canvas; the same unless overridden.

        Args:
            layout: the canvas.
            text: the whole text.
            span_ids: token ids of each span.
            written: (start, end) of each span in the characters of the text.
        """
        return self.certify_written(text, span_ids, written)


def by_canvas(layouts: Sequence[CanvasLayout]) -> list[tuple[list[int], CanvasLayout]]:
    """Rows that share a canvas, with its layout."""
    groups: dict[Any, list[int]] = {}
    for row, layout in enumerate(layouts):
        groups.setdefault(canvas_key(layout), []).append(row)
    return [(rows, layouts[rows[0]]) for rows in groups.values()]


def canvas_key(layout: CanvasLayout) -> Any:
    """What two canvases share that are one to a rule: known text, positions, options and what they must state."""
    options = tuple(span.options for span in getattr(layout.canvas, "spans", ()))
    stated = getattr(whole_layout(layout).canvas, "states", ())
    before = getattr(layout, "before", ())  # tokens of earlier blocks of the same text
    return layout.internal_literals, layout.length, tuple(layout.span_index.tolist()), options, stated, before


def rules_on(plugin: Constraint, layout: CanvasLayout, vocabulary: Vocabulary) -> Sequence[TokenAutomaton]:
    """The rules of a bound plugin on a canvas; of a block those on the whole canvas that it is a part of."""
    return plugin.automata_on(whole_layout(layout), vocabulary)


def whole_layout(layout: CanvasLayout) -> CanvasLayout:
    """The layout; of a block that of the whole canvas that it is a part of."""
    whole = getattr(layout, "whole", None)
    return layout if whole is None else whole.layout


def nats_of(bound: BoundAutomaton, log_probs: Tensor) -> Tensor:
    """-log of the probability that rules hold (B,), under log posteriors (B, L, V); `IMPOSSIBLE` where they cannot hold.

    That is a number, and not infinite, because a rule that is a wish only (``strategy="tilt"``) may be missed in the end.
    """
    return (-bound.log_partition(log_probs)).clamp_max(IMPOSSIBLE)


def bind_to(
    automata: Sequence[TokenAutomaton],
    layout: CanvasLayout,
    vocabulary: Vocabulary,
    allowed: Tensor | None,
    device: torch.device | str = "cpu",
) -> BoundAutomaton:
    """The product of the rules on a canvas; the last few are kept, so repeated calls cost nothing.

    Args:
        automata: the rules.
        layout: known text and span positions.
        vocabulary: of the automata.
        allowed: (L, V) bool, tokens that the canvas allows; None: all but special tokens, and pad where spans are open.
        device: where the inference runs.

    Raises:
        UnsatisfiableConstraint: if no text on the canvas obeys, naming the rule.
        AutomatonTooLarge: if the product is too large.
    """
    if allowed is None:
        allowed = layout.allowed(vocabulary)
    rules = _contents(automata)
    if getattr(layout, "whole", None) is not None:
        return bind_to_block([automata], [rules], layout, vocabulary, allowed, device)  # type: ignore[arg-type]
    key = (rules, vocabulary.fingerprint, canvas_key(layout), allowed.cpu().numpy().tobytes(), str(device))
    return _kept.get(
        key, lambda: bind(automata, list(layout.internal_literals), layout.span_index, allowed.cpu()).to(device)
    )


def _contents(automata: Sequence[TokenAutomaton]) -> Any:
    return tuple((automaton.name, _content(automaton)) for automaton in automata)


def _content(automaton: TokenAutomaton) -> Any:
    if automaton.language is not None:
        return automaton.language.key
    if automaton.key is not None:
        return automaton.key
    return automaton.start, automaton.delta.tobytes(), automaton.accepting.tobytes(), automaton.token_class.tobytes()


def bind_rules(
    plugins: Sequence[Constraint],
    layout: CanvasLayout,
    vocabulary: Vocabulary,
    allowed: Tensor | None,
    device: torch.device | str = "cpu",
) -> BoundAutomaton | BoundChain:
    """All rules of bound plugins on a canvas, with the weighed words of one of them, if it has such.

    Args:
        plugins: bound constraints.
        layout: known text and span positions.
        vocabulary: of the plugins.
        allowed: (L, V) bool, as for `bind_to`.
        device: where the inference runs.

    Raises:
        UnsatisfiableConstraint: if no text on the canvas obeys.
    """
    chains = [chain for plugin in plugins if (chain := plugin.weighed_words()) is not None]
    automata = [automaton for plugin in plugins for automaton in rules_on(plugin, layout, vocabulary)]
    parts = [automaton for plugin in plugins if plugin.apart for automaton in plugin.compiled]
    if parts and getattr(layout, "whole", None) is not None:
        firm = [automaton for automaton in automata if automaton not in parts]
        groups = [*([firm] if firm else []), *([part] for part in parts)]
        allowed = layout.allowed(vocabulary) if allowed is None else allowed
        return bind_to_block(groups, [_contents(own) for own in groups], layout, vocabulary, allowed, device)  # type: ignore[arg-type]
    bound = bind_to(automata or [token_count(vocabulary, 0)], layout, vocabulary, allowed, device)
    if not chains:
        return bound
    return reduce(lambda a, b: a.joined(b), chains).bound_with(bound, layout)


class JointConstraint:
    """All constraints of a call at once, bound to each distinct canvas of a batch.

    Args:
        plugins: bound constraints.
        layouts: the canvas of each row.
        allowed: (L, V) bool of each row.
        vocabulary: of the plugins.
    """

    def __init__(
        self,
        plugins: Sequence[Constraint],
        layouts: Sequence[CanvasLayout],
        allowed: Sequence[Tensor],
        vocabulary: Vocabulary,
    ) -> None:
        self.plugins, self.layouts, self.allowed, self.vocabulary = list(plugins), list(layouts), allowed, vocabulary
        self.groups = []
        for rows, layout in by_canvas(layouts):
            mask = allowed[rows[0]][: layout.length]
            bound = bind_rules(plugins, layout, vocabulary, mask, mask.device)
            self.groups.append((torch.tensor(rows, device=mask.device), layout.length, bound))

    def select(self, rows: Tensor) -> None:
        """Particles were resampled: row n goes on as row ``rows[n]``, which is another particle on the same canvas."""

    def stepped_in(self) -> list[bool] | None:
        """Whether a rule had to change the finished text of each row, which then may read broken; None where that is not known,
        as with rules that take part in every text."""
        return None

    def observed(self, log_probs: Tensor) -> None:
        """Shows every plugin the log posterior (B, L, V) before the rules act on it."""
        for plugin in self.plugins:
            plugin.observe(log_probs, self)

    def marginals(self, log_probs: Tensor) -> Conditioned:
        """Exact marginals (B, L, V) of log posteriors (B, L, V) under the condition that all rules hold."""
        self.observed(log_probs)
        out = log_probs.clone() if len(self.groups) > 1 else log_probs
        log_z = log_probs.new_zeros(len(log_probs))
        divergence = log_probs.new_zeros(log_probs.shape[:2])
        for rows, length, bound in self.groups:
            everything = len(rows) == len(log_probs) and length == log_probs.shape[1]
            found = bound.posterior(log_probs if everything else log_probs[rows, :length])
            log_z[rows] = found.log_partition.to(log_z.dtype)
            divergence[rows, :length] = found.divergence.to(divergence.dtype)
            if everything:
                out = found.marginals
            else:
                out[rows, :length] = found.marginals
        return Conditioned(out, log_z, divergence)

    def sample(self, log_probs: Tensor, uniforms: Tensor) -> Tensor:
        """One text of each row that obeys all rules, drawn jointly: (B, L, V), (B, L) in [0, 1) -> token ids (B, L)."""
        out = log_probs.argmax(-1)
        for rows, length, bound in self.groups:
            out[rows, :length] = bound.sample(log_probs[rows, :length], uniforms[rows, :length])
        return out

    def best(self, log_probs: Tensor) -> Tensor:
        """The most probable token ids that obey: (B, L, V) -> (B, L); pad behind a canvas that is shorter."""
        out = log_probs.argmax(-1)
        for rows, length, bound in self.groups:
            out[rows, :length] = bound.viterbi(log_probs[rows, :length])
        return out

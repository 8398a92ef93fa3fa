"""Many phrases to include in one text: an order for each row, and exact inference for it.

Up to `MOST_TOGETHER` phrases are one product with all other rules. Beyond it the product doubles with each phrase, so each row
commits to an order, which makes the rule a chain (`automata.orders`). The order is where the row's posterior would put the
phrases: the likeliest places that do not overlap, greedily, after a perturbation by Gumbel noise of the row's own seed, which
makes it a draw from the posterior while that is undecided (perturb and MAP; Papandreou and Yuille, 2011). The noise stays the
same over the steps: the order changes only as the posterior does.

The other rules are conditioned on first and the chain then on their marginals, an alternating projection that ends with the
finished text: the best text of the chain fixes what keeps every phrase, and among the texts that do, the other rules choose the
best that obeys them exactly. So all rules hold whatever happened before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffusionlm.guidance.automata import Conditioned, UnsatisfiableConstraint
from diffusionlm.guidance.automata.bound import named
from diffusionlm.guidance.automata.chain_inference import ChainInference
from diffusionlm.guidance.automata.orders import PhraseChain
from diffusionlm.guidance.constraints.constraint import Constraint, JointConstraint, by_canvas, canvas_key
from diffusionlm.guidance.constraints.lazy import joint_constraint
from diffusionlm.guidance.constraints.phrase_chains import chain_on, keep_way, needed, without_phrases
from diffusionlm.guidance.constraints.phrase_places import (
    arranged,
    gumbel_noise,
    in_order,
    phrase_key,
    places_of,
    plant,
    spelled,
)

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

MOST_TOGETHER = 4
TRIES = 12  # arrangements tried for one text before the rules are said to be impossible together


def are_many(plugins: Sequence[Constraint]) -> bool:
    """Whether the phrases to include are too many for one product."""
    return sum(len(plugin.unordered()) for plugin in plugins) > MOST_TOGETHER


def joint_rules(
    plugins: Sequence[Constraint],
    layouts: Sequence[CanvasLayout],
    allowed: Sequence[Tensor],
    vocabulary: Vocabulary,
    seeds: Sequence[int],
    committing: bool = False,
) -> JointConstraint:
    """All constraints of a call, many phrases or not; arguments as of `ManyPhrases` and `LazyJointConstraint`."""
    if are_many(plugins):
        return ManyPhrases(plugins, layouts, allowed, vocabulary, seeds, committing)
    return joint_constraint(plugins, layouts, allowed, vocabulary, committing)


def check_many(plugins: Sequence[Constraint], layout: CanvasLayout, allowed: Tensor, vocabulary: Vocabulary) -> None:
    """Whether many phrases and other rules can be met on a canvas, by writing a text from nothing.

    Raises:
        UnsatisfiableConstraint: naming rules that contradict each other, where two do.
    """
    phrases = [automaton for plugin in plugins for automaton in plugin.unordered()]
    mine = {id(automaton) for automaton in phrases}
    others = [
        rule for plugin in plugins for rule in plugin.compiled if id(rule) not in mine and rule.language is not None
    ]
    for phrase in phrases:
        for rule in others:
            if (phrase.language & rule.language).is_empty():  # type: ignore[operator]
                raise UnsatisfiableConstraint(
                    f"{named([phrase.name, rule.name])} contradict each other: no text obeys both. Drop one of them."
                )
    nothing = torch.zeros(1, *allowed.shape).masked_fill(~allowed, -torch.inf).log_softmax(-1)
    ManyPhrases(plugins, [layout], [allowed], vocabulary, [0]).best(nothing)


class ManyPhrases(JointConstraint):
    """All constraints of a call where many phrases are to be included.

    Args:
        plugins: bound constraints.
        layouts: the canvas of each row.
        allowed: (L, V) bool of each row.
        vocabulary: of the plugins.
        seeds: of each row.
        committing: whether tokens are decided on the way.
    """

    def __init__(
        self,
        plugins: Sequence[Constraint],
        layouts: Sequence[CanvasLayout],
        allowed: Sequence[Tensor],
        vocabulary: Vocabulary,
        seeds: Sequence[int],
        committing: bool = False,
    ) -> None:
        phrases = needed(tuple(automaton for plugin in plugins for automaton in plugin.unordered()))
        others = [rest for plugin in plugins if (rest := without_phrases(plugin)) is not None]
        self.names = [name for plugin in others for name in _names(plugin)]
        self.rest = joint_constraint(others, layouts, allowed, vocabulary, committing) if others else None
        self.plugins, self.vocabulary = list(plugins), vocabulary
        self.layouts, self.allowed, self.committing = list(layouts), list(allowed), committing
        self._drawn: Tensor | None = None
        self.chains: dict[Any, PhraseChain | None] = {}
        for rows, layout in by_canvas(layouts):
            self.chains[canvas_key(layout)] = chain_on(phrases, layout, allowed[rows[0]][: layout.length], vocabulary)
        self.noise = torch.stack([gumbel_noise(seed, len(phrases), len(allowed[0])) for seed in seeds])
        self._tokens = {phrase_key(automaton): spelled(automaton, vocabulary) for automaton in phrases}
        self._kept: dict[Any, tuple[list[tuple[int, ...]], ChainInference]] = {}

    def select(self, rows: Tensor) -> None:
        """Particles were resampled: row n goes on as row ``rows[n]``."""
        if self.rest is not None:
            self.rest.select(rows)
        self.layouts = [self.layouts[n] for n in rows.tolist()]
        self.noise, self.allowed = self.noise[rows.cpu()], [self.allowed[n] for n in rows.tolist()]
        self._drawn = None if self._drawn is None else self._drawn[rows]

    def marginals(self, log_probs: Tensor) -> Conditioned:
        """Marginals (B, L, V) under the other rules, and then under the chain of each row's order."""
        if self.rest is None:
            out, log_z = log_probs, log_probs.new_zeros(len(log_probs))
            divergence = log_probs.new_zeros(log_probs.shape[:2])
        else:
            out, log_z, divergence = self.rest.marginals(log_probs)
            log_z, divergence = log_z.clone(), divergence.clone()
        for rows, layout in by_canvas(self.layouts):
            chain = self.chains[canvas_key(layout)]
            if chain is None:
                continue
            index = torch.tensor(rows)
            given = _rows_of(out, rows, layout.length)
            try:
                found = self._inference(chain, layout, index, log_probs).posterior(given.cpu())
            except UnsatisfiableConstraint:
                if self._drawn is None:
                    raise
                continue  # the order of now is not that of what is decided; draws go on from the last one
            if given is out:
                out = found.marginals.to(out)
            else:
                out = out.clone() if out is log_probs else out
                out[index, : layout.length] = found.marginals.to(out)
            log_z[index] += found.log_partition.to(log_z)
            divergence[index, : layout.length] += found.divergence.to(divergence)
        return Conditioned(out, log_z, divergence)

    def sample(self, log_probs: Tensor, uniforms: Tensor) -> Tensor:
        """Token ids (B, L) that obey everything: the best text of a perturbed posterior (perturb and MAP).

        Where the order that the posterior suggests contradicts what is decided, the last draw stands: it agrees with all that
        was decided since.
        """
        ids = []
        for n in range(len(log_probs)):
            generator = torch.Generator().manual_seed(int(float(uniforms[n, 0]) * 2**53))
            noise = torch.rand(log_probs.shape[1:], generator=generator).clamp(1e-12, 1 - 1e-7).to(log_probs)
            try:
                ids.append(self._row(n).best(log_probs[n : n + 1] - torch.log(-torch.log(noise))))
            except UnsatisfiableConstraint:
                if self._drawn is None:
                    raise
                ids.append(self._drawn[n : n + 1])
        self._drawn = torch.cat(ids)
        return self._drawn

    def best(self, log_probs: Tensor) -> Tensor:
        """Token ids (B, L) that obey everything: what keeps all phrases is fixed, and of the texts that do the best is taken.

        Raises:
            UnsatisfiableConstraint: no order that was tried leaves a text that obeys the other rules.
        """
        kept = log_probs if self.rest is None else self.rest.marginals(log_probs).marginals
        ids = log_probs.argmax(-1)
        bounds = log_probs.clone() if self.rest is not None else log_probs
        for rows, layout in by_canvas(self.layouts):
            chain = self.chains[canvas_key(layout)]
            if chain is None:
                continue
            index = torch.tensor(rows)
            found, ways = self._inference(chain, layout, index, log_probs).viterbi(kept[index, : layout.length].cpu())
            ids[index, : layout.length] = found.to(ids)
            if self.rest is not None:
                for row, way in zip(rows, ways, strict=True):
                    keep_way(bounds[row, : layout.length], chain, way)
        if self.rest is None:
            return ids
        try:
            return self.rest.best(bounds)
        except UnsatisfiableConstraint:
            if len(log_probs) == 1:
                return self._other_places(log_probs, kept)
            singles = [self._row(n).best(log_probs[n : n + 1]) for n in range(len(log_probs))]
            return torch.cat(singles)

    def _other_places(self, log_probs: Tensor, kept: Tensor) -> Tensor:
        """The best text (1, L) around phrases planted at some places, token by token; everything beside them is free."""
        layout = self.layouts[0]
        chain = self.chains[canvas_key(layout)]
        assert chain is not None
        assert self.rest is not None
        spellings = self._spellings(chain)
        random = np.random.default_rng(0)
        for attempt in range(TRIES):
            if attempt == 0:
                places = places_of(spellings, kept[:, : layout.length].cpu(), self.noise)[0]
            else:
                places = arranged([len(tokens) for tokens in spellings], layout.length, attempt, random)
            bounds = log_probs.clone()
            for own, place in zip(spellings, places, strict=True):
                plant(bounds[0, : layout.length], own, int(place), self.vocabulary)
            try:
                ids = self.rest.best(bounds)
            except UnsatisfiableConstraint:
                continue
            if chain.hold(ids[0, : layout.length].tolist()):
                return ids
        names = [automaton.name for automaton in chain.automata]
        raise UnsatisfiableConstraint(
            f"No text on this canvas of {layout.length} positions was found that obeys {named(names)} together with "
            f"{named(self.names)} ({TRIES} arrangements were tried). Give it more room (max_span_length, a larger length), or "
            "ask for fewer phrases."
        )

    def _row(self, n: int) -> ManyPhrases:
        """The same for one row."""
        one = ManyPhrases(self.plugins, [self.layouts[n]], [self.allowed[n]], self.vocabulary, [0], self.committing)
        one.noise = self.noise[n : n + 1]
        return one

    def _inference(self, chain: PhraseChain, layout: CanvasLayout, rows: Tensor, log_probs: Tensor) -> ChainInference:
        """The chains of some rows in the orders that their posteriors suggest; kept while these do not change."""
        given = _rows_of(log_probs, rows.tolist(), layout.length).cpu()
        orders = in_order(places_of(self._spellings(chain), given, self.noise[rows]))
        key = canvas_key(layout), tuple(rows.tolist())
        if key not in self._kept or self._kept[key][0] != orders:
            forbidden = self._kept[key][1].forbidden if key in self._kept else self._allowed(int(rows[0]), layout)
            self._kept[key] = orders, ChainInference(chain, orders, forbidden)
        return self._kept[key][1]

    def _allowed(self, row: int, layout: CanvasLayout) -> Tensor:
        """(L, V) bool, tokens that the canvas of a row allows."""
        return self.allowed[row][: layout.length].cpu()

    def _spellings(self, chain: PhraseChain) -> list[list[int]]:
        """Tokens of each phrase of a chain."""
        return [self._tokens[phrase_key(automaton)] for automaton in chain.automata]


def _rows_of(log_p: Tensor, rows: Sequence[int], length: int) -> Tensor:
    """Some rows and positions of (B, L, V); the same tensor where that is all of them."""
    if list(rows) == list(range(len(log_p))) and length == log_p.shape[1]:
        return log_p
    return log_p[torch.tensor(rows, device=log_p.device), :length]


def _names(plugin: Constraint) -> list[str]:
    return [automaton.name for automaton in plugin.compiled] or [plugin.title]

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

import copy
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffusionlm.guidance.automata import Conditioned, TokenAutomaton, UnsatisfiableConstraint
from diffusionlm.guidance.automata.bound import named
from diffusionlm.guidance.automata.chain_inference import ChainInference
from diffusionlm.guidance.automata.look_alikes import word_characters
from diffusionlm.guidance.automata.orders import PhraseChain
from diffusionlm.guidance.constraints.constraint import Constraint, JointConstraint, by_canvas, canvas_key
from diffusionlm.guidance.constraints.lazy import joint_constraint

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

MOST_TOGETHER = 4
TRIES = 12  # arrangements tried for one text before the rules are said to be impossible together
LEAST = -30.0  # nats; a token less likely than this counts as this where places are compared
MAX_CACHED = 32
_chains: OrderedDict[Any, PhraseChain] = OrderedDict()


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
        phrases = _needed(tuple(automaton for plugin in plugins for automaton in plugin.unordered()))
        others = [rest for plugin in plugins if (rest := _without_phrases(plugin)) is not None]
        self.names = [name for plugin in others for name in _names(plugin)]
        self.rest = joint_constraint(others, layouts, allowed, vocabulary, committing) if others else None
        self.plugins, self.vocabulary = list(plugins), vocabulary
        self.layouts, self.allowed, self.committing = list(layouts), list(allowed), committing
        self._drawn: Tensor | None = None
        self.chains: dict[Any, PhraseChain | None] = {}
        for rows, layout in by_canvas(layouts):
            self.chains[canvas_key(layout)] = _chain(phrases, layout, allowed[rows[0]][: layout.length], vocabulary)
        self.noise = torch.stack([_gumbel(seed, len(phrases), len(allowed[0])) for seed in seeds])
        self._tokens = {automaton.key_name: _spelled(automaton, vocabulary) for automaton in map(_Named, phrases)}
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
            out, log_z = log_probs.clone(), log_probs.new_zeros(len(log_probs))
            divergence = log_probs.new_zeros(log_probs.shape[:2])
        else:
            out, log_z, divergence = self.rest.marginals(log_probs)
            out, log_z, divergence = out.clone() if out is log_probs else out, log_z.clone(), divergence.clone()
        for rows, layout in by_canvas(self.layouts):
            chain = self.chains[canvas_key(layout)]
            if chain is None:
                continue
            index = torch.tensor(rows)
            given = out[index, : layout.length]
            try:
                found = self._inference(chain, layout, index, log_probs).posterior(given.cpu())
            except UnsatisfiableConstraint:
                if self._drawn is None:
                    raise
                continue  # the order of now is not that of what is decided; draws go on from the last one
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
                    _fix(bounds[row, : layout.length], chain, way)
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
        spelled = [self._tokens[_Named(automaton).key_name] for automaton in chain.automata]
        random = np.random.default_rng(0)
        for attempt in range(TRIES):
            if attempt == 0:
                places = self._places(chain, kept[:, : layout.length].cpu(), self.noise)[0]
            else:  # packed at the front first, then with gaps between
                slack = layout.length - sum(map(len, spelled))
                gaps = np.sort(random.integers(0, max(0, slack) + 1, len(spelled))) * (attempt > 2)
                places, begin = [0] * len(spelled), 0
                for gap, k in zip(gaps.tolist(), random.permutation(len(spelled)).tolist(), strict=True):
                    places[k] = begin + gap
                    begin += len(spelled[k])
            bounds = log_probs.clone()
            for own, place in zip(spelled, places, strict=True):
                self._plant(bounds[0, : layout.length], own, int(place))
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

    def _plant(self, log_p: Tensor, tokens: Sequence[int], place: int) -> None:
        """Forbid in place, (L, V), all but some tokens from a place on, and that a word goes on behind them."""
        for i, token in enumerate(tokens, start=place):
            if i < len(log_p):
                value = log_p[i, token].clone()
                log_p[i] = -torch.inf
                log_p[i, token] = value
        behind = place + len(tokens)
        if behind < len(log_p):
            log_p[behind].masked_fill_(_goes_on(self.vocabulary).to(log_p.device), -torch.inf)

    def _row(self, n: int) -> ManyPhrases:
        """The same for one row."""
        one = ManyPhrases(self.plugins, [self.layouts[n]], [self.allowed[n]], self.vocabulary, [0], self.committing)
        one.noise = self.noise[n : n + 1]
        return one

    def _inference(self, chain: PhraseChain, layout: CanvasLayout, rows: Tensor, log_probs: Tensor) -> ChainInference:
        """The chains of some rows in the orders that their posteriors suggest; kept while these do not change."""
        orders = self._orders(chain, log_probs[rows, : layout.length].cpu(), self.noise[rows])
        key = canvas_key(layout), tuple(rows.tolist())
        if key not in self._kept or self._kept[key][0] != orders:
            allowed = self.allowed[int(rows[0])][: layout.length].cpu()
            self._kept[key] = orders, ChainInference(chain, orders, allowed)
        return self._kept[key][1]

    def _orders(self, chain: PhraseChain, log_p: Tensor, noise: Tensor) -> list[tuple[int, ...]]:
        """An order of the phrases for each row, from log_p (B, L, V) and Gumbel noise (B, n, L)."""
        places = self._places(chain, log_p, noise)
        return [tuple(int(k) for k in np.argsort(place, kind="stable")) for place in places]

    def _places(self, chain: PhraseChain, log_p: Tensor, noise: Tensor) -> list[Any]:
        """Where the phrases would begin in each row."""
        batch, length, _ = log_p.shape
        scores = np.full((batch, len(chain.automata), length), len(chain.automata) * 50 * LEAST)
        sizes = []
        for k, automaton in enumerate(chain.automata):
            tokens = self._tokens[_Named(automaton).key_name]
            sizes.append(len(tokens))
            room = length - len(tokens) + 1
            if room < 1:
                continue
            own = log_p[..., torch.tensor(tokens)].clamp_min(LEAST)
            scores[:, k, :room] = sum(own[:, j : j + room, j] for j in range(len(tokens)))
        scores += noise[:, : len(chain.automata), :length].numpy()
        return [_placed(own, sizes) for own in scores]


class _Named:
    """What identifies an automaton of a phrase."""

    def __init__(self, automaton: TokenAutomaton) -> None:
        self.automaton = automaton
        language = automaton.language
        self.key_name = automaton.name if language is None else language.key


def _placed(scores: Any, sizes: Sequence[int]) -> Any:
    """The places (n,) that suit phrases best without overlap, from scores (n, L); between two where there is no room."""
    free = scores.copy()
    place = np.full(len(sizes), -1.0)
    for _ in sizes:
        k, i = divmod(int(free.argmax()), free.shape[1])
        if not np.isfinite(free[k, i]):
            break
        place[k] = i
        free[k] = -np.inf
        for other, size in enumerate(sizes):
            free[other, max(0, i - size + 1) : i + sizes[k]] = -np.inf
    left = place < 0
    place[left] = scores[left].argmax(1) + 0.5
    return place


def _fix(log_p: Tensor, chain: PhraseChain, way: Sequence[Any]) -> None:
    """Forbid in place, (L, V), the tokens that would leave the way of a chain."""
    classes = torch.from_numpy(chain.token_class).to(log_p.device)
    for i, own in enumerate(way):
        if own is None:
            continue
        inside = torch.zeros(chain.num_classes + 1, dtype=torch.bool, device=log_p.device)
        inside[torch.as_tensor(own, device=log_p.device)] = True
        log_p[i].masked_fill_(~inside[classes], -torch.inf)


def _gumbel(seed: int, phrases: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed ^ 0x0DE25)
    uniform = torch.rand(phrases, length, generator=generator, dtype=torch.float64).clamp_min(1e-300)
    return -(-uniform.log()).log()


@lru_cache(maxsize=2)
def _ids(vocabulary: Vocabulary) -> dict[bytes, int]:
    return {surface: token for token, surface in enumerate(vocabulary.surfaces) if surface}


@lru_cache(maxsize=2)
def _goes_on(vocabulary: Vocabulary) -> Tensor:
    """(V,) bool: tokens that go on with a word."""
    first = np.array(
        [ord(text[0]) if surface else 32 for text, surface in zip(vocabulary.strings, vocabulary.surfaces, strict=True)]
    )
    edges = np.array(word_characters()).reshape(-1)
    return torch.from_numpy(np.searchsorted(edges, first, side="right") % 2 == 1)


def _spelled(automaton: _Named, vocabulary: Vocabulary) -> list[int]:
    """Tokens of the shortest text of a phrase behind a space, the longest first."""
    from diffusionlm.guidance.syntax.words import longest_first

    language = automaton.automaton.language
    text = (language.shortest() if language is not None else None) or ""
    return [token for token in longest_first(b" " + text.strip().encode(), _ids(vocabulary)) if token is not None] or [
        0
    ]


@lru_cache(maxsize=16)
def _needed(phrases: tuple[TokenAutomaton, ...]) -> list[TokenAutomaton]:
    """The phrases without those that every text with another of them holds."""
    out: list[TokenAutomaton] = []
    for k, automaton in enumerate(phrases):
        own = automaton.language
        assert own is not None
        implied = False
        for j, other in enumerate(phrases):
            language = other.language
            assert language is not None
            if k == j or not own.accepts(language.shortest() or "") or (own == language and k < j):
                continue
            implied = implied or (language - own).is_empty()
        if not implied:
            out.append(automaton)
    return out


def _without_phrases(plugin: Constraint) -> Constraint | None:
    """A plugin without the rules that the chain takes over; None if nothing is left of it."""
    own = {id(automaton) for automaton in plugin.unordered()}
    if not own:
        return plugin
    rest = [automaton for automaton in plugin.compiled if id(automaton) not in own]
    if not rest:
        return None
    other = copy.copy(plugin)
    other.compiled = rest
    return other


def _names(plugin: Constraint) -> list[str]:
    return [automaton.name for automaton in plugin.compiled] or [plugin.title]


def _chain(
    phrases: Sequence[TokenAutomaton], layout: CanvasLayout, allowed: Tensor, vocabulary: Vocabulary
) -> PhraseChain | None:
    """The phrases on a canvas without those that its known text holds already; None if that is all of them."""
    usable = allowed.any(0).cpu().numpy()
    keys = tuple(_Named(automaton).key_name for automaton in phrases)
    key = keys, vocabulary.fingerprint, canvas_key(layout), usable.tobytes()
    if key not in _chains:
        literals = list(layout.internal_literals)
        missing = [automaton for automaton in phrases if not _known(automaton, literals)]
        _chains[key] = PhraseChain(missing, literals, layout.span_index.numpy(), usable) if missing else None  # type: ignore[assignment]
        while len(_chains) > MAX_CACHED:
            _chains.popitem(last=False)
    _chains.move_to_end(key)
    return _chains[key]


def _known(automaton: TokenAutomaton, literals: Sequence[str]) -> bool:
    """Whether one of the known texts holds the phrase, whatever is written beside it."""
    language = automaton.language
    assert language is not None
    last = len(literals) - 1
    sides = [("x" if n else "", text, "x" if n < last else "") for n, text in enumerate(literals)]
    return any(text and language.accepts(left + text + right) for left, text, right in sides)

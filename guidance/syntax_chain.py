"""Exact inference with weighted words: an automaton over parts of speech, whose words weigh what a tagger says of them.

The posterior is p(x) prod_w psi(word w | state of the tag automaton), restricted to texts that a token automaton accepts
(constraints of other plugins, and the rules of the canvas). A word is a run of tokens: one that opens it, others that go on
with it. Sums over all texts by the forward and backward algorithm over pairs (state k of the tag automaton, state s of the
token automaton), in log space and double precision.

Shapes: B rows, L span positions, V vocabulary, K states of the chain (two for each state of the tag automaton: its word
complete, or begun), S of the token automaton, C classes of tokens.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.automaton_bound import BoundAutomaton, Conditioned, UnsatisfiableConstraint
from diffusionlm.guidance.syntax_automaton import TagAutomaton, intersect

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout

NEVER = -1e30  # log of nothing; finite, so that sums of nothing stay numbers
LEAST = 1e-300  # what a possible token weighs at least beside the likeliest, so that none is lost to rounding
MOST_ARCS = 20_000  # beyond them class by class is faster
FLOOR = 1e-4  # weight of a known word that a tagger would not give the tag: the user wrote it, so it stands


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


class BoundChain:
    """A `WordChain` on a canvas, together with the token automaton of everything else. The methods are those of
    `BoundAutomaton`.

    Args:
        chain: weights.
        bound: the constraints of other plugins on the canvas, or one that accepts everything.
        known: tokens of the known text before each position (L + 1 entries, the last one behind the text).
    """

    def __init__(self, chain: WordChain, bound: BoundAutomaton, known: Sequence[Sequence[int]]) -> None:
        self.chain, self.bound, engine = chain, bound, bound._engine
        self.length, self.pad = bound.length, bound._automata[0].pad_id
        self.known = [list(tokens) for tokens in known]
        automaton = chain.automaton
        device = engine.delta.device
        opened, gone_on = chain.arcs()
        states = chain.num_states
        self.before, self.after = _neighbours(opened, states, device)
        self.inside_before, self.inside_after = _neighbours(gone_on, states, device)
        ends = torch.tensor([*automaton.accepting, *[False] * len(automaton.accepting)], device=device)
        self.ending = _log(ends.double())
        classes = engine.token_class
        self.pad_class = int(classes[self.pad])
        lost = engine.num_states
        self.target = engine.delta.long()  # (S, C), lost state S
        weights, self.column = _distinct(torch.cat([chain.opening, chain.inside], 1))
        self.weights = weights.to(device)
        self.tokens: dict[int, Tensor] = {}  # of each class
        self.members: dict[int, Tensor | None] = {}  # the same, or None for all, with weights that are 0 for others
        self.own: dict[int, Tensor] = {}  # their weights
        for c in range(engine.num_classes):
            mine = (classes == c) & (self.weights > 0).any(1)
            mine[self.pad] = False
            if not bool(mine.any()) or not bool((self.target[:, c] < lost).any()):
                continue
            self.tokens[c] = tokens = torch.nonzero(mine).flatten()
            most = 2 * len(tokens) > len(mine)
            self.members[c] = None if most else tokens
            self.own[c] = self.weights * mine[:, None] if most else self.weights[tokens]
        if not self.members:
            raise UnsatisfiableConstraint(f"No token of this vocabulary can stand anywhere in {chain.name}.")
        ways = [c for c in (*self.members, self.pad_class) if c < engine.num_classes]
        self.into = {c: _sources(self.target[:, c], lost) for c in ways}
        self.arcs = None if engine.bridge_maps or any(self.known) else self._list_arcs(opened, gone_on)

    def _list_arcs(self, opened: Sequence[tuple[int, int]], gone_on: Sequence[tuple[int, int]]) -> _Arcs | None:
        """Arcs between pairs (k, s), for both directions; None where there are too many."""
        states, others, lost = self.chain.num_states, self.bound._engine.num_states, self.bound._engine.num_states
        moves = [(s, self.target[s, c], n) for n, c in enumerate(self.members) for s in range(others)]
        live = [(s, int(t), n) for s, t, n in moves if int(t) < lost]
        if (len(opened) + len(gone_on)) * len(live) > MOST_ARCS:
            return None
        arcs = []
        for kind, own in enumerate((opened, gone_on)):
            arcs += [(a * others + s, b * others + t, (2 * n + kind) * states + b) for a, b in own for s, t, n in live]
        if self.pad_class in self.into:
            pad = 2 * len(self.members) * states
            for s in range(others):
                t = int(self.target[s, self.pad_class])
                if t < lost:
                    arcs += [(k * others + s, k * others + t, pad) for k in range(states)]
        pairs, device = states * others, self.before.device
        count = 2 * len(self.members) * states + (self.pad_class in self.into)
        both = [*arcs, *((pairs + b, pairs + a, count + m) for a, b, m in arcs)]
        source, target, mass = torch.tensor(sorted(both, key=lambda arc: arc[1]), device=device).unbind(1)
        return _Arcs(source.contiguous(), target.contiguous(), mass.contiguous())

    # ---- what the session asks --------------------------------------------------------------------------------------

    def posterior(self, log_p: Tensor) -> Conditioned:
        """Marginals of the weighed and accepted texts (B, L, V), log Z (B,), KL at each position (B, L). No gradient.

        Raises:
            UnsatisfiableConstraint: a row has no text of positive weight.
        """
        rows = self._rows(log_p)
        masses = self._masses(rows)
        before, after, log_z = self._both(masses)
        if rows.dtype == torch.float32 and not bool((log_z > NEVER / 2).all()):
            rows = rows.double()  # what single precision lost
            masses = self._masses(rows)
            before, after, log_z = self._both(masses)
        self._possible(log_z)
        out, divergence = self._marginals(rows, masses, before, after, log_z)
        return Conditioned(out.to(log_p.dtype), log_z, divergence)

    def log_partition(self, log_p: Tensor) -> Tensor:
        """log Z (B,), `NEVER` or below where there is no text."""
        return self._backward(self._masses(self._rows(log_p).double()), _sum)[1]

    def viterbi(self, log_p: Tensor) -> Tensor:
        """Token ids (B, L): the best way through the automata, by the mass of the tokens that take each step of it, and of
        these tokens the best.

        Raises:
            UnsatisfiableConstraint: a row has no text of positive weight.
        """
        rows = self._rows(log_p).double()
        masses = self._masses(rows)
        after, log_z = self._backward(masses, _max)
        self._possible(log_z)
        return self._walk(rows, masses, after)

    # ---- masses -----------------------------------------------------------------------------------------------------

    def _rows(self, log_p: Tensor) -> Tensor:
        """At least single precision, forbidden tokens at -inf."""
        bias = self.bound._engine.bias
        rows = log_p.detach().to(torch.promote_types(log_p.dtype, torch.float32))
        return rows if bias is None else rows + bias

    def _masses(self, rows: Tensor) -> _Masses:
        """Log mass of the tokens of each class that open or go on with the word of each state, at each position."""
        states = self.chain.num_states
        opening, inside = {}, {}
        top = rows.amax(-1, keepdim=True)
        if rows.dtype == torch.float64:
            shares = (rows - top).exp_().clamp_min_(LEAST).mul_(rows > NEVER)
        else:
            shares = _single_exp(rows - top)
        for c, tokens in self.members.items():
            own = shares if tokens is None else shares[..., tokens]
            mass = ((own @ self.own[c].to(own.dtype)).double().log_() + top).clamp_min_(NEVER)[..., self.column]
            opening[c], inside[c] = mass[..., :states], mass[..., states:]
        pad = rows[..., self.pad].double().clamp_min(NEVER) if self.pad_class in self.into else None
        return _Masses(opening, inside, pad)

    def _through_known(self, ways: Tensor, tokens: Sequence[int], backwards: bool = False) -> Tensor:
        """Log weights (B, K, S) of ways through the states of the tag automaton across known tokens."""
        for token in reversed(tokens) if backwards else tokens:
            opens, goes_on = self._known_weights(token)
            if backwards:
                opened, gone_on = self._leave(ways + opens[:, None]), self._leave_inside(ways + goes_on[:, None])
                ways = torch.logaddexp(opened, gone_on)
            else:
                opened, gone_on = self._enter(ways) + opens[:, None], self._enter_inside(ways) + goes_on[:, None]
                ways = torch.logaddexp(opened, gone_on)
        return ways

    def _known_weights(self, token: int) -> tuple[Tensor, Tensor]:
        opening, inside = self.chain.opening[token].clone(), self.chain.inside[token].clone()
        if not bool((opening > FLOOR).any() | (inside > FLOOR).any()):  # a token no tagger has seen
            opening, inside = torch.full_like(opening, FLOOR), torch.full_like(inside, FLOOR)
            opening[0] = inside[0] = 0.0
        return _log(opening), _log(inside)

    def _enter(self, ways: Tensor) -> Tensor:
        """From states to those whose word may be opened there: (B, K, S) -> (B, K, S)."""
        return _collected(ways, self.before, _sum)

    def _enter_inside(self, ways: Tensor) -> Tensor:
        """From states to those whose word may be gone on with."""
        return _collected(ways, self.inside_before, _sum)

    def _leave(self, ways: Tensor, add: Add | None = None) -> Tensor:
        """From states back to those from which their word is opened."""
        return _collected(ways, self.after, add or _sum)

    def _leave_inside(self, ways: Tensor, add: Add | None = None) -> Tensor:
        """From states back to those from which their word is gone on with."""
        return _collected(ways, self.inside_after, add or _sum)

    # ---- forward and backward ---------------------------------------------------------------------------------------

    def _both(self, masses: _Masses) -> tuple[Tensor, Tensor, Tensor]:
        """`_forward`, `_backward` and log Z. Where nothing is known and the automata are small, both in one recursion over the
        arcs between pairs of states, the backward one running from the end, with probabilities that are brought to a largest
        of 1 at each position; in log space where that loses a row."""
        if self.arcs is not None:
            before, after, log_z = self._scaled(masses, self.arcs)
            if bool((log_z > NEVER / 2).all()):
                return before, after, log_z
        after, log_z = self._backward(masses, _sum)
        return self._forward(masses), after, log_z

    def _scaled(self, masses: _Masses, arcs: _Arcs) -> tuple[Tensor, Tensor, Tensor]:
        engine = self.bound._engine
        pairs, rows = self.chain.num_states * engine.num_states, masses.rows
        each = [part for c in self.members for part in (masses.opening[c], masses.inside[c])]
        each += [] if masses.pad is None else [masses.pad[..., None]]
        weights = torch.cat(each, -1)
        largest = weights.amax(-1, keepdim=True)
        weights = (weights - largest).exp_()
        weights = torch.cat([weights, weights.flip(1)], -1)  # forward at position t, backward at L - 1 - t
        largest = torch.cat([largest, largest.flip(1)], -1)
        ways = weights.new_zeros(rows, 2 * pairs)
        ways[:, engine.start] = 1.0
        ways[:, pairs:] = (self.ending[:, None] + engine.log_accepting).exp().view(-1)
        scale = weights.new_zeros(rows, 2)
        found, scales = [], []
        for t in range(self.length):
            found.append(ways)
            scales.append(scale)
            moved = torch.zeros_like(ways).index_add_(
                1, arcs.target, ways[:, arcs.source] * weights[:, t][:, arcs.mass]
            )
            top = moved.view(rows, 2, pairs).amax(-1).clamp_min_(LEAST)
            ways = moved / top.repeat_interleave(pairs, 1)
            scale = scale + largest[:, t] + top.log()
        shape = (rows, self.length, self.chain.num_states, engine.num_states)
        both = torch.stack(found, 1).view(rows, self.length, 2, pairs).log_() + torch.stack(scales, 1)[..., None]
        both = both.clamp_min_(NEVER)
        before, after = both[:, :, 0].reshape(shape), both[:, :, 1].flip(1).reshape(shape)
        return before, after, _log(ways[:, pairs + engine.start]) + scale[:, 1]

    def _forward(self, masses: _Masses) -> Tensor:
        """(B, L, K, S) log weight of all ways to a pair of states before each position."""
        engine = self.bound._engine
        rows, states = masses.rows, self.chain.num_states
        ways = torch.full((rows, states, engine.num_states), NEVER, dtype=torch.float64, device=self.before.device)
        ways[:, 0, engine.start] = 0.0
        out = []
        for i in range(self.length):
            ways = self._through_known(ways, self.known[i])
            out.append(ways)
            if i + 1 == self.length:
                break
            entered, gone_on = self._enter(ways), self._enter_inside(ways)
            parts = []
            for c in self.members:
                opened = entered + masses.opening[c][:, i, :, None]
                moved = torch.logaddexp(opened, gone_on + masses.inside[c][:, i, :, None])
                parts.append(_gathered(moved, self.into[c]))
            if masses.pad is not None:
                parts.append(_gathered(ways + masses.pad[:, i, None, None], self.into[self.pad_class]))
            ways = parts[0] if len(parts) == 1 else torch.stack(parts).logsumexp(0)
            ways = ways.clamp_min(NEVER)
            if i in engine.bridge_maps:
                ways = _gathered(ways, _sources(engine.bridge_maps[i], engine.num_states))
        return torch.stack(out, 1)

    def _backward(self, masses: _Masses, add: Add) -> tuple[Tensor, Tensor]:
        """(B, L, K, S) log weight of all ways on from a pair of states behind each position, and log Z (B,)."""
        engine = self.bound._engine
        ways = (self.ending[:, None] + engine.log_accepting.clamp_min(NEVER)).clamp_min(NEVER)
        ways = ways.expand(masses.rows, -1, -1)
        ways = self._through_known(ways, self.known[self.length], backwards=True)
        out = []
        for i in reversed(range(self.length)):
            if i in engine.bridge_maps:
                ways = _pulled(ways, engine.bridge_maps[i])
            out.append(ways)
            parts = []
            for c in self.members:
                pulled = _pulled(ways, self.target[:, c])
                parts.append(self._leave(pulled + masses.opening[c][:, i, :, None], add))
                parts.append(self._leave_inside(pulled + masses.inside[c][:, i, :, None], add))
            if masses.pad is not None:
                parts.append(_pulled(ways, self.target[:, self.pad_class]) + masses.pad[:, i, None, None])
            ways = add(torch.stack(parts), 0).clamp_min(NEVER)
            ways = self._through_known(ways, self.known[i], backwards=True)
        return torch.stack(out[::-1], 1), ways[:, 0, engine.start]

    def _marginals(
        self, rows: Tensor, masses: _Masses, before: Tensor, after: Tensor, log_z: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log marginals (B, L, V), and their KL from what was given at each position (B, L)."""
        batch, length = before.shape[:2]
        ratio = torch.zeros_like(rows)  # of the marginals to what was given, up to a factor a position
        parts, pad = (
            self._uses(masses, before, after) if self.arcs is None else self._uses_of_arcs(self.arcs, before, after)
        )
        top = torch.stack([*(own.amax(-1) for own in parts.values()), *([] if pad is None else [pad])]).amax(0)
        for c, tokens in self.members.items():
            shares = _single_exp(parts[c] - top[..., None])
            by_column = shares.new_zeros(batch, length, self.weights.shape[1]).index_add_(-1, self.column, shares)
            found = by_column.to(rows.dtype) @ self.own[c].T.to(rows.dtype)
            if tokens is None:
                ratio += found
            else:
                ratio[..., tokens] += found
        if pad is not None:
            ratio[..., self.pad] = (pad - top).exp().to(rows.dtype)
        ratio = ratio.clamp_min_(1e-38).log_().add_((top - log_z[:, None]).to(rows.dtype)[..., None])
        out = rows + ratio
        held = torch.linalg.vecdot(out.exp(), ratio)
        return out, held

    def _uses(self, masses: _Masses, before: Tensor, after: Tensor) -> tuple[dict[int, Tensor], Tensor | None]:
        """Log weight of all ways that use each mass, without the mass itself: (B, L, 2 K) by class, pad's (B, L)."""
        batch, length, states, other = before.shape
        flat = before.reshape(batch * length, states, other)
        entered = self._enter(flat).view(batch, length, states, other)
        gone_on = self._enter_inside(flat).view(batch, length, states, other)
        parts, pad = {}, None
        for c in self.members:
            pulled = _pulled(after, self.target[:, c])
            parts[c] = torch.cat([(entered + pulled).logsumexp(-1), (gone_on + pulled).logsumexp(-1)], -1)
        if masses.pad is not None:
            pad = (before + _pulled(after, self.target[:, self.pad_class])).flatten(2).logsumexp(-1)
        return parts, pad

    def _uses_of_arcs(self, arcs: _Arcs, before: Tensor, after: Tensor) -> tuple[dict[int, Tensor], Tensor | None]:
        """The same, summed over the arcs."""
        states, pairs = self.chain.num_states, before.shape[2] * before.shape[3]
        ahead = arcs.target < pairs
        source, target, mass = arcs.source[ahead], arcs.target[ahead], arcs.mass[ahead]
        before, after = before.flatten(2), after.flatten(2)
        tops = before.amax(-1, keepdim=True), after.amax(-1, keepdim=True)
        ways = (before - tops[0]).exp_()[..., source] * (after - tops[1]).exp_()[..., target]
        count = 2 * len(self.members) * states + (self.pad_class in self.into)
        sums = _log(ways.new_zeros(*ways.shape[:2], count).index_add_(2, mass, ways)) + sum(tops)
        parts = {c: sums[..., 2 * n * states : 2 * (n + 1) * states] for n, c in enumerate(self.members)}
        return parts, sums[..., -1] if self.pad_class in self.into else None

    def _walk(self, weighed: Tensor, masses: _Masses, after: Tensor) -> Tensor:
        engine = self.bound._engine
        ids = torch.empty(weighed.shape[:2], dtype=torch.long, device=weighed.device)
        opening, inside = _log(self.chain.opening), _log(self.chain.inside)
        for row in range(len(weighed)):
            state, other = self._walk_known(0, self.known[0]), engine.start
            for i in range(self.length):
                best, step = -torch.inf, (self.pad, state, other)
                following, same = self._following(state)
                for c in self.members:
                    target = int(self.target[other, c])
                    if target == engine.num_states:
                        continue
                    options = [(k, opening, masses.opening[c]) for k in following] + [
                        (k, inside, masses.inside[c]) for k in same
                    ]
                    for k, table, mass in options:
                        score = float(mass[row, i, k] + after[row, i, k, target])
                        if score > best:
                            tokens = self.tokens[c]
                            token = int(tokens[(weighed[row, i, tokens] + table[tokens, k]).argmax()])
                            best, step = score, (token, k, target)
                if masses.pad is not None:
                    target = int(self.target[other, self.pad_class])
                    score = (
                        float(masses.pad[row, i] + after[row, i, state, target]) if target < engine.num_states else best
                    )
                    if score > best:
                        best, step = score, (self.pad, state, target)
                ids[row, i], state, other = step
                if i in engine.bridge_maps:
                    other = int(engine.bridge_maps[i][other])
                state = self._walk_known(state, self.known[i + 1])
        return ids

    def _following(self, state: int) -> tuple[list[int], list[int]]:
        """States whose word may be opened, or gone on with, from a state."""
        tables = (self.after[state], self.inside_after[state])
        opened, gone_on = ([k for k in own.tolist() if k < self.chain.num_states] for own in tables)
        return opened, gone_on

    def _walk_known(self, state: int, tokens: Sequence[int]) -> int:
        for token in tokens:
            opens, goes_on = self._known_weights(token)
            opened, gone_on = self._following(state)
            options = [(float(opens[k]), k) for k in opened] + [(float(goes_on[k]), k) for k in gone_on]
            state = max(options, default=(0.0, state))[1]
        return state

    def _possible(self, log_z: Tensor) -> None:
        if bool((log_z > NEVER / 2).all()):
            return
        rows = torch.nonzero(~(log_z > NEVER / 2)).flatten().tolist()
        others = [name for name in self.bound.names if name != EVERYTHING]
        beside = f" together with {', '.join(f'[{name}]' for name in others)}" if others else ""
        raise UnsatisfiableConstraint(
            f"No text on this canvas of {self.length} positions has the parts of speech of {self.chain.name}{beside} "
            f"(samples {rows[:8]}). Check how many words there is room for, the known text, and the other constraints."
        )


def known_tokens(layout: CanvasLayout) -> list[list[int]]:
    """Ids of the known text before each span position, and behind the last (L + 1 lists)."""
    found: list[list[int]] = [[] for _ in range(layout.length + 1)]
    if not any(layout.internal_literals):
        return found
    spans = layout.span_positions.tolist()
    for token, position in zip(layout.known_ids.tolist(), layout.known_positions.tolist(), strict=True):
        found[bisect_left(spans, position)].append(token)
    return found


EVERYTHING = "0 or more tokens in the spans"


@dataclass(frozen=True)
class _Arcs:
    """(E,) each, between pairs of states, forward and backward: where a way comes from, where it goes, the mass it takes."""

    source: Tensor
    target: Tensor
    mass: Tensor


@dataclass(frozen=True)
class _Masses:
    """Log masses by class: of tokens that open (B, L, K), that go on (B, L, K); of pad (B, L)."""

    opening: dict[int, Tensor]
    inside: dict[int, Tensor]
    pad: Tensor | None

    @property
    def rows(self) -> int:
        return len(next(iter(self.opening.values())))


Add = Callable[[Tensor, int], Tensor]


def _neighbours(arcs: Sequence[tuple[int, int]], size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(K, R) the states before each state, and those after it, filled up with K."""
    before: list[list[int]] = [[] for _ in range(size)]
    after: list[list[int]] = [[] for _ in range(size)]
    for a, b in arcs:
        before[b].append(a)
        after[a].append(b)
    return tuple(  # type: ignore[return-value]
        torch.tensor([own + [size] * (max(1, *map(len, table)) - len(own)) for own in table], device=device)
        for table in (before, after)
    )


def _distinct(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The different columns of (V, n), and which of them each column is (n,)."""
    seen: dict[bytes, int] = {}
    which = [seen.setdefault(column.numpy().tobytes(), len(seen)) for column in weights.T.contiguous().cpu()]
    first = [which.index(k) for k in range(len(seen))]
    return weights[:, first].contiguous(), torch.tensor(which, device=weights.device)


def _collected(ways: Tensor, neighbours: Tensor, add: Add) -> Tensor:
    """(B, K, S) -> (B, K, S): over the neighbours of each state."""
    padded = torch.cat([ways, ways.new_full((len(ways), 1, ways.shape[2]), NEVER)], 1)
    if neighbours.shape[1] == 1:
        return padded[:, neighbours[:, 0]]
    return add(padded[:, neighbours], 2)


def _single_exp(values: Tensor) -> Tensor:
    """exp in place, 0 below e^-80: single precision is slow on what is smaller still."""
    return values.clamp_min_(-80.0).exp_().sub_(math.exp(-80.0)).clamp_min_(0.0)


def _log(values: Tensor) -> Tensor:
    return values.log().clamp_min(NEVER)


def _sum(values: Tensor, dim: int) -> Tensor:
    return values.logsumexp(dim)


def _max(values: Tensor, dim: int) -> Tensor:
    return values.amax(dim)


def _sources(target: Tensor, lost: int) -> Tensor:
    """(S,) -> (S, R): the states that go to each state, filled up with S."""
    own = [torch.nonzero(target == s).flatten().tolist() for s in range(lost)]
    most = max(1, *(len(x) for x in own))
    return torch.tensor([x + [lost] * (most - len(x)) for x in own], device=target.device)


def _gathered(ways: Tensor, sources: Tensor) -> Tensor:
    """(B, K, S) moved along transitions of the token automaton."""
    padded = torch.cat([ways, ways.new_full((*ways.shape[:-1], 1), NEVER)], -1)
    return padded[..., sources[:, 0]] if sources.shape[1] == 1 else padded[..., sources].logsumexp(-1)


def _pulled(ways: Tensor, target: Tensor) -> Tensor:
    """(..., S) read back along transitions of the token automaton."""
    padded = torch.cat([ways, ways.new_full((*ways.shape[:-1], 1), NEVER)], -1)
    return padded[..., target.long()]

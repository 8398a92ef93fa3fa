"""`BoundChain`: a chain of weighed words on a canvas: posterior, log Z and the best text.

Sums over all texts by the forward and backward algorithm over pairs (state k of the tag automaton, state s of the token
automaton), in log space and double precision.

Shapes: B rows, L span positions, V vocabulary, K states of the chain (two for each state of the tag automaton: its word
complete, or begun), S of the token automaton, C classes of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.guidance.automata.algebra import Budget
from diffusionlm.guidance.automata.bound import BoundAutomaton, Conditioned, UnsatisfiableConstraint, named
from diffusionlm.guidance.weighted.arcs import Arcs
from diffusionlm.guidance.weighted.by_class import ByClass, Neighbours
from diffusionlm.guidance.weighted.ways import (
    LEAST,
    NEVER,
    Add,
    Masses,
    collected,
    distinct,
    gathered,
    largest,
    log_of,
    neighbours,
    pulled,
    single_exp,
    sources,
    total,
)

if TYPE_CHECKING:
    from diffusionlm.guidance.weighted.chain import WordChain

FLOOR = 1e-4  # weight of a known word that a tagger would not give the tag: the user wrote it, so it stands
EVERYTHING = "0 or more tokens in the spans"
MOST_PAIRS = 300_000  # of states; a step keeps 16 bytes for each at every position of every row
ADVICE = (
    "A syntax with this many other rules would take minutes a step: ask for fewer rules or shorter ranges beside it"
)


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
        Budget(named([chain.name, *bound.names]), MOST_PAIRS, advice=ADVICE).check(states * engine.num_states)
        self.before, self.after = neighbours(opened, states, device)
        self.inside_before, self.inside_after = neighbours(gone_on, states, device)
        ends = torch.tensor([*automaton.accepting, *[False] * len(automaton.accepting)], device=device)
        self.ending = log_of(ends.double())
        classes = engine.token_class
        self.pad_class = int(classes[self.pad])
        lost = engine.num_states
        self.target = engine.delta.long()  # (S, C), lost state S
        weights, self.column = distinct(torch.cat([chain.opening, chain.inside], 1))
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
        ends_here = self.pad_class < engine.num_classes and bool((self.target[:, self.pad_class] < lost).any())
        if not self.members and not ends_here:  # with pad alone the known text stands for itself
            raise UnsatisfiableConstraint(f"No token of this vocabulary can stand anywhere in {chain.name}.")
        self.pads = self.pad_class < engine.num_classes  # whether a pad leads anywhere
        used = [*self.members, *([self.pad_class] if self.pads else [])]
        self.columns = self.target[:, used].T.contiguous()  # (C used, S), pad's last
        self.into = sources(self.columns, lost)
        self.bridges = {i: sources(after, lost) for i, after in engine.bridge_maps.items()}
        pad_class = self.pad_class if self.pads else None
        small = not engine.bridge_maps and not any(self.known)
        arcs = Arcs.of(opened, gone_on, states, self.target, list(self.members), pad_class) if small else None
        self.passes: Arcs | ByClass | None = arcs
        if arcs is None and self.members:
            beside = Neighbours(self.before, self.after, self.inside_before, self.inside_after)
            weights_of = [[self._known_weights(token) for token in tokens] for tokens in self.known]
            self.passes = ByClass(
                beside, self.columns.T, self.into, tuple(self.members), self.pads, engine.bridge_maps, weights_of
            )

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
        return self._backward(self._masses(self._rows(log_p).double()), total)[1]

    def viterbi(self, log_p: Tensor) -> Tensor:
        """Token ids (B, L): the best way through the automata, by the mass of the tokens that take each step of it, and of
        these tokens the best.

        Raises:
            UnsatisfiableConstraint: a row has no text of positive weight.
        """
        rows = self._rows(log_p).double()
        masses = self._masses(rows)
        after, log_z = self._backward(masses, largest)
        self._possible(log_z)
        return self._walk(rows, masses, after)

    def sample(self, log_p: Tensor, uniforms: Tensor) -> Tensor:
        """Token ids (B, L) of one text of each row, drawn jointly with weights and automata (backward filtering, forward
        sampling): (B, L, V), uniforms (B, L) in [0, 1). Inside known text, which has no choice of tokens, the likeliest tags.

        Raises:
            UnsatisfiableConstraint: a row has no text of positive weight.
        """
        rows = self._rows(log_p).double()
        masses = self._masses(rows)
        after, log_z = self._backward(masses, total)
        self._possible(log_z)
        return self._walk(rows, masses, after, uniforms)

    # ---- masses -----------------------------------------------------------------------------------------------------

    def _rows(self, log_p: Tensor) -> Tensor:
        """At least single precision, forbidden tokens at -inf."""
        bias = self.bound._engine.bias
        rows = log_p.detach().to(torch.promote_types(log_p.dtype, torch.float32))
        return rows if bias is None else rows + bias

    def _masses(self, rows: Tensor) -> Masses:
        """Log mass of the tokens of each class that open or go on with the word of each state, at each position."""
        states = self.chain.num_states
        opening, inside = {}, {}
        top = rows.amax(-1, keepdim=True)
        if rows.dtype == torch.float64:
            shares = (rows - top).exp_().clamp_min_(LEAST).mul_(rows > NEVER)
        else:
            shares = single_exp(rows - top)
        for c, tokens in self.members.items():
            own = shares if tokens is None else shares[..., tokens]
            mass = ((own @ self.own[c].to(own.dtype)).double().log_() + top).clamp_min_(NEVER)[..., self.column]
            opening[c], inside[c] = mass[..., :states], mass[..., states:]
        pad = rows[..., self.pad].double().clamp_min(NEVER) if self.pads else None
        return Masses(opening, inside, pad)

    def _through_known(self, ways: Tensor, tokens: Sequence[int], backwards: bool = False) -> Tensor:
        """Log weights (B, K, S) of ways through the states of the tag automaton across known tokens."""
        for token in reversed(tokens) if backwards else tokens:
            opens, goes_on = map(log_of, self._known_weights(token))
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
        return opening, inside

    def _enter(self, ways: Tensor) -> Tensor:
        """From states to those whose word may be opened there: (B, K, S) -> (B, K, S)."""
        return collected(ways, self.before, total)

    def _enter_inside(self, ways: Tensor) -> Tensor:
        """From states to those whose word may be gone on with."""
        return collected(ways, self.inside_before, total)

    def _leave(self, ways: Tensor, add: Add | None = None) -> Tensor:
        """From states back to those from which their word is opened."""
        return collected(ways, self.after, add or total)

    def _leave_inside(self, ways: Tensor, add: Add | None = None) -> Tensor:
        """From states back to those from which their word is gone on with."""
        return collected(ways, self.inside_after, add or total)

    # ---- forward and backward ---------------------------------------------------------------------------------------

    def _both(self, masses: Masses) -> tuple[Tensor, Tensor, Tensor]:
        """`_forward`, `_backward` and log Z: with probabilities, and in log space where that loses a row."""
        if self.passes is not None:
            engine = self.bound._engine
            before, after, log_z = self.passes.both(masses, self.ending[:, None] + engine.log_accepting, engine.start)
            if bool((log_z > NEVER / 2).all()):
                return before, after, log_z
        after, log_z = self._backward(masses, total)
        return self._forward(masses), after, log_z

    def _forward(self, masses: Masses) -> Tensor:
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
                parts.append(torch.logaddexp(opened, gone_on + masses.inside[c][:, i, :, None]))
            if masses.pad is not None:
                parts.append(ways + masses.pad[:, i, None, None])
            ways = gathered(torch.cat(parts, -1), self.into, engine.num_states).clamp_min(NEVER)
            if i in self.bridges:
                ways = gathered(ways, self.bridges[i], engine.num_states)
        return torch.stack(out, 1)

    def _backward(self, masses: Masses, add: Add) -> tuple[Tensor, Tensor]:
        """(B, L, K, S) log weight of all ways on from a pair of states behind each position, and log Z (B,)."""
        engine = self.bound._engine
        ways = (self.ending[:, None] + engine.log_accepting.clamp_min(NEVER)).clamp_min(NEVER)
        ways = ways.expand(masses.rows, -1, -1)
        ways = self._through_known(ways, self.known[self.length], backwards=True)
        out = []
        for i in reversed(range(self.length)):
            if i in engine.bridge_maps:
                ways = pulled(ways, engine.bridge_maps[i])
            out.append(ways)
            opened, gone_on, parts = [], [], []
            for c in self.members:
                behind = pulled(ways, self.target[:, c])
                opened.append(behind + masses.opening[c][:, i, :, None])
                gone_on.append(behind + masses.inside[c][:, i, :, None])
            if opened:  # words of all classes first: leaving a state is the same for each
                parts += [self._leave(_of_all(opened, add), add), self._leave_inside(_of_all(gone_on, add), add)]
            if masses.pad is not None:
                parts.append(pulled(ways, self.target[:, self.pad_class]) + masses.pad[:, i, None, None])
            ways = _of_all(parts, add).clamp_min(NEVER)
            ways = self._through_known(ways, self.known[i], backwards=True)
        return torch.stack(out[::-1], 1), ways[:, 0, engine.start]

    def _marginals(
        self, rows: Tensor, masses: Masses, before: Tensor, after: Tensor, log_z: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log marginals (B, L, V), and their KL from what was given at each position (B, L)."""
        batch, length = before.shape[:2]
        ratio = torch.zeros_like(rows)  # of the marginals to what was given, up to a factor a position
        parts, pad = self._uses(masses, before, after) if self.passes is None else self.passes.uses(before, after)
        top = torch.stack([*(own.amax(-1) for own in parts.values()), *([] if pad is None else [pad])]).amax(0)
        for c, tokens in self.members.items():
            shares = single_exp(parts[c] - top[..., None])
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

    def _uses(self, masses: Masses, before: Tensor, after: Tensor) -> tuple[dict[int, Tensor], Tensor | None]:
        """Log weight of all ways that use each mass, without the mass itself: (B, L, 2 K) by class, pad's (B, L)."""
        batch, length, states, other = before.shape
        flat = before.reshape(batch * length, states, other)
        entered = self._enter(flat).view(batch, length, states, other)
        gone_on = self._enter_inside(flat).view(batch, length, states, other)
        parts, pad = {}, None
        for c in self.members:
            behind = pulled(after, self.target[:, c])
            parts[c] = torch.cat([(entered + behind).logsumexp(-1), (gone_on + behind).logsumexp(-1)], -1)
        if masses.pad is not None:
            pad = (before + pulled(after, self.target[:, self.pad_class])).flatten(2).logsumexp(-1)
        return parts, pad

    def _walk(self, weighed: Tensor, masses: Masses, after: Tensor, uniforms: Tensor | None = None) -> Tensor:
        """Token ids (B, L) from left to right: the best where ``after`` holds maxima, or drawn with uniforms (B, L)."""
        engine = self.bound._engine
        ids = torch.empty(weighed.shape[:2], dtype=torch.long, device=weighed.device)
        tables = log_of(self.chain.opening), log_of(self.chain.inside)
        for row in range(len(weighed)):
            state, other = self._walk_known(0, self.known[0]), engine.start
            for i in range(self.length):
                ways: list[
                    tuple[float, int | None, int, int, Tensor | None]
                ] = []  # weight, class, states, token weights
                following, same = self._following(state)
                for c in self.members:
                    target = int(self.target[other, c])
                    if target == engine.num_states:
                        continue
                    for states, table, mass in zip(
                        (following, same), tables, (masses.opening[c], masses.inside[c]), strict=True
                    ):
                        ways += [
                            (float(mass[row, i, k] + after[row, i, k, target]), c, k, target, table) for k in states
                        ]
                if masses.pad is not None:
                    target = int(self.target[other, self.pad_class])
                    if target < engine.num_states:
                        weight = float(masses.pad[row, i] + after[row, i, state, target])
                        ways.append((weight, None, state, target, None))
                draw = None if uniforms is None else float(uniforms[row, i])
                chosen, draw = _pick(torch.tensor([way[0] for way in ways], dtype=torch.float64), draw)
                _, own, state, other, used = ways[chosen]
                ids[row, i] = self.pad
                if own is not None and used is not None:
                    tokens = self.tokens[own]
                    ids[row, i] = tokens[_pick(weighed[row, i, tokens] + used[tokens, state], draw)[0]]
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
            opens, goes_on = map(log_of, self._known_weights(token))
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


def _pick(weights: Tensor, draw: float | None) -> tuple[int, float | None]:
    """Index of the largest of log weights (N,), or one drawn with a number in [0, 1); and what is left of the number."""
    if draw is None:
        return int(weights.argmax()), None
    shares = weights.softmax(0).cumsum(0)
    at = min(int(torch.searchsorted(shares, draw * float(shares[-1]), right=True)), len(weights) - 1)
    low = float(shares[at - 1]) if at else 0.0
    width = float(shares[at]) - low
    return at, min(max((draw * float(shares[-1]) - low) / width, 0.0), 1 - 1e-12) if width > 0 else 0.5


def _of_all(parts: Sequence[Tensor], add: Add) -> Tensor:
    """Log weights of the same shape, of all ways together."""
    return parts[0] if len(parts) == 1 else add(torch.stack(list(parts)), 0)

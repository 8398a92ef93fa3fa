"""Exact inference over the texts that an automaton accepts, under independent token distributions, in log space.

With p(x) = prod_i p_i(x_i) and A the accepted canvases: log Z = log p(A) by the backward algorithm, p(x_i | A) by
forward-backward, the most probable accepted canvas by Viterbi, samples of p(x | A) by backward filtering and forward
sampling (Rabiner, "A tutorial on hidden Markov models", 1989, with the automaton's transitions in place of the
chain's).
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusionlm.guidance.automata.alphabet import Bools, Ints
from diffusionlm.guidance.automata.best_ways import best_behind
from diffusionlm.guidance.automata.circuit import Circuit, Gather
from diffusionlm.guidance.automata.dense import DenseTransitions
from diffusionlm.guidance.automata.scaled import RowGraph, ScaledSweep, class_ratios, incidence
from diffusionlm.guidance.automata.token_classes import Forbidden, TokenClasses

MOST_SCALED = 1_000_000  # edges times rows, and classes times labels, up to which rows are worked on in NumPy
MAX_DENSE_STATES = 45  # beyond them it would not pay for a single row either


class ForwardBackward:
    """The dynamic programmes over one canvas. Shapes: B batch, L positions, V vocabulary, S states, C classes of
    tokens.

    Args:
        delta: (S, C) target states, -1 where nothing can be accepted.
        token_class: (V,) class of each token, -1 for tokens that are never accepted.
        start: state before the first position.
        accepting: (S,) states in which the canvas may end.
        bridges: after position i, states pass through the map (S,) (known text follows there); -1 as in delta.
        allowed: (L, V) or (1, V) bool: tokens allowed at each position; None: all.
    """

    def __init__(
        self,
        delta: NDArray[np.int32],
        token_class: Ints,
        start: int,
        accepting: Bools,
        bridges: Mapping[int, NDArray[np.int32]],
        length: int,
        allowed: Tensor | None,
    ) -> None:
        self.length, self.start = length, start
        self.num_states, self.num_classes = delta.shape
        self.num_tokens = len(token_class)
        self.circuit = Circuit(delta)
        self.dense: DenseTransitions | None = None
        if self.circuit.edges is not None and self.num_states <= MAX_DENSE_STATES:
            self.dense = DenseTransitions(*self.circuit.edges, self.num_states, self.circuit.num_labels)
        self.tokens = TokenClasses(token_class, self.num_classes)
        self.delta = torch.from_numpy(np.where(delta >= 0, delta, self.num_states).astype(np.int32))
        self.log_accepting = torch.from_numpy(np.where(accepting, 0.0, -np.inf))
        self._sweeps: dict[int, ScaledSweep] = {}  # of the last number of rows
        self.bridge_maps: dict[int, Tensor] = {}
        self.bridge_sums: dict[int, Gather] = {}
        for position, bridge in bridges.items():
            known = np.nonzero(bridge >= 0)[0]
            target = np.where(bridge >= 0, bridge, self.num_states).astype(np.int64)
            self.bridge_maps[position] = torch.from_numpy(target)
            self.bridge_sums[position] = Gather(known, target[known], self.num_states)
        self.forbidden = Forbidden.of(allowed, torch.from_numpy(token_class >= 0), length)

    def to(self, device: torch.device) -> "ForwardBackward":
        """Move the tables to a device, in place."""
        self.circuit.to(device)
        if self.dense is not None:
            self.dense.to(device)
        self.tokens.to(device)
        self.bridge_maps = {i: bridge.to(device) for i, bridge in self.bridge_maps.items()}
        for gather in self.bridge_sums.values():
            gather.to(device)
        self.delta, self.log_accepting = self.delta.to(device), self.log_accepting.to(device)
        self.forbidden = None if self.forbidden is None else self.forbidden.to(device)
        return self

    @property
    def token_class(self) -> Tensor:
        """(V,) class of each token, C for tokens that are never accepted."""
        return self.tokens.token_class

    @property
    def bias(self) -> Tensor | None:
        """(L, V): 0 for allowed tokens, -inf for others; None if all are allowed."""
        return None if self.forbidden is None else self.forbidden.patterns[self.forbidden.pattern_of]

    def rows(self, log_p: Tensor) -> Tensor:
        """(B, L, V) -> (B L, V), at least single precision, forbidden tokens at -inf. The same memory where that is
        possible: then nothing was forbidden that had any probability."""
        log_p = log_p.detach()
        log_p = log_p.to(torch.promote_types(log_p.dtype, torch.float32))
        if self.forbidden is not None:
            log_p = self.forbidden.removed(log_p)
        return log_p.reshape(-1, log_p.shape[2])

    def class_masses(self, rows: Tensor, maximum: bool = False) -> Tensor:
        """Rows (B L, V) -> log of the mass (or the maximum) of each class of tokens (C, B L)."""
        return self.tokens.masses(rows, maximum)

    def label_weights(self, classes: Tensor, batch: int, maximum: bool = False) -> Tensor:
        """Masses of classes (C, B L) -> weights of labels (L, U, B) in double precision."""
        labels = self.circuit.label_weights(classes, maximum)
        return labels.view(-1, batch, self.length).permute(2, 0, 1).to(torch.float64).contiguous()

    def backward(self, labels: Tensor, maximum: bool = False) -> tuple[Tensor, Tensor]:
        """Label weights (L, U, B) -> log Z (B,), or the best log-probability, and after (L, S, B): the log weight of
        all accepted continuations of a state behind each position."""
        batch = labels.shape[2]
        after = labels.new_empty((self.length, self.num_states, batch))
        weight = self.log_accepting.unsqueeze(1).expand(-1, batch)
        for i in reversed(range(self.length)):
            if i in self.bridge_maps:
                weight = torch.cat([weight, weight.new_full((1, batch), -torch.inf)])
                weight = weight.index_select(0, self.bridge_maps[i])
            after[i] = weight
            weight = self.circuit.backward(weight, labels[i], maximum)
        return weight[self.start], after

    def forward(self, labels: Tensor, maximum: bool = False) -> Tensor:
        """Label weights (L, U, B) -> before (L, S, B): the log weight of all ways to a state before each position."""
        batch = labels.shape[2]
        before = labels.new_full((self.length, self.num_states, batch), -torch.inf)
        before[0, self.start] = 0.0
        for i in range(self.length - 1):
            weight = self.circuit.forward(before[i], labels[i], maximum)
            before[i + 1] = self.bridge_sums[i](weight, maximum) if i in self.bridge_sums else weight
        return before

    def both(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`backward` and `forward` together: label weights (L, U, B) -> log Z (B,), after and before (L, S, B)."""
        batch = labels.shape[2]
        if self.dense is None or not self.dense.pays(batch):
            log_z, after = self.backward(labels)
            return log_z, after, self.forward(labels)
        matrices = self.dense.matrices(labels)
        after, before = labels.new_empty((2, self.length, self.num_states, batch))
        weights = labels.new_full((2, 1, self.num_states, batch), -torch.inf)
        weights[0, 0] = self.log_accepting.unsqueeze(1)
        weights[1, 0, self.start] = 0.0
        for k in range(self.length):
            i = self.length - 1 - k
            if i in self.bridge_maps:
                known = torch.cat([weights[0, 0], weights.new_full((1, batch), -torch.inf)])
                weights[0, 0] = known.index_select(0, self.bridge_maps[i])
            if k - 1 in self.bridge_sums:
                weights[1, 0] = self.bridge_sums[k - 1](weights[1, 0])
            after[i], before[k] = weights[:, 0]
            weights = torch.logsumexp(matrices[k] + weights, dim=2).unsqueeze(1)
        return weights[0, 0, self.start], after, before

    def best(self, log_p: Tensor) -> tuple[Tensor, Tensor]:
        """The most probable accepted canvas of each row and its log-probability: (B, L, V) -> ids (B, L), (B,)."""
        batch = len(log_p)
        labels = self.label_weights(self.class_masses(self.rows(log_p), maximum=True), batch, maximum=True)
        if self._for_scaled(batch, log_p.device):
            return self._best_by_rows(log_p, labels)
        best, after = self.backward(labels, maximum=True)
        if not bool(torch.isfinite(best).all()):
            return torch.zeros(log_p.shape[:2], dtype=torch.long, device=log_p.device), best
        return self.walk(log_p, after, None), best

    def _best_by_rows(self, log_p: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        ids = torch.zeros(log_p.shape[:2], dtype=torch.long)
        best = torch.empty(len(log_p), dtype=torch.float64)
        padded = torch.cat([labels, labels.new_full((self.length, 1, len(log_p)), -torch.inf)], dim=1).numpy()
        delta = np.concatenate([self.delta.numpy(), np.full((self.num_states, 1), self.num_states)], axis=1)
        token_class = self.token_class.numpy()
        forbidden = (
            {} if self.forbidden is None else {i: self.forbidden.at(i).numpy() for i in self.forbidden.positions}
        )
        for row, own in enumerate(log_p.detach()):
            after, value = best_behind(self._graph, np.ascontiguousarray(padded[..., row]))
            best[row], state = value, self.start
            if not np.isfinite(value):
                continue
            after = np.concatenate([after, np.full((self.length, 1), -np.inf)], axis=1)
            scores, chosen = own.to(torch.float64).numpy(), []
            for i in range(self.length):
                weight = after[i].take(delta[state]).take(token_class)
                weight += scores[i]
                if i in forbidden:
                    weight += forbidden[i]
                chosen.append(int(weight.argmax()))
                state = int(delta[state, token_class[chosen[-1]]])
                if i in self._graph.bridges:
                    state = int(self._graph.bridges[i][state])
            ids[row] = torch.tensor(chosen)
        return ids, best

    def ratios(self, classes: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """Masses of classes (C, B L) -> log p(x_i in class | accepted) / p(x_i in class) (C, B L), and log Z (B,)."""
        found = self._scaled_ratios(classes, batch)
        if found is not None:
            return found
        log_z, after, before = self.both(self.label_weights(classes, batch))
        # Where nothing is accepted the marginals are -inf rather than NaN.
        shift = torch.where(torch.isneginf(log_z), torch.zeros_like(log_z), log_z)
        return self.class_ratios(before, after, shift, classes.dtype), log_z

    def _scaled_ratios(self, classes: Tensor, batch: int) -> tuple[Tensor, Tensor] | None:
        if not self._for_scaled(batch, classes.device):
            return None
        sweep = self._sweeps.get(batch)
        if sweep is None:
            sweep = ScaledSweep([self._graph] * batch, self.circuit.num_labels)
            self._sweeps = {batch: sweep}
        found = class_ratios(sweep, self._incidence, classes, self._reachable)
        return None if found is None else (found[0].to(classes.dtype), found[1])

    def _for_scaled(self, batch: int, device: torch.device) -> bool:
        """Whether `_graph` is used for so many rows."""
        edges, labels = self.circuit.num_edges, self.circuit.num_labels
        small = edges * batch <= MOST_SCALED and labels * self.num_classes <= MOST_SCALED
        return self.circuit.edges is not None and device.type == "cpu" and small

    @cached_property
    def _graph(self) -> RowGraph:
        """The automaton for `ScaledSweep`."""
        assert self.circuit.edges is not None
        lost = self.num_states
        bridges = {i: np.where(own.numpy() < lost, own.numpy(), -1) for i, own in self.bridge_maps.items()}
        accepting = torch.isfinite(self.log_accepting).numpy()
        return RowGraph(*self.circuit.edges, self.num_states, self.start, accepting, bridges)

    @cached_property
    def _incidence(self) -> Tensor:
        """(C, U) 1.0 where a class is in a label."""
        assert self.circuit.members is not None
        return incidence(self.circuit.members, self.num_classes)

    @cached_property
    def _reachable(self) -> Tensor:
        """(C, L) bool: classes on a way from the start to acceptance through allowed tokens."""
        allowed = torch.ones((self.num_classes, self.length), dtype=torch.float64)
        if self.forbidden is not None:
            classes = torch.isfinite(self.tokens.masses(self.forbidden.patterns, maximum=True))
            allowed = classes[:, self.forbidden.pattern_of].double()
        weights = (allowed.T @ self._incidence)[:, None].contiguous()
        possible = ScaledSweep([self._graph], self._incidence.shape[1]).possible(weights.numpy())[:, 0]
        return (self._incidence @ torch.from_numpy(possible).double().T > 0) & (allowed > 0)

    def class_ratios(self, before: Tensor, after: Tensor, log_z: Tensor, dtype: torch.dtype) -> Tensor:
        """Before and after (L, S, B), log Z (B,) -> log p(x_i in class | accepted) / p(x_i in class) (C, B L)."""
        before = (before - log_z).permute(1, 2, 0).reshape(self.num_states, -1)  # (S, B L)
        after = after.permute(1, 2, 0).reshape(self.num_states, -1)
        return self.circuit.class_weights(self.circuit.label_posterior(before, after, dtype))

    def marginals(self, rows: Tensor, ratios: Tensor, batch: int) -> Tensor:
        """Rows (B L, V), ratios of classes (C, B L) -> log p(x_i = v | accepted) (B, L, V)."""
        return self.tokens.spread(rows, ratios).view(batch, self.length, self.num_tokens)

    def divergence(self, classes: Tensor, ratios: Tensor, batch: int) -> Tensor:
        """KL from the given distribution to the marginals at each position (B, L), in nats; from the classes alone, since
        the ratio of the two is the same for all tokens of a class."""
        mass = (classes + ratios).exp()
        return torch.where(mass > 0, mass * ratios, 0.0).sum(0).view(batch, self.length)

    def walk(self, log_p: Tensor, after: Tensor, uniform: Tensor | None) -> Tensor:
        """Choose tokens from left to right, given log p (B, L, V) and the weights of what follows (L, S, B): by inverse
        transform sampling with uniform (B, L), or the best ones if `after` holds maxima and uniform is None ->
        (B, L)."""
        batch = log_p.shape[0]
        state = torch.full((batch,), self.start, device=log_p.device)
        row = torch.arange(batch, device=log_p.device).unsqueeze(1)
        ids = torch.empty((batch, self.length), dtype=torch.long, device=log_p.device)
        for i in range(self.length):
            follow = torch.cat([after[i], after.new_full((1, batch), -torch.inf)])
            target = self.delta[state].long()  # (B, C)
            weight = torch.cat([follow[target, row], follow[-1].unsqueeze(1)], dim=1)[:, self.token_class]
            weight = weight + log_p[:, i].detach()
            if self.forbidden is not None:
                weight = weight + self.forbidden.at(i)
            if uniform is None:
                token = weight.argmax(dim=1)
            else:
                cumulative = (weight - weight.amax(dim=1, keepdim=True)).exp().cumsum(dim=1)
                draw = uniform[:, i : i + 1].to(cumulative) * cumulative[:, -1:]
                draw = torch.minimum(draw, cumulative[:, -1:].nextafter(torch.zeros_like(draw)))
                token = torch.searchsorted(cumulative, draw, right=True).squeeze(1)
            ids[:, i] = token
            state = target.gather(1, self.token_class[token].unsqueeze(1)).squeeze(1)
            if i in self.bridge_maps:
                state = self.bridge_maps[i][state]
        return ids

    def accepts(self, ids: Tensor) -> Tensor:
        """Whether each row of token ids (B, L) is accepted -> (B,) bool."""
        lost = self.num_states
        state = torch.full((ids.shape[0],), self.start, device=ids.device)
        delta = torch.cat([self.delta, self.delta.new_full((1, self.num_classes), lost)]).long()
        delta = torch.cat([delta, delta.new_full((lost + 1, 1), lost)], dim=1)
        for i in range(self.length):
            state = delta[state, self.token_class[ids[:, i]]]
            if self.forbidden is not None:
                state = state.masked_fill(self.forbidden.at(i)[ids[:, i]] < 0, lost)
            if i in self.bridge_maps:
                state = torch.cat([self.bridge_maps[i], self.bridge_maps[i].new_tensor([lost])])[state]
        return torch.cat([self.log_accepting, self.log_accepting.new_tensor([-torch.inf])])[state] == 0

    def live_states(self) -> Bools:
        """States that lie on a way from the start to acceptance through allowed tokens -> (S,); none if there is no
        way."""
        log_p = torch.zeros((1, self.length, self.num_tokens), device=self.delta.device)
        classes = self.class_masses(self.rows(log_p), maximum=True)
        labels = self.label_weights(classes, 1, maximum=True)
        after = self.backward(labels, maximum=True)[1]
        before = self.forward(labels, maximum=True)
        live = torch.zeros(self.num_states, dtype=torch.bool, device=self.delta.device)
        for i in range(self.length):
            entering = self.circuit.backward(after[i], labels[i], maximum=True)
            leaving = self.circuit.forward(before[i], labels[i], maximum=True)
            live |= (torch.isfinite(before[i]) & torch.isfinite(entering))[:, 0]
            live |= (torch.isfinite(leaving) & torch.isfinite(after[i]))[:, 0]
        return live.cpu().numpy()


def uniforms(
    batch: int, length: int, generator: torch.Generator | Sequence[torch.Generator] | None, device: torch.device
) -> Tensor:
    """Uniform numbers (B, L), double precision. With a list of generators, row b comes from generator b alone, so a
    sample does not depend on the batch it is in."""
    if generator is None or isinstance(generator, torch.Generator):
        origin = device if generator is None else generator.device
        return torch.rand((batch, length), generator=generator, dtype=torch.float64, device=origin).to(device)
    if len(generator) != batch:
        raise ValueError(
            f"{len(generator)} generators were given for a batch of {batch}; give one for each row, or one."
        )
    rows = [torch.rand(length, generator=own, dtype=torch.float64, device=own.device).to(device) for own in generator]
    return torch.stack(rows)

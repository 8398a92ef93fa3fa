"""Exact inference in chains of phrases, one order a row: marginals and the best text.

The forward and the backward algorithm run side by side, over all rows at once: a position is one gather and one segmented
log-sum-exp over the edges of the whole batch. Everything is in log space, in the precision that is given (at least single: a
thousand nats are then off by 1e-4); shapes as in `orders`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from diffusionlm.guidance.automata.alphabet import Ints
from diffusionlm.guidance.automata.bound import Conditioned, UnsatisfiableConstraint, named
from diffusionlm.guidance.automata.circuit import Gather
from diffusionlm.guidance.automata.orders import ChainEdges, PhraseChain
from diffusionlm.guidance.automata.token_classes import Forbidden


class ChainInference:
    """The chains of a batch on one canvas.

    Args:
        chain: the phrases on the canvas.
        orders: of the phrases, for each row.
        allowed: (L, V) bool.
    """

    def __init__(self, chain: PhraseChain, orders: Sequence[Sequence[int]], allowed: Tensor) -> None:
        self.chain, self.orders = chain, [tuple(order) for order in orders]
        self.batch, self.length = len(orders), len(chain.spans)
        self.edges: ChainEdges = chain.in_order(orders)
        self.fans = chain.fans
        self.tokens = chain.tokens
        self.forbidden = Forbidden.of(allowed, chain.live, self.length)
        edges, self.size = self.edges, self.batch * chain.num_states
        count = len(chain.labels) * self.batch
        self.into = Gather(edges.source, edges.target, self.size)
        self.forward_labels = torch.from_numpy(edges.label[self.into.order])
        self.out = Gather(edges.target, edges.source, self.size)
        self.backward_labels = torch.from_numpy(edges.label[self.out.order])
        self.both = Gather(
            np.concatenate([edges.source, edges.target + self.size]),
            np.concatenate([edges.target, edges.source + self.size]),
            2 * self.size,
        )
        self.both_labels = torch.from_numpy(np.concatenate([edges.label, edges.label + count])[self.both.order])
        self.by_label = Gather(edges.source, edges.label, count)
        self.label_sources = torch.from_numpy(edges.source[self.by_label.order])
        self.label_targets = torch.from_numpy(edges.target[self.by_label.order])
        self.ending = torch.from_numpy(np.where(edges.accepting, 0.0, -np.inf))
        self.start = torch.from_numpy(edges.start)
        self.bridges = {i: torch.from_numpy(np.where(own >= 0, own, self.size)) for i, own in edges.bridges.items()}
        self.enters = {i: Gather(np.nonzero(own >= 0)[0], own[own >= 0], self.size) for i, own in edges.bridges.items()}

    def posterior(self, log_p: Tensor) -> Conditioned:
        """Marginals (B, L, V), log Z (B,) and KL at each position (B, L) under the condition that all phrases occur in the
        orders of the rows.

        Raises:
            UnsatisfiableConstraint: a row has no such text of positive probability.
        """
        rows = self._rows(log_p)
        classes = self.tokens.masses(rows)
        labels = self._labels(classes)  # (L, U B)
        before, after, log_z = self._sweep(labels)
        self._possible(log_z)
        joined = before.index_select(0, self.label_sources).add_(after.index_select(0, self.label_targets))
        found = self.by_label.reduce(joined.to(rows.dtype)).view(-1, self.batch, self.length)  # (U, B, L)
        found = (found - log_z.to(rows.dtype)[:, None]).reshape(len(found), -1)
        for fan in self.fans:
            found = fan.over_parents(found)
        mass = (classes + found).exp()
        divergence = torch.where(mass > 0, mass * found, 0.0).sum(0).view(self.batch, self.length)
        out = self.tokens.spread(rows, found).view(log_p.shape)
        return Conditioned(out.to(log_p.dtype), log_z.to(log_p.dtype), divergence)

    def viterbi(self, log_p: Tensor) -> tuple[Tensor, list[list[Ints | None]]]:
        """The best text of each row, and what could stand at each of its positions without leaving its way.

        Returns:
            Token ids (B, L); for each row and position the classes of tokens that lead from the same state to the same,
            None where anything may stand.

        Raises:
            UnsatisfiableConstraint: a row has no such text of positive probability.
        """
        rows = self._rows(log_p)
        labels = self._labels(self.tokens.masses(rows, maximum=True), maximum=True)
        after = labels.new_empty(self.length, self.size)
        weight = self.ending.to(labels.dtype)
        for i in reversed(range(self.length)):
            weight = self._behind(weight, i)
            after[i] = weight
            moved = weight.index_select(0, self.out.items) + labels[i].index_select(0, self.backward_labels)
            weight = self.out.reduce(moved[:, None], maximum=True)[:, 0]
        self._possible(weight[self.start])
        return self._walk(rows.view(log_p.shape), labels, after)

    def _walk(self, log_p: Tensor, labels: Tensor, after: Tensor) -> tuple[Tensor, list[list[Ints | None]]]:
        edges, chain = self.edges, self.chain
        order = np.argsort(edges.source, kind="stable")
        begin = np.searchsorted(edges.source[order], np.arange(self.size + 1))
        weights, behind = labels.numpy(), after.numpy()
        token_class = torch.from_numpy(chain.token_class)
        ids = torch.empty(log_p.shape[:2], dtype=torch.long)
        ways: list[list[Ints | None]] = []
        for row in range(self.batch):
            state, way = int(edges.start[row]), list[Ints | None]()
            for i in range(self.length):
                own = order[begin[state] : begin[state + 1]]
                best = own[np.argmax(weights[i, edges.label[own]] + behind[i, edges.target[own]])]
                members = chain.labels[edges.label[best] // self.batch]
                inside = torch.zeros(chain.num_classes + 1, dtype=torch.bool)
                inside[torch.from_numpy(members)] = True
                ids[row, i] = log_p[row, i].masked_fill(~inside[token_class], -torch.inf).argmax()
                here = state - row * chain.num_states
                target = int(edges.target[best])
                same = own[edges.target[own] == target]
                if here == chain.done or here >= chain.num_open:
                    way.append(None)
                else:
                    if (
                        edges.accepting[state] and i + 1 == self.length
                    ) or target - row * chain.num_states >= chain.num_open:
                        same = own[
                            (edges.target[own] == target) | (edges.target[own] == row * chain.num_states + chain.done)
                        ]
                    way.append(np.concatenate([chain.labels[label // self.batch] for label in edges.label[same]]))
                state = target
                if i in edges.bridges:
                    state = int(edges.bridges[i][state])
            ways.append(way)
        return ids, ways

    def _rows(self, log_p: Tensor) -> Tensor:
        log_p = log_p.detach().to(torch.promote_types(log_p.dtype, torch.float32))
        if self.forbidden is not None:
            log_p = self.forbidden.removed(log_p)
        return log_p.reshape(-1, log_p.shape[2])

    def _labels(self, classes: Tensor, maximum: bool = False) -> Tensor:
        """Masses of classes (C, B L) -> weights of labels (L, U B)."""
        for fan in reversed(self.fans):
            classes = fan.over_children(classes, maximum)
        return classes.view(-1, self.length).T.contiguous()

    def _behind(self, weight: Tensor, i: int) -> Tensor:
        if i not in self.bridges:
            return weight
        return torch.cat([weight, weight.new_full((1,), -torch.inf)]).index_select(0, self.bridges[i])

    def _sweep(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Label weights (L, U B) -> before and after (B T, L), log Z (B,)."""
        size, last = self.size, self.length - 1
        before, after = labels.new_empty(2, self.length, size)
        weight = labels.new_full((2 * size,), -torch.inf)
        weight[self.start] = 0.0
        weight[size:] = self.ending
        for k in range(self.length):
            i = last - k
            if i in self.bridges:
                weight[size:] = self._behind(weight[size:], i)
            if k - 1 in self.enters:
                weight[:size] = self.enters[k - 1](weight[:size, None])[:, 0]
            before[k], after[i] = weight[:size], weight[size:]
            own = torch.cat([labels[k], labels[i]]).index_select(0, self.both_labels)
            weight = self.both.reduce((weight.index_select(0, self.both.items) + own)[:, None])[:, 0]
        return before.T.contiguous(), after.T.contiguous(), weight[size:][self.start]

    def _possible(self, log_z: Tensor) -> None:
        if bool(torch.isfinite(log_z).all()):
            return
        rows = torch.nonzero(~torch.isfinite(log_z)).flatten().tolist()
        names = [automaton.name for automaton in self.chain.automata]
        raise UnsatisfiableConstraint(
            f"No text on this canvas of {self.length} positions holds all of {named(names)}, in the order that was tried "
            f"(samples {rows[:8]}). Give it more room (max_span_length), or ask for fewer or shorter phrases."
        )

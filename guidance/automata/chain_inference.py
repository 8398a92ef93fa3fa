"""Exact inference in chains of phrases, one order a row: marginals and the best text.

Marginals are scaled sums of products (`scaled`), or in logarithms (`chain_logs`) where their range does not suffice: in the
precision that is given, at least single (a thousand nats are then off by 1e-4). Shapes as in `orders`, B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusionlm.guidance.automata.alphabet import Ints
from diffusionlm.guidance.automata.best_ways import best_behind
from diffusionlm.guidance.automata.bound import Conditioned, UnsatisfiableConstraint, named
from diffusionlm.guidance.automata.chain_logs import ChainLogs
from diffusionlm.guidance.automata.orders import PhraseChain
from diffusionlm.guidance.automata.scaled import RowGraph, ScaledSweep, class_ratios
from diffusionlm.guidance.automata.token_classes import Forbidden


class ChainInference:
    """The chains of a batch on one canvas.

    Args:
        chain: the phrases on the canvas.
        orders: of the phrases, for each row.
        allowed: (L, V) bool, or what `Forbidden.of` made of it.
    """

    def __init__(self, chain: PhraseChain, orders: Sequence[Sequence[int]], allowed: Tensor | Forbidden | None) -> None:
        self.chain, self.orders = chain, [tuple(order) for order in orders]
        self.length = len(chain.spans)
        self.graphs = [chain.in_order(order) for order in self.orders]
        self.tokens = chain.tokens
        self.forbidden = Forbidden.of(allowed, chain.live, self.length) if isinstance(allowed, Tensor) else allowed

    def posterior(self, log_p: Tensor) -> Conditioned:
        """Marginals (B, L, V), log Z (B,) and KL at each position (B, L) under the condition that all phrases occur in the
        orders of the rows.

        Raises:
            UnsatisfiableConstraint: a row has no such text of positive probability.
        """
        rows = self._rows(log_p)
        classes = self.tokens.masses(rows)
        members = self.chain.members
        found = class_ratios(ScaledSweep(self.graphs, members.shape[1]), members, classes)
        if found is None:
            found = self._logs.ratios(classes)
            self._possible(found[1])
        ratios, log_z = found[0].to(rows.dtype), found[1].to(log_p.dtype)
        mass = (classes + ratios).exp_()
        divergence = torch.where(mass > 0, mass * ratios, 0.0).sum(0).view(log_p.shape[:2])
        out = self.tokens.spread(rows, ratios).view(log_p.shape)
        return Conditioned(out.to(log_p.dtype), log_z, divergence)

    def viterbi(self, log_p: Tensor) -> tuple[Tensor, list[list[Ints | None]]]:
        """The best text of each row, and what could stand at each of its positions without leaving its way.

        Returns:
            Token ids (B, L); for each row and position the classes of tokens that lead from the same state to the same,
            None where anything may stand.

        Raises:
            UnsatisfiableConstraint: a row has no such text of positive probability.
        """
        rows = self._rows(log_p)
        masses = self.tokens.masses(rows, maximum=True).view(-1, *log_p.shape[:2]).numpy()
        labels = [self._best_labels(masses[:, n]) for n in range(len(log_p))]
        behind = [best_behind(graph, own) for graph, own in zip(self.graphs, labels, strict=True)]
        self._possible(torch.tensor([best for _, best in behind]))
        found = [
            self._walk(log_p_row, graph, own, after)
            for log_p_row, graph, own, (after, _) in zip(
                rows.view(log_p.shape), self.graphs, labels, behind, strict=True
            )
        ]
        return torch.stack([ids for ids, _ in found]), [way for _, way in found]

    def _best_labels(self, masses: NDArray[np.floating]) -> NDArray[np.floating]:
        """Maxima of classes (C, L) -> of labels (L, U + 1); the last label is -inf."""
        labels = self.chain.labels
        begins = np.cumsum([0, *(len(own) for own in labels[:-1])])
        best = np.maximum.reduceat(masses.T[:, np.concatenate(labels)], begins, axis=1)
        return np.concatenate([best, np.full((self.length, 1), -np.inf, dtype=best.dtype)], axis=1)

    def _walk(
        self, log_p: Tensor, graph: RowGraph, labels: NDArray[np.floating], after: NDArray[np.floating]
    ) -> tuple[Tensor, list[Ints | None]]:
        chain = self.chain
        order = np.argsort(graph.source, kind="stable")
        begin = np.searchsorted(graph.source[order], np.arange(graph.num_states + 1))
        token_class = torch.from_numpy(chain.token_class)
        ids = torch.empty(self.length, dtype=torch.long)
        ways: list[Ints | None] = []
        state = graph.start
        for i in range(self.length):
            own = order[begin[state] : begin[state + 1]]
            best = own[np.argmax(labels[i, graph.label[own]] + after[i, graph.target[own]])]
            inside = torch.zeros(chain.num_classes + 1, dtype=torch.bool)
            inside[torch.from_numpy(chain.labels[graph.label[best]])] = True
            ids[i] = log_p[i].masked_fill(~inside[token_class], -torch.inf).argmax()
            target = int(graph.target[best])
            if state == chain.done or state >= chain.num_open:
                ways.append(None)
            else:
                same = graph.target[own] == target
                if (graph.accepting[state] and i + 1 == self.length) or target >= chain.num_open:
                    same |= graph.target[own] == chain.done
                ways.append(np.concatenate([chain.labels[label] for label in graph.label[own[same]]]))
            state = target
            if i in graph.bridges:
                state = int(graph.bridges[i][state])
        return ids, ways

    def _rows(self, log_p: Tensor) -> Tensor:
        log_p = log_p.detach().to(torch.promote_types(log_p.dtype, torch.float32))
        if self.forbidden is not None:
            log_p = self.forbidden.removed(log_p)
        return log_p.reshape(-1, log_p.shape[2])

    @cached_property
    def _logs(self) -> ChainLogs:
        return ChainLogs(self.graphs, self.chain.labels, self.chain.num_classes)

    def _possible(self, log_z: Tensor) -> None:
        if bool(torch.isfinite(log_z).all()):
            return
        rows = torch.nonzero(~torch.isfinite(log_z)).flatten().tolist()
        names = [automaton.name for automaton in self.chain.automata]
        raise UnsatisfiableConstraint(
            f"No text on this canvas of {self.length} positions holds all of {named(names)}, in the order that was tried "
            f"(samples {rows[:8]}). Give it more room (max_span_length), or ask for fewer or shorter phrases."
        )

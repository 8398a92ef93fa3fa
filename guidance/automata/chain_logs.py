"""Forward and backward in chains of phrases in logarithms, for what lies further apart than `scaled` can hold.

The forward and the backward algorithm run side by side, over all rows at once: a position is one gather and one segmented
log-sum-exp over the edges of the whole batch. Shapes as in `scaled`, C classes of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from diffusionlm.guidance.automata.alphabet import Ints
from diffusionlm.guidance.automata.circuit import Gather, _label_fans
from diffusionlm.guidance.automata.scaled import RowGraph


class ChainLogs:
    """The automata of several rows as one graph.

    Args:
        graphs: of the rows.
        labels: the classes of each label.
        num_classes: C.
    """

    def __init__(self, graphs: Sequence[RowGraph], labels: Sequence[Ints], num_classes: int) -> None:
        self.batch, states = len(graphs), graphs[0].num_states
        self.size = size = self.batch * states
        source, target = (
            np.concatenate([getattr(graph, side) + n * states for n, graph in enumerate(graphs)])
            for side in ("source", "target")
        )
        label = np.concatenate([graph.label * self.batch + n for n, graph in enumerate(graphs)])
        count = len(labels) * self.batch
        self.fans = _label_fans(labels, num_classes)
        self.both = Gather(np.concatenate([source, target + size]), np.concatenate([target, source + size]), 2 * size)
        self.both_labels = torch.from_numpy(np.concatenate([label, label + count])[self.both.order])
        self.by_label = Gather(source, label, count)
        self.label_sources = torch.from_numpy(source[self.by_label.order])
        self.label_targets = torch.from_numpy(target[self.by_label.order])
        self.ending = torch.from_numpy(np.where(np.concatenate([graph.accepting for graph in graphs]), 0.0, -np.inf))
        self.start = torch.tensor([graph.start + n * states for n, graph in enumerate(graphs)])
        self.bridges, self.enters = {}, {}
        for i in graphs[0].bridges:
            own = np.concatenate(
                [np.where((m := graph.bridges[i]) >= 0, m + n * states, -1) for n, graph in enumerate(graphs)]
            )
            self.bridges[i] = torch.from_numpy(np.where(own >= 0, own, size))
            self.enters[i] = Gather(np.nonzero(own >= 0)[0], own[own >= 0], size)

    def ratios(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Log masses of classes (C, R L) -> log p(class | accepted) / p(class) (C, R L), log Z (R,)."""
        length = classes.shape[1] // self.batch
        labels = classes
        for fan in reversed(self.fans):
            labels = fan.over_children(labels)
        before, after, log_z = self._sweep(labels.view(-1, length).T.contiguous())  # (L, U R)
        shift = torch.where(torch.isneginf(log_z), 0.0, log_z)
        joined = before.index_select(0, self.label_sources).add_(after.index_select(0, self.label_targets))
        found = self.by_label.reduce(joined).view(-1, self.batch, length) - shift[:, None]
        found = found.reshape(len(found), -1)
        for fan in self.fans:
            found = fan.over_parents(found)
        return found, log_z

    def _sweep(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Label weights (L, U R) -> before and after (R T, L), log Z (R,)."""
        size, length = self.size, len(labels)
        before, after = labels.new_empty(2, length, size)
        weight = labels.new_full((2 * size,), -torch.inf)
        weight[self.start] = 0.0
        weight[size:] = self.ending
        for k in range(length):
            i = length - 1 - k
            if i in self.bridges:
                weight[size:] = torch.cat([weight[size:], weight.new_full((1,), -torch.inf)])[self.bridges[i]]
            if k - 1 in self.enters:
                weight[:size] = self.enters[k - 1](weight[:size, None])[:, 0]
            before[k], after[i] = weight[:size], weight[size:]
            own = torch.cat([labels[k], labels[i]]).index_select(0, self.both_labels)
            weight = self.both.reduce((weight.index_select(0, self.both.items) + own)[:, None])[:, 0]
        return before.T.contiguous(), after.T.contiguous(), weight[size:][self.start]

"""The transitions of an automaton as a small circuit of log-sum-exps, so that a step costs little.

Three things keep it small. Edges from one state to another are one edge, whose weight is that of a *label*, a set of
token classes; equal labels are computed once. Sets are cut into blocks and equal blocks are shared. Where states are
many and most of their transitions are alike (ten thousand phrases), rows of the transition table are cut into a tree of
blocks and equal blocks are shared too. Only sums occur, never differences: nothing is lost to cancellation, however far
the log-probabilities lie apart.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusionlm.guidance.automata.algebra import distinct_rows
from diffusionlm.guidance.automata.alphabet import Ints

BLOCK = 8
ARITY = 4
PLAIN_CELLS = 3_000_000  # larger tables are always cut into shared blocks
CALL_COST = 500  # a call costs about as much as this many edges
DENSE_WORK = 10_000  # numbers for which a dense block is worth its calls


class Gather:
    """Rows collected into groups: output n is the log sum exp (or maximum) over its items' input rows.

    Groups are kept sorted by size, so that groups of one size are a dense block. Work on many numbers goes block by
    block; on few, where the calls themselves cost more, through one segmented reduction.

    Args:
        items: (E,) input row of each item.
        groups: (E,) output row of each item.
        num_groups: number of output rows; groups without items give -inf.

    Attributes:
        order: (E,) how the items were sorted.
    """

    def __init__(self, items: Ints, groups: Ints, num_groups: int) -> None:
        sizes = np.bincount(groups, minlength=num_groups)
        by_size = np.argsort(sizes, kind="stable")
        rank = np.argsort(by_size)
        self.order = np.argsort(rank[groups], kind="stable")
        self.items = torch.from_numpy(items[self.order])
        self.blocks = [(int(n), int(k)) for n, k in zip(*np.unique(sizes[sizes > 0], return_counts=True), strict=True)]
        empty = int((sizes == 0).sum())
        filled = num_groups - empty
        self.offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(sizes[by_size[empty:]])]))
        self.owner = torch.from_numpy(np.repeat(np.arange(filled), sizes[by_size[empty:]]))
        place = np.where(sizes > 0, rank - empty, filled)
        self.place = None if np.array_equal(place, np.arange(num_groups)) else torch.from_numpy(place)
        self.has_empty = empty > 0

    def to(self, device: torch.device) -> "Gather":
        """Move the tables to a device, in place."""
        self.items, self.offsets, self.owner = (t.to(device) for t in (self.items, self.offsets, self.owner))
        self.place = None if self.place is None else self.place.to(device)
        return self

    def __call__(self, x: Tensor, maximum: bool = False) -> Tensor:
        """x (N, M) -> (num_groups, M)."""
        return self.reduce(x.index_select(0, self.items), maximum)

    def reduce(self, rows: Tensor, maximum: bool = False) -> Tensor:
        """The same for rows (E, M) that are already one for each item, in the order of `self.order`."""
        if len(self.blocks) != 1 or self.blocks[0][0] != 1:
            if rows.numel() > DENSE_WORK * len(self.blocks):
                rows = self._dense(rows, maximum)
            else:
                rows = self._segmented(rows, maximum)
        if self.has_empty:
            rows = torch.cat([rows, rows.new_full((1, rows.shape[1]), -torch.inf)])
        return rows if self.place is None else rows.index_select(0, self.place)

    def _segmented(self, rows: Tensor, maximum: bool) -> Tensor:
        top = torch.segment_reduce(rows, "max", offsets=self.offsets, axis=0, unsafe=True, initial=-torch.inf)
        if maximum:
            return top
        top = top.clamp_min_(torch.finfo(rows.dtype).min)
        scaled = (rows - top.index_select(0, self.owner)).exp_()
        total = torch.segment_reduce(scaled, "sum", offsets=self.offsets, axis=0, unsafe=True, initial=0.0)
        return total.log_().add_(top)

    def _dense(self, rows: Tensor, maximum: bool) -> Tensor:
        parts, begin = [], 0
        for size, count in self.blocks:
            block = rows[begin : begin + size * count]
            begin += size * count
            parts.append(block if size == 1 else log_sum(block.view(count, size, -1), maximum))
        return torch.cat(parts)


def log_sum(x: Tensor, maximum: bool = False) -> Tensor:
    """Log sum exp (or maximum) over the middle dimension: (N, K, M) -> (N, M)."""
    top = x.amax(1)
    if maximum:
        return top
    top = top.clamp_min_(torch.finfo(x.dtype).min)
    return (x - top.unsqueeze(1)).exp_().sum(1).log_().add_(top)


class Fan:
    """A bipartite graph between parents and children, summed over in both directions."""

    def __init__(self, parents: Ints, children: Ints, num_parents: int, num_children: int) -> None:
        self.over_children = Gather(children, parents, num_parents)
        self.over_parents = Gather(parents, children, num_children)
        self.size = len(parents)

    def to(self, device: torch.device) -> "Fan":
        """Move the tables to a device, in place."""
        self.over_children.to(device)
        self.over_parents.to(device)
        return self


def shared_blocks(table: NDArray[np.integer]) -> tuple[list[Fan], NDArray[np.int32], Ints]:
    """Cut the rows of a table (N, C), in which -1 means nothing, into a tree of blocks and share equal ones.

    Returns:
        fans: from the rows down to the leaf blocks; block (U, BLOCK): the entries of each leaf block; first (U,): the
        column at which it begins.
    """
    rows, columns = table.shape
    blocks, begins, ids = [], [], []
    count = 0
    for begin in range(0, columns, BLOCK):
        piece = np.full((rows, BLOCK), -1, dtype=np.int32)
        piece[:, : min(BLOCK, columns - begin)] = table[:, begin : begin + BLOCK]
        first, which = distinct_rows(piece)
        empty = (piece[first] == -1).all(axis=1)
        number = np.where(empty, -1, count + np.cumsum(~empty) - 1)
        count += int((~empty).sum())
        blocks.append(piece[first][~empty])
        begins.append(np.full(int((~empty).sum()), begin, dtype=np.int64))
        ids.append(number[which])
    level = np.stack(ids, axis=1)
    fans: list[Fan] = []
    children = count
    while True:
        width = level.shape[1]
        parents, edges, numbers = 0, [], []
        for begin in range(0, width, ARITY):
            piece = level[:, begin : begin + ARITY]
            if width <= ARITY:  # the top: its parents are the rows themselves
                first, which = np.arange(rows), np.arange(rows)
                empty = np.zeros(rows, dtype=bool)
            else:
                first, which = distinct_rows(piece)
                empty = (piece[first] == -1).all(axis=1)
            number = np.where(empty, -1, parents + np.cumsum(~empty) - 1)
            row, column = np.nonzero(piece[first] != -1)
            edges.append((number[row], piece[first][row, column]))
            parents += int((~empty).sum())
            numbers.append(number[which])
        above, below = (np.concatenate(side) for side in zip(*edges, strict=True))
        fans.append(Fan(above, below, parents, children))
        if width <= ARITY:
            return fans[::-1], np.concatenate(blocks), np.concatenate(begins)
        level, children = np.stack(numbers, axis=1), parents


class Circuit:
    """What one token does to weights of states: log sums over the transitions, forwards and backwards.

    Args:
        delta: (S, C) target state under each class of tokens, -1 where nothing can be accepted any more.

    Attributes:
        fans: from states down to the nodes that the edges start from (empty where edges start from states).
        num_edges, num_labels: size of the circuit.
        edges: source, target and label of each edge, where edges start from states; else None.
        members: the classes of each label, likewise.
    """

    def __init__(self, delta: NDArray[np.int32]) -> None:
        self.num_states, num_classes = delta.shape
        self.fans: list[Fan] = []
        nodes = self.num_states
        edges = None
        if delta.size <= PLAIN_CELLS:
            edges = _edges(*_entries(delta), num_classes)
        if edges is None or len(edges[0]) > 2 * CALL_COST:
            fans, blocks, begins = shared_blocks(delta)
            node, column = np.nonzero(blocks != -1)
            shared = _edges(node, begins[node] + column, blocks[node, column].astype(np.int64), num_classes)
            cost = len(shared[0]) + sum(fan.size + CALL_COST for fan in fans)
            if edges is None or cost < len(edges[0]):
                edges, self.fans, nodes = shared, fans, len(blocks)
        source, target, label, members = edges
        self.edges = None if self.fans else (source, target, label)  # between states
        self.members = None if self.fans else members
        self.num_edges, self.num_labels = len(source), len(members)
        self.into_target = Gather(source, target, self.num_states)
        order = self.into_target.order
        self.forward_sources, self.forward_labels = torch.from_numpy(source[order]), torch.from_numpy(label[order])
        self.out_of_source = Gather(target, source, nodes)
        order = self.out_of_source.order
        self.backward_targets, self.backward_labels = torch.from_numpy(target[order]), torch.from_numpy(label[order])
        self.by_label = Gather(source, label, self.num_labels)
        order = self.by_label.order
        self.label_sources, self.label_targets = torch.from_numpy(source[order]), torch.from_numpy(target[order])
        self.label_fans = _label_fans(members, num_classes)

    def to(self, device: torch.device) -> "Circuit":
        """Move the tables to a device, in place."""
        for fan in [*self.fans, *self.label_fans]:
            fan.to(device)
        for gather in (self.into_target, self.out_of_source, self.by_label):
            gather.to(device)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def label_weights(self, classes: Tensor, maximum: bool = False) -> Tensor:
        """Weights of classes (C, M) -> weights of labels (U, M)."""
        for fan in reversed(self.label_fans):
            classes = fan.over_children(classes, maximum)
        return classes

    def class_weights(self, labels: Tensor) -> Tensor:
        """The adjoint: what the labels say of each class, (U, M) -> (C, M)."""
        for fan in self.label_fans:
            labels = fan.over_parents(labels)
        return labels

    def forward(self, states: Tensor, labels: Tensor, maximum: bool = False) -> Tensor:
        """Weights of states (S, M) before a token with label weights (U, M) -> after it."""
        for fan in self.fans:
            states = fan.over_parents(states, maximum)
        moved = states.index_select(0, self.forward_sources) + labels.index_select(0, self.forward_labels)
        return self.into_target.reduce(moved, maximum)

    def backward(self, states: Tensor, labels: Tensor, maximum: bool = False) -> Tensor:
        """Weights of what follows states (S, M) after a token -> before it."""
        moved = states.index_select(0, self.backward_targets) + labels.index_select(0, self.backward_labels)
        nodes = self.out_of_source.reduce(moved, maximum)
        for fan in reversed(self.fans):
            nodes = fan.over_children(nodes, maximum)
        return nodes

    def label_posterior(self, before: Tensor, after: Tensor, dtype: torch.dtype) -> Tensor:
        """Weights of states before and after (S, M) -> sum over the edges of each label, without the label's own weight
        (U, M). Works through the columns in pieces, to bound memory."""
        for fan in self.fans:
            before = fan.over_parents(before)
        width = max(1, 2**20 // max(1, self.num_edges))
        pieces = []
        for columns in range(0, before.shape[1], width):
            left, right = before[:, columns : columns + width], after[:, columns : columns + width]
            joined = left.index_select(0, self.label_sources).add_(right.index_select(0, self.label_targets))
            pieces.append(self.by_label.reduce(joined.to(dtype)))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)


def _entries(delta: NDArray[np.int32]) -> tuple[Ints, Ints, Ints]:
    state, column = np.nonzero(delta != -1)
    return state, column, delta[state, column].astype(np.int64)


def _edges(source: Ints, column: Ints, target: Ints, num_classes: int) -> tuple[Ints, Ints, Ints, Sequence[Ints]]:
    """Merge transitions (source, class, target) into edges (source, target, label); members: the classes of each
    label."""
    order = np.lexsort((column, target, source))
    source, column, target = source[order], column[order], target[order]
    new = np.concatenate([[True], (source[1:] != source[:-1]) | (target[1:] != target[:-1])])
    begin = np.nonzero(new)[0]
    size = np.diff(np.append(begin, len(source)))
    random = np.random.default_rng(0x5EED)
    while True:
        weight = random.integers(1, 2**63, size=num_classes, dtype=np.uint64)
        _, first, label = np.unique(np.add.reduceat(weight[column], begin), return_index=True, return_inverse=True)
        label = label.reshape(-1)
        like = first[label]  # an edge with the same hash: compare the sets themselves
        if np.array_equal(size[like], size):
            step = np.arange(len(source)) - np.repeat(begin, size)
            if np.array_equal(column[np.repeat(begin[like], size) + step], column):
                break
    members = [column[begin[edge] : begin[edge] + size[edge]] for edge in first]
    return source[begin], target[begin], label, members


def _label_fans(members: Sequence[Ints], num_classes: int) -> list[Fan]:
    """From labels down to classes, through shared blocks where that is cheaper."""
    label = np.repeat(np.arange(len(members)), [len(own) for own in members])
    classes = np.concatenate(members)
    plain = Fan(label, classes, len(members), num_classes)
    if len(label) <= 4 * num_classes or len(members) * num_classes > 20_000_000:
        return [plain]
    table = np.full((len(members), num_classes), -1, dtype=np.int8)
    table[label, classes] = 0
    fans, blocks, begins = shared_blocks(table)
    node, column = np.nonzero(blocks != -1)
    fans.append(Fan(node, begins[node] + column, len(blocks), num_classes))
    return fans if sum(fan.size for fan in fans) < plain.size else [plain]

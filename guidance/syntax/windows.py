"""`WindowTables`: which runs of parts of speech make a constituent, or join a word to its head.

Counted on parsed text (see ``diffusionlm train-syntax``): for a run of tags with the tag before and the tag behind it, how
often it stands there, and how often (by the parser's marginals) it is a constituent of each label; or the words at its two
ends are dependent and head with a relation. What is asked of a stretch of words then is an automaton over tags: any of the
runs that mostly are what is asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.syntax.store import load_counts, save_counts
from diffusionlm.guidance.syntax.tables import CONTEXTS

if TYPE_CHECKING:
    from diffusionlm.text import Vocabulary

LONGEST = 24  # words of a run that is kept tag by tag
SHORTEST = 4  # words of a run of which the ends may do
_AT = {tag: k for k, tag in enumerate(CONTEXTS)}


@dataclass(frozen=True)
class Window:
    """A run of tags between two others, and how often it is what was asked for.

    Attributes:
        before: tag before it, or "START".
        tags: of its words; "" where any will do.
        behind: tag behind it, or "END".
        count: occurrences.
        share: of those that are what was asked for.
    """

    before: str
    tags: tuple[str, ...]
    behind: str
    count: float
    share: float


@dataclass(frozen=True, eq=False)
class WindowTables:
    """Runs of tags by label.

    Attributes:
        labels: of constituents, or relations with the side of the head ("det>": it stands behind the dependent).
        label: (n,) index into labels.
        tags: (n, 2 + LONGEST) tag before, tag behind, tags of the run; -1 behind its end.
        count: (n,) occurrences of the run between these two.
        share: (n,) how many of these have the label.
        edge_label: (m,) label of a run of which only the ends are told.
        edges: (m, 5) tag before, tag behind, first tag, last tag, words.
        edge_count: (m,).
        edge_share: (m,).
        card: where the counts come from.
    """

    labels: tuple[str, ...]
    label: Tensor
    tags: Tensor
    count: Tensor
    share: Tensor
    edge_label: Tensor
    edges: Tensor
    edge_count: Tensor
    edge_share: Tensor
    card: dict[str, Any]

    def find(self, label: str, length: int, at_start: bool, least: float) -> list[Window]:
        """Runs of a label and length, those first that occur most often and are surest.

        Args:
            label: one of ``labels``.
            length: words.
            at_start: whether the run opens the text.
            least: share that it must have.
        """
        sizes = (self.tags[:, 2:] >= 0).sum(1)
        fits = (self.label == self.labels.index(label)) & (sizes == length) & (self.share >= least)
        fits &= (self.tags[:, 0] == _AT["START"]) == at_start
        found = []
        for row in torch.nonzero(fits).flatten().tolist():
            before, behind, *run = self.tags[row].tolist()
            tags = tuple(CONTEXTS[t] for t in run if t >= 0)
            found.append(
                Window(CONTEXTS[before], tags, CONTEXTS[behind], float(self.count[row]), float(self.share[row]))
            )
        return sorted(found, key=lambda w: -(w.count**0.5) * w.share**4)

    def find_edges(self, label: str, length: int, at_start: bool, least: float) -> list[Window]:
        """The same of runs of which only the ends are told."""
        fits = (self.edge_label == self.labels.index(label)) & (self.edges[:, 4] == length) & (self.edge_share >= least)
        fits &= (self.edges[:, 0] == _AT["START"]) == at_start
        found = []
        for row in torch.nonzero(fits).flatten().tolist():
            before, behind, first, last = (CONTEXTS[t] for t in self.edges[row, :4].tolist())
            tags = (first, *[""] * (length - 2), last)
            found.append(Window(before, tags, behind, float(self.edge_count[row]), float(self.edge_share[row])))
        return sorted(found, key=lambda w: -(w.count**0.5) * w.share**4)

    def lengths(self, label: str) -> list[int]:
        """Lengths of the runs of a label."""
        own = self.labels.index(label)
        whole = (self.tags[self.label == own, 2:] >= 0).sum(1).tolist()
        return sorted({*whole, *self.edges[self.edge_label == own, 4].tolist()})

    def save(self, folder: str | Path, fingerprint: str) -> None:
        """Writes a folder that `find_windows` finds for models of the vocabulary with this fingerprint."""
        tensors = {
            "label": self.label,
            "tags": self.tags.to(torch.int8),
            "count": self.count,
            "share": self.share,
            "edge_label": self.edge_label,
            "edges": self.edges.to(torch.int8),
            "edge_count": self.edge_count,
            "edge_share": self.edge_share,
        }
        config = {
            "model_type": "diffusionlm_window_tables",
            "vocabulary_fingerprint": fingerprint,
            "labels": self.labels,
            "card": self.card,
        }
        save_counts(folder, tensors, config)


def build_windows(
    sentences: Iterable[tuple[Sequence[str], Sequence[tuple[int, int, str, float]]]],
    card: dict[str, Any],
    fewest: int = 2,
    longest: int = LONGEST,
) -> WindowTables:
    """Counts of parsed sentences.

    Args:
        sentences: universal tags of the words, and (first, last, label, probability) of what is there, last inclusive.
        card: what to remember.
        fewest: occurrences of a run that is kept.
        longest: words of a run that is kept.
    """
    runs, edges = _Counts(), _Counts()
    for tags, spans in sentences:
        codes = [_AT["START"], *(_AT[tag] for tag in tags), _AT["END"]]
        size = len(tags)

        def run(first: int, last: int, codes: list[int] = codes) -> tuple[int, ...]:
            return codes[first], codes[last + 2], *codes[first + 1 : last + 2]

        def edge(first: int, last: int, codes: list[int] = codes) -> tuple[int, ...]:
            return codes[first], codes[last + 2], codes[first + 1], codes[last + 1], last + 1 - first

        for first in range(size):
            for last in range(first, size):
                if last - first < longest:
                    runs.total[run(first, last)] += 1
                if SHORTEST <= last + 1 - first <= 100:
                    edges.total[edge(first, last)] += 1
        for first, last, label, share in spans:
            if last - first < longest:
                runs.hits[run(first, last)][label] += share
            if SHORTEST <= last + 1 - first <= 100:
                edges.hits[edge(first, last)][label] += share
    told, ends = runs.rows(fewest), edges.rows(fewest + 1)
    labels = sorted({label for rows in (told, ends) for _, label, _, _ in rows})
    index = {label: k for k, label in enumerate(labels)}

    def column(rows: Sequence[_Row], place: int) -> Tensor:
        return torch.tensor([min(float(row[place]), 60_000.0) for row in rows], dtype=torch.float64)  # type: ignore[arg-type]

    return WindowTables(
        tuple(labels),
        torch.tensor([index[row[1]] for row in told], dtype=torch.long),
        torch.tensor([[*row[0], *[-1] * (2 + LONGEST - len(row[0]))] for row in told], dtype=torch.long).view(
            -1, 2 + LONGEST
        ),
        column(told, 2),
        column(told, 3),
        torch.tensor([index[row[1]] for row in ends], dtype=torch.long),
        torch.tensor([row[0] for row in ends], dtype=torch.long).view(-1, 5),
        column(ends, 2),
        column(ends, 3),
        card,
    )


_Row = tuple[tuple[int, ...], str, float, float]


class _Counts:
    """How often a run stands there, and how often it is what."""

    def __init__(self) -> None:
        self.total: Counter[tuple[int, ...]] = Counter()
        self.hits: dict[tuple[int, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def rows(self, fewest: int) -> list[_Row]:
        """(run, label, occurrences, share) of runs that mostly have the label."""
        return [
            (run, label, float(self.total[run]), min(1.0, n / self.total[run]))
            for run, own in self.hits.items()
            if self.total[run] >= fewest
            for label, n in own.items()
            if n / self.total[run] >= 0.5
        ]


@lru_cache(maxsize=4)
def load_windows(folder: Path) -> WindowTables:
    """Tables from a folder.

    Raises:
        ValueError: if a file is damaged.
    """
    names = ("label", "tags", "count", "share", "edge_label", "edges", "edge_count", "edge_share")
    return load_counts(
        folder,
        "tables",
        lambda config, data: WindowTables(
            tuple(config["labels"]), **{name: data[name] for name in names}, card=config["card"]
        ),
    )


def find_windows(name: str, vocabulary: Vocabulary, folder: str | Path | None) -> WindowTables:
    """The tables of a name that belong to a model's vocabulary, or those of a folder.

    Raises:
        FileNotFoundError: if there are none.
    """
    from diffusionlm.guidance.classifiers.store import find_reader

    if folder is None:
        try:
            folder = find_reader(name, vocabulary)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"There are no {name} for this model's vocabulary of {len(vocabulary)} tokens. Make them with: diffusionlm "
                "guides --for CHECKPOINT; or give the plugin a grammar={'NP': ['DET NOUN']}."
            ) from None
    return load_windows(Path(folder))

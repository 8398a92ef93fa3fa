"""`WindowTables`: which runs of parts of speech make a constituent, or join a word to its head.

Counted on parsed text (see ``diffusionlm train-syntax``): for a run of tags with the tag before and the tag behind it, how
often it stands there, and how often (by the parser's marginals) it is a constituent of each label; or the words at its two
ends are dependent and head with a relation. What is asked of a stretch of words then is an automaton over tags: any of the
runs that mostly are what is asked for.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.syntax_tables import CONFIG, CONTEXTS, WEIGHTS

if TYPE_CHECKING:
    from diffusionlm.text import Vocabulary

LONGEST = 24  # words of a run that is kept tag by tag
_AT = {tag: k for k, tag in enumerate(CONTEXTS)}


@dataclass(frozen=True)
class Window:
    """A run of tags between two others, and how often it is what was asked for.

    Attributes:
        before: tag before it, or "START".
        tags: of its words.
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
        card: where the counts come from.
    """

    labels: tuple[str, ...]
    label: Tensor
    tags: Tensor
    count: Tensor
    share: Tensor
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

    def lengths(self, label: str) -> list[int]:
        """Lengths of the runs of a label."""
        return sorted({int(n) for n in (self.tags[self.label == self.labels.index(label), 2:] >= 0).sum(1)})

    def save(self, folder: str | Path, fingerprint: str) -> None:
        """Writes a folder that `find_windows` finds for models of the vocabulary with this fingerprint."""
        from safetensors.torch import save_file

        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        tensors = {
            "label": self.label.to(torch.int16),
            "tags": self.tags.to(torch.int8),
            "count": self.count.half(),
            "share": self.share.half(),
        }
        save_file(tensors, target / WEIGHTS)
        config = {
            "model_type": "diffusionlm_window_tables",
            "vocabulary_fingerprint": fingerprint,
            "labels": self.labels,
            "card": self.card,
        }
        (target / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
    hits: dict[tuple[int, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    totals: Counter[tuple[int, ...]] = Counter()
    for tags, spans in sentences:
        codes = [_AT["START"], *(_AT[tag] for tag in tags), _AT["END"]]
        size = len(tags)
        for first in range(size):
            for last in range(first, min(size, first + longest)):
                totals[(codes[first], codes[last + 2], *codes[first + 1 : last + 2])] += 1
        for first, last, label, share in spans:
            if last - first < longest:
                hits[(codes[first], codes[last + 2], *codes[first + 1 : last + 2])][label] += share
    rows = [
        (run, label, float(totals[run]), min(1.0, n / totals[run]))
        for run, own in hits.items()
        if totals[run] >= fewest
        for label, n in own.items()
        if n / totals[run] >= 0.5
    ]
    labels = sorted({label for _, label, _, _ in rows})
    index = {label: k for k, label in enumerate(labels)}
    return WindowTables(
        tuple(labels),
        torch.tensor([index[label] for _, label, _, _ in rows], dtype=torch.long),
        torch.tensor([[*run, *[-1] * (2 + LONGEST - len(run))] for run, *_ in rows], dtype=torch.long).view(
            -1, 2 + LONGEST
        ),
        torch.tensor([min(n, 60_000.0) for _, _, n, _ in rows], dtype=torch.float64),
        torch.tensor([share for *_, share in rows], dtype=torch.float64),
        card,
    )


@lru_cache(maxsize=4)
def load_windows(folder: Path) -> WindowTables:
    """Tables from a folder.

    Raises:
        ValueError: if a file is damaged.
    """
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        data = load_file(folder / WEIGHTS)
        return WindowTables(
            tuple(config["labels"]),
            data["label"].long(),
            data["tags"].long(),
            data["count"].double(),
            data["share"].double(),
            config["card"],
        )
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"The tables in {folder} cannot be read: {error}") from error


def find_windows(name: str, vocabulary: Vocabulary, folder: str | Path | None) -> WindowTables:
    """The tables of a name that belong to a model's vocabulary, or those of a folder.

    Raises:
        FileNotFoundError: if there are none.
    """
    from diffusionlm.guidance.reader_store import find_reader

    if folder is None:
        try:
            folder = find_reader(name, vocabulary)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"There are no {name} for this model's vocabulary of {len(vocabulary)} tokens. Make them with: diffusionlm "
                "train-syntax checkpoint=CHECKPOINT; or give the plugin a grammar={'NP': ['DET NOUN']}."
            ) from None
    return load_windows(Path(folder))

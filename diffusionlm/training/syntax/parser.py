"""`ChartParser`: a constituency parser over words, trained on trees, that brackets our corpora for the guides.

Span scores from the differences of a bidirectional LSTM's states at their ends (Stern, Andreas and Klein 2017, "A minimal
span-based neural constituency parser"), each span classified by itself (Teng and Zhang 2018), decoded by CKY. Unary chains
are one label ("S::VP").
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from diffusionlm.guidance.syntax.chart import best_spans, span_marginals
from diffusionlm.training.syntax.tagger import WordTagger, features, sentence_batches
from diffusionlm.training.syntax.treebanks import Sentence

NONE = 0  # the label of what is no constituent
LONGEST = 60  # words of a sentence that is learnt from
RARE = 8  # chains seen less often are cut to their first label


def chains_of(sentence: Sentence) -> dict[tuple[int, int], str]:
    """Label chain of each span of a tree, top first."""
    chains: dict[tuple[int, int], str] = {}
    assert sentence.tree is not None
    for first, last, label in sentence.tree.spans():
        chains[(first, last)] = f"{chains[(first, last)]}::{label}" if (first, last) in chains else label
    return chains


class ChartParser(nn.Module):
    """See the module. ``labels[0]`` is what is no constituent.

    Args:
        known: numbers of the known words.
        labels: chains.
        width: of the LSTM, each way.
        start: a tagger whose encoder it begins with; of the same width.
    """

    def __init__(
        self, known: dict[str, int], labels: list[str], width: int = 96, start: WordTagger | None = None
    ) -> None:
        super().__init__()
        self.known, self.labels, self.width = known, labels, width
        self.encoder = WordTagger(known, {}, width)
        if start is not None:
            own = {k: v for k, v in start.state_dict().items() if not k.startswith("heads")}
            self.encoder.load_state_dict(own)
        self.ends = nn.Linear(2 * width, 160)
        self.label = nn.Sequential(nn.LayerNorm(160), nn.ReLU(), nn.Dropout(0.2), nn.Linear(160, len(labels)))

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """(B, n, 5) -> (B, n, n, labels): logits of every span, by first and last word."""
        hidden = self.encoder.encode(rows, lengths)
        ahead, back = hidden.split(self.width, -1)
        nothing = ahead.new_zeros(len(ahead), 1, self.width)
        begin = torch.cat([torch.cat([nothing, ahead[:, :-1]], 1), back], -1)  # before the first word; from it on
        end = torch.cat([ahead, torch.cat([back[:, 1:], nothing], 1)], -1)  # up to the last word; behind it
        weight = self.ends.weight * torch.cat([torch.ones(self.width), -torch.ones(self.width)])
        return self.label((end @ weight.T)[:, None] - (begin @ weight.T)[:, :, None] + self.ends.bias)

    @torch.no_grad()
    def read(
        self, sentences: Sequence[Sequence[str]], then: Callable[[Tensor, Tensor, list[int]], None], batch: int = 64
    ) -> None:
        """Calls ``then(log odds (b, n, n, labels - 1), lengths (b,), numbers of the sentences)`` for batches of like
        length. Log odds are those against no constituent."""
        self.eval()
        order = sorted((i for i in range(len(sentences)) if sentences[i]), key=lambda i: len(sentences[i]))
        for k in range(0, len(order), batch):
            part = order[k : k + batch]
            rows = [torch.tensor(features(sentences[i], self.known)) for i in part]
            lengths = torch.tensor([len(r) for r in rows])
            logits = self(pad_sequence(rows, batch_first=True), lengths).double()
            then(logits[..., 1:] - logits[..., :1], lengths, part)

    def parse(self, sentences: Sequence[Sequence[str]]) -> list[list[tuple[int, int, str]]]:
        """(first, last, label) of the constituents of each sentence, chains taken apart."""
        out: list[list[tuple[int, int, str]]] = [[] for _ in sentences]

        def then(odds: Tensor, lengths: Tensor, numbers: list[int]) -> None:
            best, which = odds.max(-1)
            spans = best_spans(best.clamp_min(0.0), lengths)
            for row, number in enumerate(numbers):
                n = int(lengths[row])
                for i, j in spans[row]:
                    if (j < n and best[row, i, j] > 0) or (i, j) == (0, n - 1):
                        chain = self.labels[1 + int(which[row, i, j])]
                        out[number] += [(i, j, label) for label in chain.split("::")]

        self.read(sentences, then)
        return out

    def marginals(
        self, sentences: Sequence[Sequence[str]], least: float = 0.02
    ) -> list[list[tuple[int, int, str, float]]]:
        """(first, last, label, probability) of the constituents of each sentence, by the inside algorithm; single labels of
        chains have the sum of their chains."""
        out: list[list[tuple[int, int, str, float]]] = [[] for _ in sentences]

        def then(odds: Tensor, lengths: Tensor, numbers: list[int]) -> None:
            free = torch.cat([torch.zeros_like(odds[..., :1]), odds], -1)
            held = span_marginals(free.logsumexp(-1), lengths)
            share = held[..., None] * free.softmax(-1)[..., 1:]
            for row, number in enumerate(numbers):
                sums: dict[tuple[int, int, str], float] = {}
                for i, j, k in torch.nonzero(share[row] >= least).tolist():
                    if i <= j < int(lengths[row]):
                        p = float(share[row, i, j, k])
                        for label in dict.fromkeys([*self.labels[1 + k].split("::"), self.labels[1 + k]]):
                            sums[(i, j, label)] = sums.get((i, j, label), 0.0) + p
                out[number] = [(*key, min(1.0, p)) for key, p in sums.items()]

        self.read(sentences, then)
        return out


def bracket_f1(
    found: Sequence[Sequence[tuple[int, int, str]]], gold: Sequence[Sequence[tuple[int, int, str]]]
) -> float:
    """Labelled F1 over all sentences."""
    right = sum(sum((Counter(a) & Counter(b)).values()) for a, b in zip(found, gold, strict=True))
    return 2 * right / max(1, sum(map(len, found)) + sum(map(len, gold)))


def train_parser(
    sentences: Sequence[Sentence],
    epochs: int = 8,
    seed: int = 0,
    start: WordTagger | None = None,
    width: int = 96,
    words_a_batch: int = 500,
    rate: float = 2e-3,
) -> ChartParser:
    """A parser trained on sentences with trees.

    Args:
        sentences: those without a tree or of more than 60 words are left out.
        epochs: passes over them.
        seed: of weights and order.
        start: a tagger to begin with; its words are the known ones then.
        width: of the LSTM, each way, without a start.
        words_a_batch: about.
        rate: of Adam, falling to nothing.
    """
    kept = [s for s in sentences if s.tree is not None and 0 < len(s.words) <= LONGEST]
    gold = [chains_of(s) for s in kept]
    counts = Counter(chain for own in gold for chain in own.values())
    labels = ["", *sorted(chain for chain, n in counts.items() if n >= RARE)]
    index = {label: k for k, label in enumerate(labels)}
    words = Counter(word.lower() for s in kept for word in s.words)
    known = start.known if start is not None else {w: i + 1 for i, (w, n) in enumerate(words.most_common()) if n > 1}
    generator = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parser = ChartParser(known, labels, start.encoder.hidden_size if start is not None else width, start)
        optimizer = torch.optim.Adam(parser.parameters(), lr=rate)
        every = sum(len(s.words) for s in kept)
        words_a_batch = max(1, min(words_a_batch, every // 20))
        steps = epochs * max(1, every // words_a_batch)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: max(0.02, 1 - k / steps))
        data: list[Any] = []
        for s, chains in zip(kept, gold, strict=True):
            target = torch.zeros(len(s.words), len(s.words), dtype=torch.long)
            for (i, j), chain in chains.items():
                target[i, j] = index.get(chain, index.get(chain.split("::")[0], NONE))
            chance = torch.tensor([0.25 / (0.25 + words[w.lower()]) for w in s.words])
            data.append((torch.tensor(features(s.words, known)), target, chance))
        for _ in range(epochs):
            parser.train()
            for batch in sentence_batches(data, words_a_batch, generator):
                lengths = torch.tensor([len(r) for r, _, _ in batch])
                n = int(lengths.max())
                rows = [
                    torch.where((torch.rand(len(c)) < c)[:, None] & (torch.arange(5) == 0), 0, r) for r, _, c in batch
                ]
                target = torch.stack([F.pad(t, (0, n - len(t), 0, n - len(t)), value=-100) for _, t, _ in batch])
                upper = torch.ones(n, n, dtype=torch.bool).triu()
                logits = parser(pad_sequence(rows, batch_first=True), lengths)[:, upper]
                loss = F.cross_entropy(
                    logits.flatten(0, 1), target[:, upper].flatten(), ignore_index=-100, reduction="sum"
                )
                optimizer.zero_grad()
                (loss / lengths.sum()).backward()
                nn.utils.clip_grad_norm_(parser.parameters(), 2.0)
                optimizer.step()
                scheduler.step()
    return parser.eval()

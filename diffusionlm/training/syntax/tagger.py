"""`WordTagger`: a tagger over words, trained on treebanks, that labels our corpora for the guides.

A bidirectional LSTM over embeddings of the word, its affixes and its shape, with one head for universal tags and one for
Penn tags, so that treebanks with either can be used. Rare words are hidden at random in training; what is left of an
unknown word are its affixes, its shape and its neighbours.
"""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from diffusionlm.training.syntax.treebanks import Sentence

BUCKETS = 4096
KNOWN = 12_000


def features(words: Sequence[str], known: dict[str, int]) -> list[list[int]]:
    """Numbers of the word (0: unknown), its affixes (hashed) and its shape, for each word."""
    rows = []
    for i, word in enumerate(words):
        low = word.lower()
        shape = "".join("A" if c.isupper() else "a" if c.isalpha() else "0" if c.isdigit() else c for c in word)
        shape = re.sub(r"(.)\1+", r"\1", shape)
        pieces = (f"s3{low[-3:]}", f"s2{low[-2:]}{word[:1].isupper()}", f"p3{low[:3]}", f"h{shape}{min(i, 1)}")
        rows.append([known.get(low, 0), *(zlib.crc32(p.encode()) % BUCKETS for p in pieces)])
    return rows


class WordTagger(nn.Module):
    """See the module. ``labels`` maps a kind ("upos", "xpos") to its labels."""

    def __init__(self, known: dict[str, int], labels: dict[str, list[str]], width: int = 96) -> None:
        super().__init__()
        self.known, self.labels = known, labels
        self.word = nn.Embedding(len(known) + 1, 64)
        self.affixes = nn.ModuleList([nn.Embedding(BUCKETS, 24) for _ in range(4)])
        self.encoder = nn.LSTM(64 + 4 * 24, width, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.3)
        self.heads = nn.ModuleDict({kind: nn.Linear(2 * width, len(own)) for kind, own in labels.items()})

    def encode(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """(B, N, 5) -> (B, N, 2 width)."""
        x = torch.cat([self.word(rows[..., 0]), *(e(rows[..., k + 1]) for k, e in enumerate(self.affixes))], -1)
        packed = nn.utils.rnn.pack_padded_sequence(self.drop(x), lengths, batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.encoder(packed)[0], batch_first=True, total_length=rows.shape[1])
        return self.drop(out)

    @torch.no_grad()
    def probabilities(self, sentences: Sequence[Sequence[str]], kind: str, batch: int = 128) -> list[Tensor]:
        """For each sentence (words, labels)."""
        self.eval()
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        out: list[Tensor] = [torch.empty(0)] * len(sentences)
        for k in range(0, len(order), batch):
            part = [i for i in order[k : k + batch] if sentences[i]]
            if not part:
                continue
            rows = [torch.tensor(features(sentences[i], self.known)) for i in part]
            lengths = torch.tensor([len(r) for r in rows])
            logits = self.heads[kind](self.encode(pad_sequence(rows, batch_first=True), lengths))
            for i, own, n in zip(part, logits.softmax(-1), lengths.tolist(), strict=True):
                out[i] = own[:n]
        return out

    def tag(self, sentences: Sequence[Sequence[str]], kind: str = "upos") -> list[list[str]]:
        """The likeliest tags."""
        return [
            [self.labels[kind][k] for k in p.argmax(-1).tolist()] if len(p) else []
            for p in self.probabilities(sentences, kind)
        ]


def accuracy(tagger: WordTagger, sentences: Sequence[Sentence], kind: str) -> float:
    """Share of words tagged right, of those whose tag is known."""
    right = total = 0
    for sentence, own in zip(sentences, tagger.tag([s.words for s in sentences], kind), strict=True):
        for gold, tag in zip(getattr(sentence, kind), own, strict=True):
            right += gold == tag
            total += bool(gold)
    return right / max(1, total)


def train_tagger(
    sentences: Sequence[Sentence], epochs: int = 6, seed: int = 0, words_a_batch: int = 1000, rate: float = 3e-3
) -> WordTagger:
    """A tagger trained on sentences, some of which have universal tags, some Penn tags, some both."""
    generator = random.Random(seed)
    counts = Counter(word.lower() for s in sentences for word in s.words)
    known = {word: i + 1 for i, (word, n) in enumerate(counts.most_common(KNOWN)) if n > 1}
    labels = {kind: sorted({tag for s in sentences for tag in getattr(s, kind) if tag}) for kind in ("upos", "xpos")}
    index = {kind: {tag: i for i, tag in enumerate(own)} for kind, own in labels.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tagger = WordTagger(known, {kind: own for kind, own in labels.items() if own})
        optimizer = torch.optim.Adam(tagger.parameters(), lr=rate)
        every = sum(len(s.words) for s in sentences)
        words_a_batch = max(1, min(words_a_batch, every // 20))
        total = epochs * max(1, every // words_a_batch)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: max(0.02, 1 - k / total))
        data: list[Any] = []
        for s in sentences:
            own = torch.tensor(features(s.words, known))
            gold = torch.tensor([[index[k].get(t, -100) for t in getattr(s, k)] for k in tagger.labels]).T
            chance = torch.tensor([0.25 / (0.25 + counts[w.lower()]) for w in s.words])
            data.append((own, gold, chance))
        for _ in range(epochs):
            tagger.train()
            for batch in sentence_batches(data, words_a_batch, generator):
                rows = [
                    torch.where((torch.rand(len(c)) < c)[:, None] & (torch.arange(5) == 0), 0, r) for r, _, c in batch
                ]
                lengths = torch.tensor([len(r) for r in rows])
                gold = pad_sequence([g for _, g, _ in batch], batch_first=True, padding_value=-100)
                hidden = tagger.encode(pad_sequence(rows, batch_first=True), lengths)
                loss = hidden.new_zeros(())
                for k, kind in enumerate(tagger.labels):
                    if bool((gold[..., k] >= 0).any()):
                        loss = loss + F.cross_entropy(
                            tagger.heads[kind](hidden).flatten(0, 1), gold[..., k].flatten(), ignore_index=-100
                        )
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(tagger.parameters(), 2.0)
                optimizer.step()
                scheduler.step()
    return tagger.eval()


def sentence_batches(data: Sequence[Any], words: int, generator: random.Random) -> Iterator[list[Any]]:
    """Batches of about ``words`` words, of sentences of like length, in random order."""
    order = sorted(range(len(data)), key=lambda i: len(data[i][0]) + 4 * generator.random())
    batches: list[list[Any]] = [[]]
    size = 0
    for i in order:
        if size >= words:
            batches.append([])
            size = 0
        batches[-1].append(data[i])
        size += len(data[i][0])
    generator.shuffle(batches)
    yield from (batch for batch in batches if batch)

"""FUDGE: a classifier of prefixes reweights the next tokens of an autoregressive model.

Yang and Klein 2021, "FUDGE: Controlled Text Generation With Future Discriminators", section 3 (eq. 2):
P(x_i | x_<i, a) is proportional to P(a | x_1..i) P(x_i | x_<i). The classifier (an LSTM of three layers of 300, as there)
learns from prefixes of texts whether the *whole* text will have the attribute; it reads the 200 likeliest next tokens at
every step (its section 4 does the same). As their classifier of couplets is told how many syllables are left, this one is told
at every token what is asked there: the value, the words that are left, or the tags of this word and the next.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers.autoregressive import Peer
from benchmarks.peers.goals import Goal, Sentence
from benchmarks.peers.short_training import Trained, endless, train_for
from benchmarks.peers.words import Openings

State = tuple[Tensor, Tensor]


class PrefixClassifier(nn.Module):
    """Log-odds that the text a prefix belongs to will have the attribute, told what is asked for at each token."""

    def __init__(self, vocabulary: int, conditions: int, hidden: int = 300, layers: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, hidden)
        self.condition = nn.Embedding(conditions, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, ids: Tensor, conditions: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(B, L) ids and conditions -> (B, L) log-odds after each token, and the state after the last."""
        hidden, state = self.lstm(self.embed(ids) + self.condition(conditions), state)
        return self.head(hidden).squeeze(-1), state


def train_classifier(
    peer: Peer,
    goal: Goal,
    sentences: Sequence[Sentence],
    seconds: float,
    seed: int = 0,
    keep: Path | None = None,
) -> tuple[PrefixClassifier, Trained]:
    """Every prefix of a text, its end included, is an example; padding is not."""
    torch.manual_seed(seed)
    model = PrefixClassifier(peer.model.config.vocab_size, goal.num_conditions)
    openings, pad = Openings(peer.tokenizer, goal.name), peer.tokenizer.pad_id
    draw = random.Random(seed)

    def loss_of(batch: list[Sentence]) -> Tensor:
        asked = [goal.example(sentence, draw) for sentence in batch]
        ids = [[*own, peer.eos] for own in peer.tokenizer.encode_batch([s.text for s in batch])]
        rows = torch.full((len(ids), max(map(len, ids))), pad)
        for row, own in zip(rows, ids, strict=True):
            row[: len(own)] = torch.tensor(own)
        opened = openings.counted(rows)
        conditions = torch.stack([goal.conditions(t, n) for (t, _), n in zip(asked, opened, strict=True)])
        odds, _ = model(rows, conditions)
        met = torch.tensor([float(label) for _, label in asked])[:, None].expand_as(odds)
        return F.binary_cross_entropy_with_logits(odds[rows != pad], met[rows != pad])

    trained = train_for(seconds, loss_of, model, endless(sentences, 32, seed), keep=keep)
    return model.eval(), trained


@torch.no_grad()
def sample(
    peer: Peer,
    count: int,
    classifier: PrefixClassifier | None = None,
    goal: Goal | None = None,
    targets: Sequence[Any] = (),
    *,
    max_tokens: int = 64,
    strength: float = 1.0,
    candidates: int = 200,
    temperature: float = 1.0,
    seed: int = 0,
    may_end: bool = True,
) -> list[str]:
    """`count` texts, each token drawn from P(x) P(a | x)^strength; without a classifier, plain sampling of the same loop.

    Args:
        peer: the model.
        count: texts at once.
        classifier: of prefixes, or None.
        goal: of the classifier.
        targets: one for each text.
        max_tokens: of a text.
        strength: exponent of the classifier's probability; 1 is Bayes' rule.
        candidates: how many of the likeliest tokens the classifier reads.
        temperature: of the model's own probabilities.
        seed: of the draws.
        may_end: False writes `max_tokens` tokens, for timing.
    """
    generator = torch.Generator().manual_seed(seed)
    last = torch.full((count, 1), peer.sep)
    cache, states, written = None, None, []
    ended = torch.zeros(count, dtype=torch.bool)
    barred = [peer.tokenizer.pad_id, peer.sep] + ([] if may_end else [peer.eos])
    openings = None if goal is None else Openings(peer.tokenizer, goal.name)
    opened = torch.zeros(count, 1, dtype=torch.long)
    for place in range(max_tokens):
        output = peer.model(input_ids=last, past_key_values=cache, use_cache=True)
        cache, logits = output.past_key_values, output.logits[:, -1].float() / temperature
        logits[:, barred] = -torch.inf
        top, ids = logits.log_softmax(-1).topk(min(candidates, logits.shape[-1]), dim=-1)
        if classifier is not None and goal is not None and openings is not None:
            width = ids.shape[1]
            opening = openings.opens(last.expand_as(ids), ids) if place else torch.ones_like(ids, dtype=torch.bool)
            words = opened + opening
            asked = torch.stack([goal.conditions(t, n) for t, n in zip(targets, words, strict=True)])
            spread = None if states is None else tuple(part.repeat_interleave(width, 1) for part in states)
            odds, after = classifier(ids.reshape(-1, 1), asked.reshape(-1, 1), spread)
            top = top + strength * F.logsigmoid(odds.view(count, width))
        pick = torch.multinomial(top.softmax(-1), 1, generator=generator)
        if classifier is not None:
            rows = (torch.arange(count) * ids.shape[1] + pick[:, 0]).tolist()
            states, opened = tuple(part[:, rows] for part in after), words.gather(1, pick)
        last = ids.gather(1, pick).masked_fill(ended[:, None], peer.eos)
        written.append(last)
        ended |= last[:, 0] == peer.eos
        if may_end and bool(ended.all()):
            break
    return texts_of(peer, torch.cat(written, 1))


def texts_of(peer: Peer, rows: Tensor) -> list[str]:
    """Texts of rows of token ids up to the end token."""
    found = []
    for row in rows.tolist():
        end = row.index(peer.eos) if peer.eos in row else len(row)
        found.append(" ".join(peer.tokenizer.decode(row[:end]).split()))
    return found

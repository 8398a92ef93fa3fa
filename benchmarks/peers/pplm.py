"""PPLM: gradients of an attribute model bend the key-value cache of an autoregressive model before every token.

Dathathri et al. 2020, "Plug and Play Language Models", sections 3.2 and 3.3. Before each token, `iterations` times: a forward
pass with the perturbed cache, the loss -log p(a | hidden state) + kl_scale KL(perturbed || plain), its gradient with
respect to the cache, scaled by its norm. Then the token is drawn from the perturbed distribution, fused with the plain one:
p_perturbed^gm p_plain^(1 - gm). The attribute model is one linear layer on the frozen model, as its section 4.3: on the mean
hidden state for a value, on the last one for the tag of the next word. An exact length has no such model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache

from benchmarks.peers.autoregressive import Peer
from benchmarks.peers.fudge import texts_of
from benchmarks.peers.goals import NO_TAG, Goal, Mention, Sentence, Tags
from benchmarks.peers.noisy_classifier import asked_tags
from benchmarks.peers.short_training import Trained, endless, padded, train_for
from benchmarks.peers.words import Openings


def _hidden(peer: Peer, ids: Tensor) -> Tensor:
    """Last hidden states (B, L, H)."""
    return peer.model.model(input_ids=ids, use_cache=False).last_hidden_state


def train_discriminator(
    peer: Peer, goal: Goal, sentences: Sequence[Sentence], seconds: float, seed: int = 0, keep: Path | None = None
) -> tuple[nn.Linear, Trained] | None:
    """A linear layer on hidden states of the frozen model; None for a goal that has none."""
    torch.manual_seed(seed)
    size, pad = peer.model.config.hidden_size, peer.tokenizer.pad_id
    if isinstance(goal, Mention):
        head, said = nn.Linear(size, len(goal.targets)), goal.said(sentences)

        def loss_of(part: list[int]) -> Tensor:
            rows = padded([sentences[i].text for i in part], peer.tokenizer, 64)
            kept = (rows != pad).float()[..., None]
            with torch.no_grad():
                mean = (_hidden(peer, rows) * kept).sum(1) / kept.sum(1).clamp_min(1)
            return F.binary_cross_entropy_with_logits(head(mean), said[part])

    elif isinstance(goal, Tags):
        head, openings = nn.Linear(size, NO_TAG + 1), Openings(peer.tokenizer, goal.name)

        def loss_of(part: list[int]) -> Tensor:
            rows = padded([sentences[i].text for i in part], peer.tokenizer, 64)
            rows = torch.cat([torch.full_like(rows[:, :1], peer.sep), rows[:, :-1]], 1)
            opened = _opened(openings, rows[:, 1:])
            asked = asked_tags([sentences[i].tags for i in part], 66)
            with torch.no_grad():
                hidden = _hidden(peer, rows)
            logits = head(hidden)[rows != pad]
            return F.cross_entropy(logits, asked.gather(1, opened.clamp(max=65))[rows != pad])

    else:
        return None
    trained = train_for(seconds, loss_of, head, endless(range(len(sentences)), 32, seed), lr=5e-3, keep=keep)
    return head.requires_grad_(False), trained


def _opened(openings: Openings, rows: Tensor) -> Tensor:
    """(B, L) ids after the start -> (B, L + 1) how many words are open at the start and after each."""
    return torch.cat([torch.zeros_like(rows[:, :1]), openings.counted(rows)], 1)


def sample(
    peer: Peer,
    discriminator: nn.Linear,
    goal: Goal,
    targets: Sequence[Any],
    *,
    max_tokens: int = 64,
    iterations: int = 3,
    step_size: float = 0.03,
    gamma: float = 1.0,
    kl_scale: float = 0.01,
    gm_scale: float = 0.95,
    temperature: float = 1.0,
    seed: int = 0,
    may_end: bool = True,
) -> list[str]:
    """A text for each target, at once; the settings are those of the paper's appendix (3 iterations, step 0.03, gm 0.95,
    KL 0.01)."""
    generator, count = torch.Generator().manual_seed(seed), len(targets)
    last = torch.full((count, 1), peer.sep)
    past: list[tuple[Tensor, Tensor]] = []
    total = torch.zeros(count, peer.model.config.hidden_size)
    written: list[Tensor] = []
    ended = torch.zeros(count, dtype=torch.bool)
    barred = [peer.tokenizer.pad_id, peer.sep] + ([] if may_end else [peer.eos])
    if isinstance(goal, Mention):
        columns = torch.tensor([goal.targets.index(target) for target in targets])
    else:
        openings, asked = Openings(peer.tokenizer, goal.name), asked_tags(targets, max_tokens + 2)

    def miss(hidden: Tensor, place: int) -> Tensor:
        """-log p(a | ...), summed over texts."""
        if isinstance(goal, Mention):
            odds = discriminator((total + hidden) / (place + 1))
            return F.softplus(-odds.gather(1, columns[:, None])).sum()
        opened = _opened(openings, torch.cat(written, 1))[:, -1:]
        return F.cross_entropy(
            discriminator(hidden), asked.gather(1, opened.clamp(max=max_tokens))[:, 0], reduction="sum"
        )

    for place in range(max_tokens):
        with torch.no_grad():
            plain, hidden, cache = _step(peer, last, past)
        bent = plain
        if past:
            delta = [torch.zeros_like(part) for pair in past for part in pair]
            for _ in range(iterations):
                moved = [part.requires_grad_() for part in delta]
                logits, now, _ = _step(peer, last, _plus(past, moved))
                loss = miss(now, place)
                probs = logits.softmax(-1)
                loss = loss + kl_scale * (probs * (probs.clamp_min(1e-12).log() - plain.log_softmax(-1))).sum()
                grads = torch.autograd.grad(loss, moved)
                delta = [_moved(d, g, step_size, gamma) for d, g in zip(delta, grads, strict=True)]
            with torch.no_grad():
                bent, hidden, cache = _step(peer, last, _plus(past, delta))
        with torch.no_grad():
            fused = gm_scale * bent.log_softmax(-1) + (1 - gm_scale) * plain.log_softmax(-1)
            fused[:, barred] = -torch.inf
            last = torch.multinomial((fused / temperature).softmax(-1), 1, generator=generator)
            last = last.masked_fill(ended[:, None], peer.eos)
            ended |= last[:, 0] == peer.eos
            total, past = total + hidden, cache
        written.append(last)
        if may_end and bool(ended.all()):
            break
    return texts_of(peer, torch.cat(written, 1))


def _step(
    peer: Peer, last: Tensor, past: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
    """Logits (B, V) and hidden state (B, H) of one more token, and the cache with it."""
    cache = DynamicCache([tuple(pair) for pair in past]) if past else DynamicCache()
    output = peer.model.model(input_ids=last, past_key_values=cache, use_cache=True)
    hidden = output.last_hidden_state[:, -1]
    kept = output.past_key_values
    return peer.model.lm_head(hidden).float(), hidden, [(layer.keys, layer.values) for layer in kept.layers]


def _plus(past: list[tuple[Tensor, Tensor]], delta: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return [(keys + delta[2 * i], values + delta[2 * i + 1]) for i, (keys, values) in enumerate(past)]


def _moved(delta: Tensor, grad: Tensor, step_size: float, gamma: float) -> Tensor:
    """One normalised step of each sample by itself."""
    norm = grad.flatten(1).norm(dim=1).clamp_min(1e-12) ** gamma
    return (delta - step_size * grad / norm.view(-1, *(1,) * (grad.dim() - 1))).detach()

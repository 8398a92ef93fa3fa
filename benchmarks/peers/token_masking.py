"""Hard constraints for an autoregressive model: tokens that a finite automaton cannot accept are masked.

Willard and Louf 2023, "Efficient Guided Generation for Large Language Models": the state of the automaton is followed token by
token and every next token without an accepting continuation is forbidden. What is left is renormalised step by step, so the
model does not look ahead: the distribution is not the model's own under the constraint. Here a token must also leave enough
room to reach an accepting state within the tokens that are left.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.peers.autoregressive import Peer
from benchmarks.peers.fudge import texts_of
from diffusionlm.guidance import automata


def distances(rule: automata.TokenAutomaton) -> np.ndarray:
    """(S,) fewest tokens from each state to an accepting one; a large number where there is none."""
    far = np.iinfo(np.int32).max // 2
    found = np.where(rule.accepting, 0, far)
    live = np.unique(rule.token_class)  # classes without a token are no way anywhere
    for _ in range(rule.num_states):
        nearer = np.minimum(found, 1 + found[rule.delta[:, live]].min(1))
        if (nearer == found).all():
            break
        found = nearer
    return found


@torch.no_grad()
def sample(
    peer: Peer,
    language: automata.Language,
    count: int,
    *,
    max_tokens: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[str]:
    """`count` texts of the language.

    Raises:
        ValueError: no text of the language has `max_tokens` tokens or fewer.
    """
    rule = automata.compile_language(language, peer.tokenizer.vocabulary)
    far = distances(rule)
    if far[rule.start] > max_tokens:
        raise ValueError(f"No text of at most {max_tokens} tokens satisfies {language.name}; give more max_tokens.")
    classes = rule.token_class.copy()
    banned = np.zeros(len(classes), dtype=bool)
    banned[peer.tokenizer.pad_id] = True
    generator = torch.Generator().manual_seed(seed)
    last = torch.full((count, 1), peer.sep)
    states = np.full(count, rule.start)
    ended = torch.zeros(count, dtype=torch.bool)
    cache, written = None, []
    for place in range(max_tokens + 1):
        output = peer.model(input_ids=last, past_key_values=cache, use_cache=True)
        cache, logits = output.past_key_values, output.logits[:, -1].float() / temperature
        left = max_tokens - place - 1
        allowed = np.zeros(logits.shape, dtype=bool)
        allowed[:, : len(classes)] = (far[rule.delta[states][:, classes]] <= left) & ~banned
        allowed[:, peer.eos] = rule.accepting[states]
        allowed[ended.numpy(), :] = False
        allowed[ended.numpy(), peer.eos] = True
        logits = logits.masked_fill(~torch.from_numpy(allowed), -torch.inf)
        last = torch.multinomial(logits.softmax(-1), 1, generator=generator)
        ids = last[:, 0].numpy()
        ended |= last[:, 0] == peer.eos
        going = ~ended.numpy()
        states = np.where(going, rule.delta[states, classes[np.where(going, ids, 0)]], states)
        written.append(last)
        if bool(ended.all()):
            break
    return texts_of(peer, torch.cat(written, 1))

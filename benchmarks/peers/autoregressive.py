"""The autoregressive peer: a causal transformer (Llama blocks) that learns the data our model learns.

It reads `[condition] <sep> text <eos>`, the condition present in part of the sequences, and learns text and end alone.
`benchmarks/autoregressive.py` is its command line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from diffusionlm.evaluation.infilling import hide_words, infilling_figures
from diffusionlm.evaluation.judge import CausalJudge
from diffusionlm.text.tokenizer import TextTokenizer

IGNORED = -100
GAP = -1
Example = tuple[list[int], list[int]]  # ids of the condition, ids of the text


@dataclass
class TrainOptions:
    """What a run of `train` is made of; `max_seconds` and `max_tokens` are the budget, whichever ends first."""

    params: float = 8e6
    layers: int = 6
    dropout: float = 0.1
    lr: float = 2e-3
    weight_decay: float = 0.1
    warmup: float = 0.02
    tokens_per_batch: int = 2048
    condition_share: float = 0.5
    max_seconds: float = math.inf
    max_tokens: float = math.inf
    evaluate_seconds: float = 120.0
    bf16: bool = False
    compile: bool = False
    device: str = "cpu"
    seed: int = 0


class Peer:
    """The model with its tokenizer. Two ids follow those of the tokenizer: `sep` before a text, `eos` after it."""

    def __init__(self, model: LlamaForCausalLM, tokenizer: TextTokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.sep, self.eos = tokenizer.vocab_size, tokenizer.vocab_size + 1

    @classmethod
    def create(cls, tokenizer: TextTokenizer, options: TrainOptions) -> Peer:
        torch.manual_seed(options.seed)
        return cls(LlamaForCausalLM(peer_config(tokenizer.vocab_size + 2, options)), tokenizer)

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Peer:
        model = LlamaForCausalLM.from_pretrained(folder).to(device).eval()
        return cls(model, TextTokenizer.from_pretrained(folder))

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def examples(self, pairs: Sequence[tuple[str, str]]) -> list[Example]:
        conditions = self.tokenizer.encode_batch([condition for condition, _ in pairs])
        return list(zip(conditions, self.tokenizer.encode_batch([text for _, text in pairs]), strict=True))

    def nats(self, examples: Sequence[Example]) -> torch.Tensor:
        """(examples, L) negative log-likelihood of the tokens of the texts, each `eos` included; zero elsewhere."""
        rows, labels = self.pack(examples)
        logits = self.model(input_ids=rows[:, :-1], use_cache=False).logits.float()
        loss = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="none")
        return loss.view(len(rows), -1)

    def pack(self, examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, L) token ids and labels; condition, `sep` and padding carry no label."""
        length = max(len(condition) + len(text) + 2 for condition, text in examples)
        rows = torch.full((len(examples), length), self.tokenizer.pad_id)
        labels = torch.full((len(examples), length), IGNORED)
        for row, label, (condition, text) in zip(rows, labels, examples, strict=True):
            ids, start = torch.tensor([*condition, self.sep, *text, self.eos]), len(condition) + 1
            row[: len(ids)] = ids
            label[start : len(ids)] = ids[start:]
        return rows.to(self.model.device), labels.to(self.model.device)

    @torch.no_grad()
    def write(
        self,
        known: torch.Tensor,
        temperature: float = 1.0,
        may_end: bool = True,
        generator: torch.Generator | None = None,
        opens_word: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Fill every `GAP` of `known` (B, L) from left to right with a key-value cache, given what stands left of it.

        Temperature 0 takes the most likely token. With `may_end` a gap may hold `eos`, and all gaps after it too. Where
        `opens_word` (B, L) holds, only tokens that begin with a space may be written.
        """
        within = ~self.tokenizer.vocabulary.starts_with_space.to(self.model.device)
        written, cache = known.to(self.model.device), None
        ended = torch.zeros(len(known), dtype=torch.bool, device=self.model.device)
        barred = [self.tokenizer.pad_id, self.sep] + ([] if may_end else [self.eos])
        for place in range(1, written.shape[1]):
            output = self.model(input_ids=written[:, place - 1 : place], past_key_values=cache, use_cache=True)
            cache, logits = output.past_key_values, output.logits[:, -1].float()
            logits[:, barred] = -math.inf
            if opens_word is not None:
                opening = opens_word[:, place, None].to(logits.device)
                logits[:, : len(within)] = logits[:, : len(within)].masked_fill(opening & within, -math.inf)
            if temperature > 0:
                uniform = torch.rand(logits.shape, generator=generator).clamp_min(1e-30).to(logits.device)
                logits = logits / temperature - (-uniform.log()).log()  # the Gumbel trick: a sample is the maximum
            gap = written[:, place] == GAP
            ended |= written[:, place - 1] == self.eos
            chosen = logits.argmax(-1).masked_fill(ended, self.eos)
            written[:, place] = torch.where(gap, chosen, written[:, place])
            if may_end and bool((ended | (chosen == self.eos)).all()) and bool((written[:, place + 1 :] == GAP).all()):
                written[:, place + 1 :] = self.eos
                break
        return written

    def sample(
        self,
        count: int,
        max_tokens: int = 96,
        temperature: float = 1.0,
        seed: int = 0,
        condition: str = "",
        batch: int = 100,
    ) -> list[str]:
        """`count` texts, after one condition or after none."""
        generator = torch.Generator().manual_seed(seed)
        prefix = [*(self.tokenizer.encode(condition) if condition else []), self.sep]
        texts: list[str] = []
        while len(texts) < count:
            known = torch.tensor([[*prefix, *[GAP] * max_tokens]] * min(batch, count - len(texts)))
            for row in self.write(known, temperature, generator=generator)[:, len(prefix) :].tolist():
                texts.append(self.tokenizer.decode(row[: row.index(self.eos)] if self.eos in row else row))
        return texts

    def infill(
        self, gapped: Sequence[Sequence[str | int]], temperature: float = 0.0, seed: int = 0, batch: int = 64
    ) -> list[list[str]]:
        """Fill gaps left to right. A text is a list of words (known) and numbers (a gap of that many tokens).

        A gap begins with a word: its first token opens with a space, as our pipeline's spans after a space do.
        """
        generator = torch.Generator().manual_seed(seed)
        fills: list[list[str]] = []
        for start in range(0, len(gapped), batch):
            rows, places = [], []
            for parts in gapped[start : start + batch]:
                row, gaps = [self.sep], []
                for part in parts:
                    ids = [GAP] * part if isinstance(part, int) else self.tokenizer.encode(part)
                    if isinstance(part, int):
                        gaps.append(slice(len(row), len(row) + part))
                    row += ids
                rows.append(row)
                places.append(gaps)
            known = torch.full((len(rows), max(map(len, rows))), self.tokenizer.pad_id)
            first = torch.zeros(known.shape, dtype=torch.bool)
            for line, opening, row, gaps in zip(known, first, rows, places, strict=True):
                line[: len(row)] = torch.tensor(row)
                opening[[gap.start for gap in gaps]] = True
            written = self.write(known, temperature, False, generator, first)
            for line, gaps in zip(written.tolist(), places, strict=True):
                fills.append([self.tokenizer.decode(line[gap]) for gap in gaps])
        return fills


def peer_config(vocabulary: int, options: TrainOptions) -> LlamaConfig:
    """A Llama with about `params` parameters in all: width from the size, the feed-forward width makes up the rest."""

    def feed_forward(width: int) -> int:
        rest = options.params - vocabulary * width - width
        return int((rest / options.layers - 4 * width**2 - 2 * width) / (3 * width))

    widths = [width for width in (16, *range(32, 4096, 32)) if feed_forward(width) >= 2 * width]
    if not widths:
        raise ValueError(
            f"{options.params:.0f} parameters are too few for {options.layers} layers and {vocabulary} tokens: "
            "give more --params or fewer --layers"
        )
    width = min(widths, key=lambda width: abs(feed_forward(width) - 8 / 3 * width) / width)
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=feed_forward(width),
        num_hidden_layers=options.layers,
        num_attention_heads=max(1, width // 32),
        head_dim=min(width, 32),
        max_position_embeddings=512,
        tie_word_embeddings=True,
        attention_dropout=options.dropout,
        initializer_range=width**-0.5 / 2,
        bos_token_id=None,
        eos_token_id=vocabulary - 1,
    )


@torch.no_grad()
def likelihood(peer: Peer, examples: Sequence[Example], conditional: bool = False, batch: int = 64) -> dict[str, float]:
    """Held-out negative log-likelihood in nats: of texts with their end, by text and by token (the end is a token).

    A bound that counts the end differently, as a tail of pad tokens, is compared by text: `nats_per_text`.
    """
    peer.model.eval()
    ordered = sorted(([*c] if conditional else [], text) for c, text in examples)
    ordered.sort(key=lambda example: len(example[0]) + len(example[1]))
    total = sum(float(peer.nats(ordered[i : i + batch]).double().sum()) for i in range(0, len(ordered), batch))
    tokens = sum(len(text) for _, text in ordered)
    return {
        "nats_per_token": total / (tokens + len(ordered)),
        "nats_per_text": total / len(ordered),
        "tokens_per_text": tokens / len(ordered),
        "texts": len(ordered),
    }


def fill_left_to_right(
    peer: Peer, texts: Sequence[str], share: float, judge: CausalJudge | None, temperature: float, seed: int
) -> dict[str, Any]:
    """Hide `share` of the words of each text and fill every gap with as many tokens as it had, from the left alone."""
    tasks = [hide_words(text, share, seed) for text in texts]
    gapped = []
    for task in tasks:
        parts: list[str | int] = []
        last = 0
        for (start, end), answer in zip(task.gaps, task.answers, strict=True):
            parts += [task.text[last:start].strip(), len(peer.tokenizer.encode(answer))]
            last = end
        gapped.append([part for part in [*parts, task.text[last:].strip()] if part != ""])
    fills = peer.infill(gapped, temperature, seed)
    return infilling_figures(tasks, fills, judge).to_dict()

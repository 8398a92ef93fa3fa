"""Self-test of somebody else's model on clean text: is the shift of its logits, and its attention, what is assumed?

A wrong shift gives text that looks fluent and is rubbish, and no error. On clean text with one position hidden the right shift
makes the true token far likelier than the other one.

Shape letters: B rows, L = 1 hidden position, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffusionlm.denoiser.contract import CANVAS, Piece, Places
from diffusionlm.diffusion import NoisyTokens
from diffusionlm.families.switches import Switches
from diffusionlm.families.token_model import TokenModel

TEXTS = (
    "The children were playing in the garden when it began to rain, so they ran into the house.",
    "She opened the door, looked at the clock and said that it was already too late for dinner.",
    "Most of the water on the planet is in the sea, and only a small part of it can be drunk.",
    "He has been the owner of the shop on the corner of the street for more than twenty years.",
)
HIDDEN = 8  # positions of each text that are hidden, one at a time
SURE = 0.5  # nats a token by which one shift must be likelier than the other to be told apart


@dataclass(frozen=True)
class SelfTest:
    """Findings of `run_self_test`.

    Attributes:
        shift: that is assumed.
        right: share of hidden tokens that the model finds, for shift 0 and 1.
        likelihood: mean log-probability of the hidden token, nats, for shift 0 and 1.
        reaction: largest change of a position's logits when the token after it changes.
    """

    shift: int
    right: tuple[float, float]
    likelihood: tuple[float, float]
    reaction: float

    def findings(self) -> list[str]:
        """Sentences."""
        out = [
            f"shift {shift}: {self.right[shift]:.0%} of the hidden tokens are found, {self.likelihood[shift]:.2f} nats a token"
            + (" (assumed)" if shift == self.shift else "")
            for shift in (0, 1)
        ]
        sees = "reacts" if self.reaction > 0 else "does not react"
        return [*out, f"token i {sees} to token i+1 (largest change of a logit: {self.reaction:.2g})"]

    def contradictions(self) -> list[str]:
        """Sentences on what is assumed and does not hold; none where nothing speaks against it."""
        out = []
        other = 1 - self.shift
        if self.likelihood[other] > self.likelihood[self.shift] + SURE:
            out.append(
                f"The logits fit shift={other} better than the assumed shift={self.shift} by "
                f"{self.likelihood[other] - self.likelihood[self.shift]:.1f} nats a token; load the model with shift={other}."
            )
        if not self.reaction > 0:
            out.append(
                "Token i does not react to token i+1: the attention is causal, so text after a span is not seen; this is no "
                "bidirectional model, or its attention backend ignores the mask (load it with attn_implementation='sdpa')."
            )
        return out


def run_self_test(model: Any, tokenizer: Any, texts: Sequence[str] = TEXTS) -> SelfTest:
    """Hides tokens of clean text one at a time and looks how well each shift finds them.

    Args:
        model: a network over tokens behind the contract.
        tokenizer: its tokenizer.
        texts: clean texts of a kind that the model knows.

    Raises:
        ValueError: for a model that is none over tokens: there is nothing to be wrong about.
    """
    if not isinstance(model, TokenModel):
        raise ValueError(
            "The self-test is for somebody else's network over tokens, where shift and attention can be assumed wrongly; this "
            "model is none."
        )
    found: list[tuple[Tensor, Tensor]] = []
    reaction = 0.0
    for text in texts:
        ids = torch.tensor(tokenizer.encode(text)[: model.max_length], dtype=torch.long)
        hidden = torch.linspace(1, len(ids) - 2, min(HIDDEN, max(len(ids) - 2, 1))).round().long().unique()
        logits = _logits(model, ids, hidden)
        found.append((logits.log_softmax(-1), ids[hidden]))
        reaction = max(reaction, _reaction(model, ids, int(hidden[0])))
    right, likelihood = [], []
    for shift in (0, 1):
        likelihood.append(float(torch.cat([p[shift].gather(-1, t[:, None])[:, 0] for p, t in found]).mean()))
        right.append(float(torch.cat([(p[shift].argmax(-1) == t).float() for p, t in found]).mean()))
    return SelfTest(model.switches.shift, (right[0], right[1]), (likelihood[0], likelihood[1]), reaction)


def _logits(model: TokenModel, ids: Tensor, hidden: Tensor, shown: Tensor | None = None) -> Tensor:
    """Logits for shift 0 and 1 (2, B, V), one of the positions (B,) hidden in each row; tokens may differ by row (B, N)."""
    rows, size, device = len(hidden), len(ids), model.device
    text = ids.expand(rows, -1) if shown is None else shown
    used = torch.ones(rows, 1, dtype=torch.bool, device=device)
    places = Places(used, hidden[:, None].to(device), torch.zeros_like(used), (size,) * rows)
    context = []
    for row, at in enumerate(hidden.tolist()):
        known = torch.tensor([i for i in range(size) if i != at])
        context.append([Piece(CANVAS, row, known, text[row, known])])
    sheet = model.condition(context, places)
    tokens = text.gather(1, hidden[:, None]).to(device)
    if model.mask_id is not None:
        tokens = torch.full_like(tokens, model.mask_id)
    noisy = NoisyTokens(tokens, used, used)
    gamma = torch.tensor(-3.0, device=device)
    at = torch.cat([sheet.at, (sheet.at - 1).clamp_min(0)], dim=1)
    switches = Switches(model.switches.corruption, 0, model.switches.attention, model.switches.time)
    with torch.no_grad():
        out = model.network.logits(sheet.written(noisy.ids, places.span_mask), sheet, at, gamma, switches)
    out = out.float().cpu()
    return torch.stack([out[:, 0], out[:, 1]])


def _reaction(model: TokenModel, ids: Tensor, at: int) -> float:
    """Largest change of a hidden position's logits when the token after it becomes another, within a block of attention."""
    block = model.switches.block
    if block is not None and (at + len(model.frame.prefix) + 1) % block == 0:
        at += 1
    changed = ids.clone()
    changed[at + 1] = ids[0] if ids[0] != ids[at + 1] else ids[2]
    both = _logits(model, ids, torch.tensor([at, at]), torch.stack([ids, changed]))[model.switches.shift]
    return float((both[0] - both[1]).abs().max())

"""Inversion: vectors of a concept learned from a few texts, every weight of the model frozen.

Sources: Gal et al. 2022, section 4.2 ("An image is worth one word"); here the loss is the cross-entropy that the model itself
was trained by. The vectors are keys and values that the spans attend to in every block (Li and Liang 2021, "Prefix-tuning"):
learned as embeddings, which the blocks would encode, they say only what the weights know how to copy, and a new name is not
among it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffusionlm.context.concept import LearnedConcept, check_name
from diffusionlm.context.encoders import fingerprint
from diffusionlm.denoiser import CANVAS, CONCEPT, PROMPT, Piece, Places
from diffusionlm.denoiser.copy_bias import CopyBias
from diffusionlm.diffusion import Draws, Posterior, cross_entropy, draw_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INFILL_SHARE = 0.25
MOST_VECTORS = 1000
_FASTEST = 1e30  # what Adam multiplies by it still is a number of 32 bits


def learn_concept(
    pipe: Any,
    name: str,
    texts: Sequence[str],
    vectors: int = 40,
    steps: int = 400,
    learning_rate: float = 0.15,
    batch_size: int = 8,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> LearnedConcept:
    """Learns what some texts have in common.

    Args:
        pipe: whose model writes; none of its weights changes.
        name: of the concept.
        texts: 3 to 5 examples are usual.
        vectors: N, how many positions of memory stand for it.
        steps: of Adam.
        learning_rate: of Adam; falls to 0 by a cosine.
        batch_size: texts of a step.
        seed: of all draws.
        on_step: called with step and loss.

    Returns:
        The concept.

    Raises:
        ValueError: if an argument is out of range, a text is empty or too long, or the model reads no concepts.
    """
    from diffusionlm.context.source import check_readable

    check_name(name)
    model = pipe.model
    check_readable(model, CONCEPT, "concept")
    for label, value in {"vectors": vectors, "steps": steps, "batch_size": batch_size}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{label} must be an integer of at least 1, got {value!r}.")
    if vectors > MOST_VECTORS:
        raise ValueError(f"vectors must be at most {MOST_VECTORS:,}, got {vectors:,}; 40 are usual.")
    number = isinstance(learning_rate, int | float) and not isinstance(learning_rate, bool)
    if not (number and 0 < learning_rate <= _FASTEST):
        raise ValueError(f"learning_rate must be a positive number of at most {_FASTEST:g}, got {learning_rate!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an integer that is not negative, got {seed!r}.")
    ids = _encoded(pipe, texts)
    rng = np.random.default_rng(seed)
    learned, copies = _first(pipe, ids, vectors).requires_grad_(), CopyBias.of_examples(ids)
    frozen = [(weight, weight.requires_grad) for weight in pipe.denoiser.parameters()]
    optimizer = torch.optim.Adam([learned], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    try:
        for weight, _ in frozen:
            weight.requires_grad_(False)
        with torch.enable_grad():
            for step in range(steps):
                drawn = [ids[i] for i in rng.integers(len(ids), size=batch_size)]
                loss = _loss(pipe, drawn, learned, step, seed, rng, copies)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
                if on_step is not None:
                    on_step(step, losses[-1])
    finally:
        for weight, required in frozen:
            weight.requires_grad_(required)
    if not bool(torch.isfinite(learned).all()):
        raise ValueError(
            f"Learning went astray: the vectors are no finite numbers. Give a smaller learning_rate than {learning_rate:g}."
        )
    few = max(1, steps // 10)
    card = {
        "examples": len(ids),
        "steps": steps,
        "loss_first": round(float(np.mean(losses[:few])), 4),
        "loss_last": round(float(np.mean(losses[-few:])), 4),
        "weights": pipe.card.get("summary", ""),
    }
    return LearnedConcept(name, learned.detach().cpu().float(), fingerprint(pipe.denoiser), card, copies)


def _encoded(pipe: Any, texts: Sequence[str]) -> list[list[int]]:
    if isinstance(texts, str) or not texts:
        raise ValueError(f"texts must be a list of at least one example, got {texts!r}.")
    out, longest = [], pipe.model.max_length
    for number, text in enumerate(texts):
        ids = pipe.tokenizer.encode(text.strip()) if isinstance(text, str) and text.strip() else []
        if not ids:
            raise ValueError(f"Example {number} is empty or no text: {text!r}.")
        if len(ids) > longest:
            raise ValueError(f"Example {number} has {len(ids)} tokens, the model takes {longest}: shorten it.")
        out.append(ids)
    return out


@torch.no_grad()
def _first(pipe: Any, rows: list[list[int]], count: int) -> Tensor:
    """Keys and values (N, memory_size) to begin with: of the tokens that most examples share, the rarer ones first.

    They are encoded as a prompt is, side by side in the order of the text.
    """
    shared = Counter(token for row in rows for token in set(row))
    place = {token: at for row in reversed(rows) for at, token in enumerate(row)}  # in the first example that has it
    best = sorted(shared, key=lambda token: (-shared[token], -token))[
        :count
    ]  # tokens of BPE stand by how common they are
    tokens = (sorted(best, key=place.__getitem__) * count)[:count]
    model = pipe.model
    ids, at = torch.tensor([tokens], device=model.device), torch.arange(-count, 0, device=model.device)[None]
    memory = model.denoiser.encode_context(ids, None, None, at, PROMPT)
    return model.as_numbers(memory)[0, -count:].float()


def _loss(
    pipe: Any,
    rows: list[list[int]],
    learned: Tensor,
    step: int,
    seed: int,
    rng: np.random.Generator,
    copies: CopyBias | None = None,
) -> Tensor:
    """Cross-entropy of whole texts, or of a gap in each, under noise of all levels; half of the steps self-conditioned."""
    model, pad = pipe.model, pipe.tokenizer.pad_id
    whole = rng.random() >= _INFILL_SHARE
    longest = max(map(len, rows))
    limit = int(rng.integers(longest, max(longest, pipe.max_length) + 1)) if whole else longest
    limit = min(limit, model.max_length)
    target, mask, open_mask = [], [], []
    for ids in rows:
        if whole:
            target.append(ids + [pad] * (limit - len(ids)))
            mask.append([True] * limit)
        else:
            length = int(rng.integers(1, len(ids) + 1))
            first = int(rng.integers(0, len(ids) - length + 1))
            target.append(ids + [pad] * (limit - len(ids)))
            mask.append([first <= at < first + length for at in range(limit)])
        open_mask.append([whole] * limit)
    device = model.device
    span_ids, span_mask = torch.tensor(target, device=device), torch.tensor(mask, device=device)
    positions = torch.arange(limit, device=device).expand(len(rows), -1)
    places = Places(span_mask, positions, torch.tensor(open_mask, device=device), (limit,) * len(rows))
    before = torch.arange(-len(learned), 0)
    context = []
    for number, ids in enumerate(rows):
        pieces = [Piece(CONCEPT, "learned", before, raw=learned, copies=copies)]
        if not whole:
            known = torch.tensor([at for at in range(len(ids)) if not mask[number][at]], dtype=torch.long)
            pieces.append(Piece(CANVAS, number, known, torch.tensor(ids)[known]))
        context.append(pieces)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    gamma = pipe.schedule.gamma(draw_progress(len(rows), generator)).float().to(device)
    draws = Draws([seed + step] * len(rows), list(range(len(rows))), [limit] * len(rows), device)
    noisy = model.corrupt(span_ids, span_mask, gamma, draws)
    condition = model.condition(context, places)
    previous = None
    if rng.random() < 0.5:
        with torch.no_grad():
            first_pass = model.log_posterior(noisy, gamma, condition, places, None)
            previous = Posterior(first_pass.log_softmax(-1), model.embeddings())
    logits = model.log_posterior(noisy, gamma, condition, places, previous)
    counted = span_mask & noisy.undecided
    return cross_entropy(logits, span_ids, counted).mean()

"""Contrast of images and sounds with the texts of a batch, so that their encoders learn before the denoiser can read them.

Until the denoiser has learnt to read a piece, what an encoder says of it is noise to it, and the gradient lessens that
noise: the encoder ends as a constant, which nothing can be learnt from any more. So an encoder also learns on its own to
tell which of the texts of a batch belongs to a piece: the scores are inner products of the piece's mean vector and the
text's token embeddings. To hold the spread over pieces alone (a hinge on the variance) is not enough: it stays, and says
nothing of the text.

Sources: Radford et al. 2021 ("CLIP", the contrast in a batch), Yu et al. 2022 ("CoCa", beside the loss of the text).

Shape letters: B rows, N patches, D embedding size, T tokens of a text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffusionlm.denoiser import SpanDenoiser

FIGURE = "media_contrast"
WEIGHT = 1.0  # beside the nats per token
_EQUAL = 1e-3  # distance of texts that are the same
_NEVER = -1e4  # log probability; finite, so that a batch of no piece has a gradient


def bags(denoiser: SpanDenoiser, ids: Tensor, mask: Tensor) -> Tensor:
    """Texts as sums of their tokens' embeddings (B, D), of the length of one embedding if the tokens are unrelated.

    Args:
        denoiser: whose embeddings; they get no gradient.
        ids: (B, T).
        mask: (B, T) bool, tokens in use; pads are left out.
    """
    used = (mask & (ids != denoiser.config.pad_token_id))[..., None].float()
    total = (denoiser.embed(ids).detach() * used).sum(1)
    return total / used.sum(1).clamp(min=1).sqrt()


def contrast(read: Tensor, mask: Tensor, texts: Tensor) -> Tensor:
    """Cross-entropy, nats, of the text that belongs to a piece among the texts of the rows that have one.

    Args:
        read: (B, N, D), see ``MediaEncoder``.
        mask: (B, N) bool, patches in use; a row without any has no piece.
        texts: (B, D), see `bags`; rows of one text are equal, and any of them is right.

    Returns:
        Scalar; 0 where no two rows differ in text, for there is nothing to tell.
    """
    rows = mask.any(1)
    weight = mask[..., None].float()
    pieces = (read.float() * weight).sum(1) / weight.sum(1).clamp(min=1)
    same = torch.cdist(texts, texts, compute_mode="donot_use_mm_for_euclid_dist") < _EQUAL
    logs = F.log_softmax((pieces @ texts.T).float().masked_fill(~rows, _NEVER), dim=-1)
    right = logs.masked_fill(~(same & rows), _NEVER).logsumexp(-1)
    return -(right * rows).sum() / rows.sum().clamp(min=1)


def media_figures(
    denoiser: SpanDenoiser, read: Mapping[str, Tensor], context: Mapping[str, Tensor], span: tuple[Tensor, Tensor]
) -> dict[str, Tensor]:
    """The contrast summed over the kinds that a batch has; empty where it has none.

    Args:
        denoiser: see `bags`.
        read: what the encoders say, by kind.
        context: see ``SpanBatch.context``.
        span: ids and mask of the spans; with the known ones they are the text.
    """
    if not read:
        return {}
    ids = torch.cat((context["known_ids"], span[0]), dim=1)
    texts = bags(denoiser, ids, torch.cat((context["known_mask"], span[1]), dim=1))
    found = [contrast(vectors, context[f"{kind}_mask"], texts) for kind, vectors in read.items()]
    return {FIGURE: torch.stack(found).sum()}

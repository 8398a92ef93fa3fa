"""Ends of open spans under a masked process, drawn before anything else is decided.

Shape letters: B rows, L span positions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from diffusionlm.denoiser import Places
    from diffusionlm.diffusion import Draws, NoisyTokens, Posterior


def decide_ends(
    posterior: Posterior, noisy: NoisyTokens, places: Places, pad_id: int, draws: Draws
) -> tuple[Posterior, NoisyTokens]:
    """The text in which open spans have their length and the pads behind them are decided, and the posterior given that.

    Before anything is decided, the probability of a pad at a position is that of a text which has ended there: the model's
    own distribution of lengths, from which one number for each span draws exactly. Left to the order in which tokens are
    decided, the end comes too soon: pads are surer than words, so an end that is drawn is kept and one that is not is drawn
    again. Under rules that hold together the end is that of a text drawn under them.

    Args:
        posterior: of the first step.
        noisy: the text before anything is decided.
        places: of the spans.
        pad_id: the token behind an end.
        draws: random numbers of the batch.
    """
    uniform = draws.uniform()
    if posterior.joint_draws:
        ends = posterior.draw(uniform) == pad_id
    else:
        spans = places.spans
        begins = torch.diff(spans, prepend=torch.zeros_like(spans[:, :1]), dim=1) > 0
        at = torch.where(begins, torch.arange(spans.shape[1], device=spans.device), 0).cummax(-1).values
        ends = posterior.probs[..., pad_id].double() > uniform.gather(1, at)
    ended = places.behind(ends & noisy.undecided & places.open_mask)
    noisy = replace(noisy, ids=noisy.ids.masked_fill(ended, pad_id), undecided=noisy.undecided & ~ended, ended=ended)
    return posterior.ending(ended, noisy.undecided, pad_id), noisy

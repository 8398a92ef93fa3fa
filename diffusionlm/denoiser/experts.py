"""Feed-forward layers: dense SwiGLU, and a mixture of SwiGLU experts with a top-k router.

The expert matmuls go through transformers' experts interface ("eager", "batched_mm", "grouped_mm", ... chosen by
``config._experts_implementation``). Sources: Shazeer 2020 (SwiGLU), Shazeer et al. 2017 (routing), Fedus et al. 2021
(load balancing), Zoph et al. 2022 (router z-loss).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN
from transformers.integrations.moe import use_experts_implementation

if TYPE_CHECKING:
    from diffusionlm.denoiser.configuration import DenoiserConfig


@dataclass(frozen=True)
class RouterStatistics:
    """Figures of one router on one pass; all scalars but ``load``.

    Attributes:
        load_balancing_loss: E sum_e f_e p_e; 1 when balanced.
        z_loss: mean of (logsumexp of the router's logits)².
        load: (E,) share of the token-expert pairs that each expert received.
        entropy: mean entropy of the router's distribution, nats.
    """

    load_balancing_loss: Tensor
    z_loss: Tensor
    load: Tensor
    entropy: Tensor


class SwiGLU(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> tuple[Tensor, None]:
        """(B, L, W) -> (B, L, W), no statistics; ``mask`` is for the router alone."""
        gate, up = self.gate_up_proj(hidden).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up), None


class Router(nn.Module):
    """Chooses the top-k experts of each token; weights are the renormalised softmax over those k."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.num_experts, self.top_k = config.num_experts, config.num_experts_per_tok
        self.weight = nn.Parameter(torch.empty(config.num_experts, config.hidden_size))

    def forward(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, RouterStatistics]:
        """Routes.

        Args:
            tokens: (T, W).
            mask: (T,) bool, tokens that count in the statistics; None counts all.

        Returns:
            Expert indices (T, k), weights (T, k), statistics.
        """
        with torch.autocast(tokens.device.type, enabled=False):  # close scores must not tie in half precision
            logits = F.linear(tokens.float(), self.weight.float())
        probs = logits.softmax(-1)
        top, index = probs.topk(self.top_k, dim=-1)
        weights = (top / top.sum(-1, keepdim=True)).to(tokens.dtype)
        count = torch.ones_like(logits[:, 0]) if mask is None else mask.to(logits.dtype)
        total = count.sum().clamp(min=1)
        chosen = torch.zeros_like(probs).scatter(-1, index, 1.0) * count[:, None]
        load = chosen.sum(0) / (total * self.top_k)
        mean = (probs * count[:, None]).sum(0) / total
        z = (torch.logsumexp(logits, -1).square() * count).sum() / total
        entropy = (torch.special.entr(probs).sum(-1) * count).sum() / total
        balance = self.num_experts * (load.detach() * mean).sum()
        return index, weights, RouterStatistics(balance, z, load.detach(), entropy.detach())


@use_experts_implementation
class Experts(nn.Module):
    """Weights of all experts as 3-dimensional tensors, in the layout that the experts interface expects."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.num_experts = config.num_experts
        self.hidden_dim, self.intermediate_dim = config.hidden_size, config.moe_intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(self.num_experts, 2 * self.intermediate_dim, self.hidden_dim))
        self.down_proj = nn.Parameter(torch.empty(self.num_experts, self.hidden_dim, self.intermediate_dim))
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """The reference ("eager"): one expert after another over its own tokens; (T, W) -> (T, W)."""
        out = torch.zeros_like(hidden_states)
        for expert in range(self.num_experts):
            token, slot = torch.where(top_k_index == expert)
            gate, up = F.linear(hidden_states[token], self.gate_up_proj[expert]).chunk(2, dim=-1)
            current = F.linear(self.act_fn(gate) * up, self.down_proj[expert])
            out.index_add_(0, token, (current * top_k_weights[token, slot, None]).to(out.dtype))
        return out


class MixtureOfExperts(nn.Module):
    """Router and experts; cost of a token depends on k, not on the number of experts."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.router = Router(config)
        self.experts = Experts(config)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> tuple[Tensor, RouterStatistics]:
        """(B, L, W), mask (B, L) bool or None -> (B, L, W) and the router's statistics."""
        tokens = hidden.flatten(0, 1)
        index, weights, statistics = self.router(tokens, None if mask is None else mask.flatten())
        return self.experts(tokens, index, weights).view_as(hidden), statistics

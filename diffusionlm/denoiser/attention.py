"""Attention of queries over keys that stand side by side: memory first, then the queries' own positions.

The backend is a name of transformers' attention interface. Each backend wants its mask in its own form, and what it
cannot honour (ALiBi under flash attention, a missing package, no GPU) is an error, never a silent change of result.

Shape letters: B batch, H heads, L queries, S keys, W width.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from diffusionlm.denoiser.attention_check import check_result
from diffusionlm.denoiser.norms import RMSNorm
from diffusionlm.denoiser.positions import Rotation, rotate
from diffusionlm.errors import did_you_mean

if TYPE_CHECKING:
    from diffusionlm.denoiser.configuration import DenoiserConfig
    from diffusionlm.denoiser.memory import BlockMemory

BACKENDS = ("sdpa", "eager", "flex_attention", "flash_attention_2", "flash_attention_3")
_FLASH_MODULES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}


def check_backend(name: str, position_kind: str = "rope") -> str:
    """Returns ``name`` if this process can run it.

    Raises:
        ValueError: for an unknown backend, or one that cannot carry ALiBi's bias.
        ImportError: if its package is missing.
        RuntimeError: if it needs a GPU and there is none.
    """
    if name not in BACKENDS:
        hint = did_you_mean(name, BACKENDS)
        raise ValueError(f"Unknown attention backend {name!r}; allowed are {', '.join(BACKENDS)}.{hint}")
    if name in _FLASH_MODULES:
        if position_kind == "alibi":
            raise ValueError(f"{name} cannot add ALiBi's bias; use attn_implementation='sdpa' or position_kind='rope'.")
        if not torch.cuda.is_available():
            raise RuntimeError(f"{name} needs a CUDA GPU and this machine has none; use attn_implementation='sdpa'.")
        if importlib.util.find_spec(_FLASH_MODULES[name]) is None:
            raise ImportError(
                f"{name} needs the package {_FLASH_MODULES[name]!r}: pip install 'diffusionlm-toolkit[flash]', "
                "or use attn_implementation='sdpa'."
            )
    return name


def prepare_mask(
    backend: str, key_mask: Tensor | None, bias: Tensor | None, query_length: int, dtype: torch.dtype
) -> Any:
    """The mask in the form that ``backend`` wants, computed once and shared by all blocks.

    Args:
        backend: a name in `BACKENDS`.
        key_mask: (B, S) bool, True where a key may be attended; None if all may.
        bias: ALiBi (B, H, L, S), or None.
        query_length: L.
        dtype: of the queries, half precision under autocast.

    Returns:
        None, a bool or additive tensor (B, 1 or H, L, S), a padding mask (B, S), or a flex BlockMask. Flash attention
        reads the last L columns of its padding mask as the mask of the queries, which is what they are here: its output
        is zero at positions not in use, where the other backends give values that nobody reads.

    Raises:
        ValueError: for an unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"Unknown attention backend {backend!r}; allowed are {', '.join(BACKENDS)}.")
    if backend in _FLASH_MODULES:
        return key_mask
    if bias is not None:
        bias = bias.to(dtype)
        if key_mask is not None:
            bias = bias.masked_fill(~key_mask[:, None, None, :], torch.finfo(dtype).min)
        return bias
    if key_mask is None:
        return None
    if backend == "flex_attention":
        from torch.nn.attention.flex_attention import create_block_mask

        def attended(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return key_mask[b, k]

        batch, keys = key_mask.shape
        return create_block_mask(attended, batch, None, query_length, keys, device=str(key_mask.device))
    return key_mask[:, None, None, :].expand(-1, 1, query_length, -1)


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """The reference in plain operations: softmax(q k^T scaling + mask) v (B, L, H, head_dim), and the weights."""
    scores = (query @ key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        if attention_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
        else:
            scores = scores + attention_mask
    weights = scores.float().softmax(-1).to(query.dtype)
    return (weights @ value).transpose(1, 2), weights


class JointAttention(nn.Module):
    """Attention of positions over [memory, themselves]; RMS norm on queries and keys (Henry et al. 2020)."""

    is_causal = False

    def __init__(self, config: DenoiserConfig, layer_idx: int) -> None:
        super().__init__()
        self.config: Any = config
        self.layer_idx = layer_idx
        self.num_heads, self.head_dim = config.num_attention_heads, config.head_dim
        self.scaling = self.head_dim**-0.5
        width = config.hidden_size
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.q_norm = RMSNorm(self.head_dim, eps=config.rms_norm_eps)
        self.k_norm = RMSNorm(self.head_dim, eps=config.rms_norm_eps)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def forward(
        self,
        hidden: Tensor,
        mask: Any,
        rotation: Rotation | None,
        memory: BlockMemory | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Attends.

        Args:
            hidden: (B, L, W).
            mask: from `prepare_mask`, over S = M + L keys.
            rotation: RoPE's cos and sin for the L positions, or None.
            memory: what this block remembers, or None.

        Returns:
            (B, L, W), and the keys and values (B, H, L, head_dim) of these positions.
        """
        query = self.q_norm(self._heads(self.q_proj(hidden)))
        key = self.k_norm(self._heads(self.k_proj(hidden)))
        value = self._heads(self.v_proj(hidden))
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        own = (key, value)
        if memory is not None:
            key, value = memory.join(key, value)
        backend = self.config._attn_implementation
        self._check_runnable(backend, query)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(backend, eager_attention)
        given, extra = mask, {}
        if backend == "flex_attention" and isinstance(mask, Tensor):  # flex reads a bias of each head from here only
            mask, extra = None, {"position_bias": mask}
        mixed, _ = attend(self, query, key, value, mask, dropout=0.0, scaling=self.scaling, is_causal=False, **extra)
        check_result(
            backend,
            lambda dense: eager_attention(self, query.detach(), key.detach(), value.detach(), dense, self.scaling)[0],
            mixed,
            given,
            query,
            key,
        )
        return self.o_proj(mixed.flatten(2)), own

    @staticmethod
    def _check_runnable(backend: str, query: Tensor) -> None:
        """Checks that only a call permits: dtype, device, gradients."""
        if backend == "flex_attention" and query.device.type == "cpu" and query.requires_grad:
            raise RuntimeError(
                "flex_attention has no backward pass on a CPU: train with attn_implementation='sdpa', or call the "
                "denoiser under torch.no_grad()."
            )
        if backend in _FLASH_MODULES and query.dtype not in (torch.float16, torch.bfloat16):
            raise ValueError(
                f"{backend} computes in half precision only, the denoiser runs in {query.dtype}: load it with "
                "dtype=torch.bfloat16 or call it under torch.autocast."
            )

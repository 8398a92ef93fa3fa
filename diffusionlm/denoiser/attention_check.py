"""Check that an attention backend computes on this machine what the reference computes.

A kernel may be wrong on one kind of processor and right on another (PyTorch's compiled ``flex_attention`` on x86 without
AVX-512, for small heads), and wrong logits still make text. So the first result of every backend is compared with the
reference on the very same input; of compiled kernels, which are made for each shape, the first of each shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_COMPILED = ("flex_attention",)
_TOLERANCE = {torch.float32: 1e-2, torch.float64: 1e-4}  # of the largest value; wrong kernels miss by far more
_HALF = 6e-2
_verdicts: dict[tuple[Any, ...], str] = {}  # what was found out in this process; "" is good


def check_result(
    backend: str,
    reference: Callable[[Any], Tensor],
    mixed: Tensor,
    mask: Any,
    query: Tensor,
    key: Tensor,
) -> None:
    """Compares a backend's result with the reference, the first time of its kind in this process.

    Args:
        backend: its name.
        reference: the same attention in plain operations: dense mask -> (B, L, H, head_dim).
        mixed: the backend's result (B, L, H, head_dim).
        mask: as `prepare_mask` made it, or ALiBi's bias.
        query: (B, H, L, head_dim).
        key: (B, H, S, head_dim).

    Raises:
        ValueError: if it differs, and ever after where it would be used alike.
    """
    if backend == "eager" or torch.compiler.is_compiling():
        return
    kind: tuple[Any, ...] = (backend, query.device.type, query.dtype, query.shape[-1])
    if backend in _COMPILED:
        kind = (*kind, query.shape, key.shape, type(mask), torch._dynamo.eval_frame._stance.stance)
    if kind not in _verdicts:
        dense = _dense(mask, query, key)
        used = _used(dense, mask, query)
        if not bool(used.any()):
            return
        with torch.no_grad():
            expected = reference(dense)[used]
            error = (mixed.detach()[used].float() - expected.float()).abs().max()
            worst = float(error / expected.float().abs().max().clamp_min(1e-6))
        good = worst <= _TOLERANCE.get(query.dtype, _HALF)  # False for NaN
        _verdicts[kind] = "" if good else f"{worst:.2g} of the largest value"
    if _verdicts[kind]:
        raise ValueError(
            f"The attention backend {backend} computes wrong numbers on this machine ({query.device.type}, {query.dtype}): it "
            f"is off the reference by {_verdicts[kind]}; use attn_implementation='sdpa'."
        )


def _dense(mask: Any, query: Tensor, key: Tensor) -> Tensor | None:
    """The mask as the reference takes it: bool or additive, (B, 1 or H, L, S)."""
    if mask is None:
        return None
    if not isinstance(mask, Tensor):  # a BlockMask
        from torch.nn.attention.flex_attention import create_mask

        shape = (query.shape[0], None, query.shape[2], key.shape[2])
        return create_mask(mask.mask_mod, *shape, device=str(query.device))
    if mask.dim() == 2:  # flash attention's padding mask (B, S)
        return mask.bool()[:, None, None, :].expand(-1, 1, query.shape[2], -1)
    return mask


def _used(dense: Tensor | None, mask: Any, query: Tensor) -> Tensor:
    """Mask of queries that have anything to look at, (B, L); backends agree on no others."""
    if dense is None:
        return torch.ones(query.shape[0], query.shape[2], dtype=torch.bool, device=query.device)
    allowed = dense if dense.dtype == torch.bool else dense > torch.finfo(dense.dtype).min / 2
    used = allowed.any(-1).all(1)
    if isinstance(mask, Tensor) and mask.dim() == 2:
        used = used & mask.bool()[:, -query.shape[2] :]
    return used

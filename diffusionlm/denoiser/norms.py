"""RMS norm that keeps to the dtype of its input (Zhang and Sennrich 2019)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class RMSNorm(nn.RMSNorm):
    """`torch.nn.RMSNorm` whose weight is cast to the input's dtype: the fused kernel then runs under autocast too."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., W) -> (..., W)."""
        weight = None if self.weight is None else self.weight.to(x.dtype)
        return F.rms_norm(x, self.normalized_shape, weight, self.eps)

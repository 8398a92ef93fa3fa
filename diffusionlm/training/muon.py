"""`Muon` whose Newton-Schulz iteration runs in the precision that the machine is fast in, on matrices of one shape at once.

torch's own always iterates in bfloat16, one matrix at a time: on a processor without matrix units that is half of a step.

Sources: Jordan et al. 2024 (Muon, coefficients), Liu et al. 2025 ("Muon is scalable", the scaling of its steps to AdamW's).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from diffusionlm.training.precision import faster_dtype

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_SMALLEST = 1e-7


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, with Nesterov's look ahead and decoupled weight decay.

    The state is that of ``torch.optim.Muon`` (``momentum_buffer``): checkpoints of one can be continued with the other.

    Args:
        params: matrices, or stacks of them (such as those of experts, each a matrix of its own).
        lr: step, scaled so that its root mean square is that of AdamW.
        weight_decay: decoupled.
        momentum: share of the old momentum that is kept.
        dtype: of the iteration; None takes the faster of float32 and bfloat16 on the device of the parameters.

    Raises:
        ValueError: if a parameter has fewer than two dimensions.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() < 2:
                    raise ValueError(f"Muon steps matrices, got a parameter of the shape {tuple(parameter.shape)}.")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what ``closure`` does, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[tuple[torch.Size, torch.device], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape, parameter.device].append(parameter)
            for parameters in alike.values():
                self._step_alike(parameters, group)
        return loss

    def _step_alike(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter.grad)  # type: ignore[arg-type]
        momenta = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
        dtype = self.dtype or faster_dtype(parameters[0].device)
        stacked = torch.stack(ahead)
        flat = orthogonalised(stacked.flatten(0, -3), dtype).to(parameters[0].dtype)
        steps = flat.view_as(stacked).unbind()
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, list(steps), alpha=-0.2 * max(parameters[0].shape[-2:]) ** 0.5 * group["lr"])


def orthogonalised(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The nearly orthogonal matrices next to ``matrices`` (N, rows, columns): singular values between 0.5 and 1.5.

    Args:
        matrices: in any floating-point type.
        dtype: of the iteration and of what is returned.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_SMALLEST)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def operations_of_step(parameters: Iterable[Tensor]) -> int:
    """Floating-point operations that the iteration costs for matrices of these shapes."""
    total = 0
    for parameter in parameters:
        short, long = sorted(parameter.shape[-2:])
        total += parameter.shape[:-2].numel() * _ITERATIONS * (4 * short * short * long + 2 * short**3)
    return total

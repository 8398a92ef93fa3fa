"""Fits the information-uniform schedule to the losses that training observes.

The expected cross-entropy at noise level gamma is modelled by H exp(-exp(-(gamma - mu) / beta)). Observations are kept
as decayed sums in bins of gamma, so the state is small, exact to resume, and follows the model while it improves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from diffusionlm.diffusion.schedule import InformationSchedule


class InformationRegression(nn.Module):
    """Running least squares of the cross-entropy curve; its state travels in the training checkpoint.

    Args:
        schedule: where to start.
        decay: factor by which old observations lose weight at each `observe`.
        num_bins: bins over [gamma_min, gamma_max].
        prior_weight: weight, in observations, that holds log beta near its last value while data is scarce.
    """

    counts: Tensor
    sums: Tensor
    parameters_fitted: Tensor

    def __init__(
        self,
        schedule: InformationSchedule | None = None,
        decay: float = 0.999,
        num_bins: int = 128,
        prior_weight: float = 1.0,
    ) -> None:
        super().__init__()
        schedule = schedule or InformationSchedule()
        if not 0 < decay <= 1:
            raise ValueError(f"decay must lie in (0, 1], got {decay}.")
        self.gamma_min, self.gamma_max = schedule.gamma_min, schedule.gamma_max
        self.decay, self.num_bins, self.prior_weight = decay, num_bins, prior_weight
        self.register_buffer("counts", torch.zeros(num_bins, dtype=torch.float64))
        self.register_buffer("sums", torch.zeros(num_bins, dtype=torch.float64))
        # mu, log beta, H (0: not fitted yet)
        start = torch.tensor([schedule.mu, math.log(schedule.beta), 0.0], dtype=torch.float64)
        self.register_buffer("parameters_fitted", start)

    @torch.no_grad()
    def observe(self, gamma: Tensor, loss: Tensor, weight: Tensor | None = None) -> None:
        """Adds observed losses.

        Args:
            gamma: noise levels (B,).
            loss: mean cross-entropy of each sample (B,), nats per token.
            weight: tokens behind each mean (B,); 1 each if left out.

        Raises:
            ValueError: if a loss is not finite.
        """
        if not bool(torch.isfinite(loss).all()):
            raise ValueError("A training loss is not finite; the schedule cannot be fitted to it.")
        gamma, loss = gamma.detach().double(), loss.detach().double()
        weight = torch.ones_like(loss) if weight is None else weight.double()
        position = (gamma - self.gamma_min) / (self.gamma_max - self.gamma_min) * self.num_bins
        index = position.long().clamp(0, self.num_bins - 1).to(self.counts.device)
        self.counts.mul_(self.decay).index_add_(0, index, weight.to(self.counts.device))
        self.sums.mul_(self.decay).index_add_(0, index, (weight * loss).to(self.counts.device))

    @torch.no_grad()
    def fit(self, iterations: int = 30) -> InformationSchedule:
        """Levenberg-Marquardt over (mu, log beta, H) on the bin means, weighted by the bins' counts."""
        seen = self.counts > 1e-6
        if int(seen.sum()) < 4:
            return self.schedule()
        width = (self.gamma_max - self.gamma_min) / self.num_bins
        gamma = (self.gamma_min + width * (torch.arange(self.num_bins, dtype=torch.float64) + 0.5))[seen.cpu()]
        counts, sums = self.counts[seen].cpu(), self.sums[seen].cpu()
        target, weight = sums / counts, counts / counts.sum()
        prior = self.prior_weight / (self.prior_weight + counts.sum())
        theta = self.parameters_fitted.cpu().clone()
        anchor = theta[1].clone()
        if theta[2] <= 0:
            theta[2] = target.max().clamp(min=1e-3)
        damping = 1e-3

        def residuals(theta: Tensor) -> tuple[Tensor, Tensor]:
            beta = theta[1].exp()
            scaled = (gamma - theta[0]) / beta
            inner = torch.exp(-scaled.clamp(-50, 50))
            curve = torch.exp(-inner)
            slope = theta[2] * curve * inner / beta
            jacobian = torch.stack([-slope, -slope * scaled * beta, curve], dim=1)
            root = weight.sqrt()
            value = torch.cat([root * (theta[2] * curve - target), (prior**0.5 * (theta[1] - anchor)).reshape(1)])
            last = torch.tensor([[0.0, float(prior) ** 0.5, 0.0]], dtype=torch.float64)
            return value, torch.cat([root[:, None] * jacobian, last])

        value, jacobian = residuals(theta)
        for _ in range(iterations):
            normal = jacobian.t() @ jacobian
            damped = normal + damping * torch.diag(normal.diagonal() + 1e-9)
            proposal = theta - torch.linalg.solve(damped, jacobian.t() @ value)
            proposal[1].clamp_(-2.3, 2.3)
            proposal[0].clamp_(self.gamma_min, self.gamma_max)
            new_value, new_jacobian = residuals(proposal)
            if bool(new_value.square().sum() < value.square().sum()):
                theta, value, jacobian, damping = proposal, new_value, new_jacobian, max(damping / 3, 1e-9)
            else:
                damping = min(damping * 4, 1e6)
        self.parameters_fitted.copy_(theta)
        return self.schedule()

    def schedule(self) -> InformationSchedule:
        """The schedule of the last fit."""
        mu, log_beta, _ = self.parameters_fitted.tolist()
        return InformationSchedule(gamma_min=self.gamma_min, gamma_max=self.gamma_max, mu=mu, beta=math.exp(log_beta))

    @property
    def entropy(self) -> float:
        """H of the last fit, nats per token; 0 before the first."""
        return float(self.parameters_fitted[2])

"""Noise schedules: gamma as an increasing function of the progress u in [0, 1], where u = 1 is (almost) pure noise.

Every schedule is plain data (``to_dict`` / `schedule_from_dict`), so that a checkpoint carries the one it was trained
with, and every schedule is clipped to [gamma_min, gamma_max], the noise levels the network has seen.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from diffusionlm.registry import Registry

SCHEDULES = Registry("noise schedule", "diffusionlm.diffusion", "SCHEDULES.register")
DEFAULT_GAMMA_MIN = -8.0
DEFAULT_GAMMA_MAX = 10.0


@dataclass(frozen=True)
class NoiseSchedule(ABC):
    """Shared parts of all schedules: clipping, the table of alpha² and the steps of a sampler.

    Attributes:
        gamma_min: the cleanest noise level; a schedule may end above it (the square-root schedule does).
        gamma_max: the noisiest.
        reference: the paper it follows, as in `diffusionlm.citations`.
    """

    reference: ClassVar[str] = ""

    gamma_min: float = DEFAULT_GAMMA_MIN
    gamma_max: float = DEFAULT_GAMMA_MAX

    def __post_init__(self) -> None:
        if not self.gamma_min < self.gamma_max:
            raise ValueError(f"gamma_min must be below gamma_max, got {self.gamma_min} and {self.gamma_max}.")

    @property
    def kind(self) -> str:
        """The name under which `schedule_from_dict` finds this class."""
        name = SCHEDULES.name_of(type(self))
        if name is None:
            raise ValueError(
                f"{type(self).__name__} is not among the schedules that a checkpoint can name, {sorted(SCHEDULES)}; "
                f"add it to diffusionlm.diffusion.schedule.SCHEDULES."
            )
        return name

    @abstractmethod
    def raw_gamma(self, u: Tensor) -> Tensor:
        """The unclipped gamma(u), in float64; the one method a schedule defines."""

    def gamma(self, u: Tensor) -> Tensor:
        """Noise level at progress ``u`` (any shape, values in [0, 1]); same dtype as ``u``. NaN gives NaN."""
        return self.raw_gamma(u.double().clamp(0.0, 1.0)).clamp(self.gamma_min, self.gamma_max).to(u.dtype)

    def progress(self, gamma: Tensor) -> Tensor:
        """The inverse of `gamma`: the smallest u whose noise level is at least ``gamma``, same shape, float64.

        By bisection, so that a schedule has to define one direction only. Levels below gamma(0) give 0, above gamma(1)
        give 1.
        """
        gamma = gamma.double()
        low, high = torch.zeros_like(gamma), torch.ones_like(gamma)
        for _ in range(60):
            middle = (low + high) / 2
            reached = self.gamma(middle) >= gamma
            low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
        return torch.where(self.gamma(torch.zeros_like(gamma)) >= gamma, torch.zeros_like(gamma), high)

    def steps(self, num_steps: int) -> Tensor:
        """The grid u_0 = 1 > ... > u_N = 0 of a sampler with ``num_steps`` steps, (num_steps + 1,) float64."""
        if num_steps < 1:
            raise ValueError(f"steps must be at least 1, got {num_steps}; 16 to 64 are usual.")
        return torch.linspace(1.0, 0.0, num_steps + 1, dtype=torch.float64)

    def alphas_cumprod(self, num_train_timesteps: int = 1000) -> Tensor:
        """The table of alpha² from clean to noise that diffusers schedulers are built on, (num_train_timesteps,)
        float64.

        Timestep t stands for u = (t + 1) / num_train_timesteps of the stretch of u that the schedule does not clip. So
        the last entry is the level from which sampling starts, and no two entries are equal: equal ones would make a
        multistep solver divide by zero.

        Raises:
            ValueError: if ``num_train_timesteps`` is below 1.
        """
        if num_train_timesteps < 1:
            raise ValueError(f"num_train_timesteps must be at least 1, got {num_train_timesteps}; 1000 is usual.")
        just_above_minimum = torch.tensor(self.gamma_min + 1e-9, dtype=torch.float64)
        ends = self.progress(torch.stack([just_above_minimum, self.gamma(torch.ones_like(just_above_minimum))]))
        share = torch.arange(1, num_train_timesteps + 1, dtype=torch.float64) / num_train_timesteps
        return torch.sigmoid(-self.gamma(ends[0] + (ends[1] - ends[0]) * share))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, JSON-able; the inverse of `schedule_from_dict`."""
        return {"kind": self.kind, **asdict(self)}


@SCHEDULES.register("information")
@dataclass(frozen=True)
class InformationSchedule(NoiseSchedule):
    """Equal steps of u cost equal information: the fitted cross-entropy curve H exp(-exp(-(gamma - mu) / beta)) is
    linear in u.

    gamma(u) = mu - beta log(-log u) (the quantile function of a Gumbel distribution). `InformationRegression` fits
    mu and beta. After Dieleman et al. 2022, "Continuous diffusion for categorical data" (time warping), with a closed
    form in the place of their piecewise linear curve.

    Attributes:
        mu: gamma at which 1/e of the entropy H is left to resolve.
        beta: width of the transition, in nats of gamma.
    """

    reference: ClassVar[str] = "Dieleman et al. 2022, Continuous diffusion for categorical data"
    mu: float = 2.0
    beta: float = 1.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta > 0:
            raise ValueError(f"beta must be positive, got {self.beta}.")

    def raw_gamma(self, u: Tensor) -> Tensor:
        """See class."""
        return self.mu - self.beta * torch.log(-torch.log(u))


@SCHEDULES.register("square_root")
@dataclass(frozen=True)
class SquareRootSchedule(NoiseSchedule):
    """alpha² = 1 - sqrt(u + offset) (Li et al. 2022, "Diffusion-LM", section 4.2 and appendix A)."""

    reference: ClassVar[str] = "Li et al. 2022, Diffusion-LM improves controllable text generation, section 4.2"

    offset: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.offset < 1:
            raise ValueError(f"offset must lie in [0, 1), got {self.offset}.")

    def raw_gamma(self, u: Tensor) -> Tensor:
        """See class."""
        sigma2 = (u + self.offset).sqrt().clamp(max=1.0)
        return torch.log(sigma2) - torch.log1p(-sigma2)


@SCHEDULES.register("cosine")
@dataclass(frozen=True)
class CosineSchedule(NoiseSchedule):
    """alpha = cos(pi u / 2), hence gamma = 2 log tan(pi u / 2) (Nichol and Dhariwal 2021, without their offset)."""

    reference: ClassVar[str] = "Nichol and Dhariwal 2021, Improved denoising diffusion probabilistic models"

    def raw_gamma(self, u: Tensor) -> Tensor:
        """See class."""
        return 2 * torch.log(torch.tan(math.pi / 2 * u.clamp(0.0, 1.0)).clamp(min=0.0))


@SCHEDULES.register("masking")
@dataclass(frozen=True)
class MaskingSchedule(NoiseSchedule):
    """gamma = logit(u): of a masked process the share u of the tokens is hidden (Sahoo et al. 2024, section 3, linear)."""

    reference: ClassVar[str] = "Sahoo et al. 2024, Simple and effective masked diffusion language models"

    def raw_gamma(self, u: Tensor) -> Tensor:
        """See class."""
        return torch.logit(u)


def schedule_from_dict(data: dict[str, Any]) -> NoiseSchedule:
    """The schedule that ``to_dict`` described.

    Raises:
        ValueError: if the kind or a key is unknown, or a value is out of range.
    """
    if not isinstance(data, dict):
        raise ValueError(f"A noise schedule is a dictionary with its kind and settings, got {data!r}.")
    values = dict(data)
    kind = values.pop("kind", None)
    if kind not in SCHEDULES:
        raise ValueError(f"Unknown noise schedule {kind!r}; allowed are {sorted(SCHEDULES)}.")
    cls = SCHEDULES[kind]
    unknown = set(values) - set(cls.__dataclass_fields__)
    if unknown:
        allowed = sorted(cls.__dataclass_fields__)
        raise ValueError(f"The schedule {kind!r} has no setting {sorted(unknown)}; its settings are {allowed}.")
    return cls(**values)

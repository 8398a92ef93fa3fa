"""The contract of all samplers, in diffusers' conventions.

A sampler owns a grid of noise levels and says how a noisy text moves from one to the next, given the token posterior. It sees
no network and no guidance. `GaussianSampler` is the kind for noisy embeddings: its clean estimate and noise are arguments of
`GaussianSampler.step`, and gradients flow through it as through any function.

Notation: gamma is the logit of the share of noise. Gaussian: gamma = log(sigma² / alpha²), alpha² = sigmoid(-gamma), sigma² =
sigmoid(gamma); a prime marks the next level. Shape letters: N steps, B batch, L span positions, D embedding size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffusionlm.diffusion import NoisyEmbeddings

if TYPE_CHECKING:
    from typing import Self

    from diffusionlm.diffusion import Draws, NoiseSchedule, NoisyText, Posterior


class Sampler(SchedulerMixin, ConfigMixin, ABC):  # type: ignore[misc]
    """Base of all samplers: settings as arguments of a decorated ``__init__``, and a grid of noise levels.

    Attributes:
        process: the kind of noise it moves: "gaussian" or "masked".
        reference: the paper it follows, as in `diffusionlm.citations`; or "" if it is nobody's.
        schedule: the noise schedule, from `set_schedule`.
        u: progress at the ends of the steps (N + 1,), float64, from 1 to 0.
        gammas: the noise levels at which the network is evaluated (N + 1,), float64; the last is where the latents end.
    """

    process: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    has_compatibles = False
    ends_first: bool = False  # where open spans end is decided before the first step (masked processes)

    schedule: NoiseSchedule | None = None
    u: Tensor | None = None
    gammas: Tensor | None = None
    _levels: Tensor  # gammas on the CPU: coefficients are computed from it without waiting for a device

    @property
    def noise_per_step(self) -> bool:
        """True where a step draws anything, so that two texts that are the same half way may still differ."""
        return True

    @property
    def num_steps(self) -> int:
        """N of the last `set_timesteps`.

        Raises:
            ValueError: before the first.
        """
        if self.gammas is None:
            raise ValueError(f"{type(self).__name__} has no grid yet; call set_timesteps(num_inference_steps) first.")
        return len(self.gammas) - 1

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments this sampler was made with, defaults included."""
        return {name: value for name, value in self.config.items() if not name.startswith("_")}

    def set_schedule(self, schedule: NoiseSchedule) -> None:
        """Takes the noise schedule the network was trained with; the next `set_timesteps` uses it."""
        self.schedule, self.u, self.gammas = schedule, None, None

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        """Lays the grid and forgets all history.

        Args:
            num_inference_steps: N, the number of steps; 16 to 64 are usual.
            device: where ``u`` and ``gammas`` are put.

        Raises:
            ValueError: if no schedule is set or N is below 1.
        """
        schedule = self._need_schedule()
        u = schedule.steps(num_inference_steps)
        self._set_grid(u, schedule.gamma(u), device)

    @abstractmethod
    def move(self, posterior: Posterior, i: int, noisy: NoisyText, draws: Draws) -> NoisyText:
        """One step, from ``gammas[i]`` to ``gammas[i + 1]``.

        Args:
            posterior: of the tokens, guided or not.
            i: index of the step, 0 <= i < N.
            noisy: the text at ``gammas[i]``.
            draws: random numbers of the batch.
        """

    @abstractmethod
    def finish(self, posterior: Posterior, noisy: NoisyText) -> Tensor:
        """Token ids (B, L) of the finished texts, from the posterior of the last step and what it led to."""

    def select(self, rows: Tensor) -> None:
        """Re-orders the history along the batch, after latents were resampled as ``latents[rows]``.

        Args:
            rows: indices into the old batch, (new B,).
        """

    def _need_schedule(self) -> NoiseSchedule:
        if self.schedule is None:
            raise ValueError(
                f"{type(self).__name__} has no noise schedule; call set_schedule(pipeline.schedule) first."
            )
        return self.schedule

    def _set_grid(self, u: Tensor, gammas: Tensor, device: torch.device | str | None) -> None:
        self._levels = gammas
        single = device is not None and torch.device(device).type == "mps"  # MPS has no float64
        self.u, self.gammas = (x.to(device=device, dtype=torch.float32 if single else None) for x in (u, gammas))


class GaussianSampler(Sampler):
    """Base of the solvers for noisy embeddings; a subclass defines `advance`.

    Settings are keyword-only: diffusers' ``register_to_config`` takes positional arguments for defaults, and
    ``from_config`` would lose them.

    Attributes:
        order: convergence order of the deterministic part, measured by the tests: halving the steps' size divides the
            error by 2 to this power.
        stochastic: whether fresh noise enters.
        noiseless: settings that turn the noise off; see `deterministic`.
    """

    process = "gaussian"
    order: int = 1
    stochastic: bool = False
    noiseless: ClassVar[dict[str, Any]] = {}

    @property
    def noise_per_step(self) -> bool:
        """True if `step` wants standard normal noise."""
        return self.stochastic

    def deterministic(self) -> Self:
        """A sampler of the same settings with its noise turned off."""
        return type(self)(**{**self.settings, **self.noiseless})

    def step(self, clean: Tensor, i: int, latents: Tensor, noise: Tensor | None = None) -> Tensor:
        """One step, from ``gammas[i]`` to ``gammas[i + 1]``.

        The last step adds no noise and returns alpha' x + sigma' eps at the cleanest level, with x the clean estimate:
        with sigma' at most a few hundredths, a latent next to x.

        Args:
            clean: clean estimate x (B, L, D), guided or not.
            i: index of the step, 0 <= i < N.
            latents: z (B, L, D) at ``gammas[i]``.
            noise: standard normal (B, L, D); needed where `noise_per_step`, else ignored.

        Returns:
            z' (B, L, D) at ``gammas[i + 1]``, in the dtype of ``latents``.

        Raises:
            ValueError: if there is no grid, ``i`` is outside it, shapes differ, or noise is missing.
        """
        if not 0 <= i < self.num_steps:
            raise ValueError(
                f"Step {i} is outside the grid; with {self.num_steps} steps, i runs from 0 to {self.num_steps - 1}."
            )
        if clean.shape != latents.shape:
            raise ValueError(
                f"The clean estimate {tuple(clean.shape)} and the latents {tuple(latents.shape)} must have one shape, "
                "(B, L, D)."
            )
        if self.noise_per_step:
            if noise is None:
                raise ValueError(
                    f"{type(self).__name__} is stochastic and got no noise; pass standard normal noise of shape "
                    f"{tuple(latents.shape)}, or use its deterministic()."
                )
            if noise.shape != latents.shape:
                raise ValueError(f"The noise {tuple(noise.shape)} must have the latents' shape {tuple(latents.shape)}.")
        return self.advance(clean, i, latents, noise).to(latents.dtype)

    @abstractmethod
    def advance(self, clean: Tensor, i: int, latents: Tensor, noise: Tensor | None) -> Tensor:
        """The formula of the solver; arguments as in `step`, already checked."""

    def move(self, posterior: Posterior, i: int, noisy: NoisyText, draws: Draws) -> NoisyEmbeddings:
        """See `Sampler`; the clean estimate is the mean embedding under the posterior."""
        assert isinstance(noisy, NoisyEmbeddings)
        noise = draws.normal(noisy.z.shape[-1]) if self.noise_per_step else None
        return NoisyEmbeddings(self.step(posterior.clean, i, noisy.z, noise), noisy.undecided)

    def finish(self, posterior: Posterior, noisy: NoisyText) -> Tensor:
        """The most probable text."""
        return posterior.best()

"""Any diffusers scheduler that accepts ``prediction_type="sample"``, behind our contract.

The scheduler is built on the table of alpha² of our noise schedule, so it walks the noise levels the network was
trained on. What it calls a timestep is turned back into gamma, what it draws at random comes from the noise that
`GaussianSampler.step` is given, and a scheduler that keeps its latents at another scale (Euler's: z / alpha) is fed and read at
that scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diffusers
import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor
from torch.overrides import TorchFunctionMode

from diffusionlm.diffusion import InformationSchedule
from diffusionlm.samplers.lookup import check_settings, named_class, parameters
from diffusionlm.samplers.sampler import GaussianSampler

if TYPE_CHECKING:
    from diffusionlm.diffusion import NoiseSchedule

# What a scheduler starts from here, where it has the setting and nobody said otherwise. Embeddings are not pixels:
# clipping to [-1, 1] would cut them. Trailing timesteps begin at pure noise; "leading" ones begin below it.
DEFAULTS = {"clip_sample": False, "timestep_spacing": "trailing"}
OURS = ("num_train_timesteps", "trained_betas", "prediction_type")
STEP_INPUTS = ("self", "model_output", "timestep", "sample", "generator", "variance_noise", "return_dict")


class GivenNoise(TorchFunctionMode):
    """Inside this context, the one draw from `torch.randn` that a scheduler's step makes returns ``noise``.

    Attributes:
        used: whether a draw was made.
    """

    def __init__(self, noise: Tensor | None, name: str) -> None:
        super().__init__()
        self.noise, self.name, self.used = noise, name, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in (torch.randn, torch.randn_like):
            return func(*args, **(kwargs or {}))
        if self.noise is None:
            raise ValueError(
                f"{self.name} draws noise in this step and got none; pass standard normal noise to step()."
            )
        if self.used:
            raise ValueError(
                f"{self.name} draws noise twice in one step; only schedulers that draw once can be wrapped."
            )
        self.used = True
        return self.noise


class DiffusersSampler(GaussianSampler):
    """Wraps a diffusers scheduler; `make_sampler` builds it from a class name or from a scheduler.

    ``order`` is the scheduler's ``solver_order``, or 1. Where the latents end is the scheduler's own choice: most jump
    to the clean estimate, some (DEIS) stop at the cleanest entry of the table; ``gammas[-1]`` says where.

    Args:
        scheduler: a class that diffusers exports ("DDIMScheduler"), or a dotted path to one of yours.
        settings: arguments of the scheduler's ``__init__`` ({"solver_order": 3}).
        step_settings: arguments of its ``step`` ({"eta": 0.5}).
        num_train_timesteps: entries of the table; rounded up to a multiple of the steps, so that diffusers' integer
            arithmetic on timesteps is exact.

    Raises:
        ValueError: if there is no such class or setting, or the scheduler cannot work from a clean estimate.
    """

    reference = "Von Platen et al. 2022, Diffusers: state-of-the-art diffusion models"

    @register_to_config
    def __init__(
        self,
        *,
        scheduler: str,
        settings: dict[str, Any] | None = None,
        step_settings: dict[str, Any] | None = None,
        num_train_timesteps: int = 1000,
    ) -> None:
        self._class: Any = named_class(scheduler)
        self._name, self._table_size = scheduler, num_train_timesteps
        if issubclass(self._class, GaussianSampler):
            raise ValueError(f"{scheduler} is a sampler already; make_sampler({scheduler!r}) makes it.")
        constructor, step = parameters(self._class.__init__), parameters(self._class.step)
        if "trained_betas" not in constructor or "prediction_type" not in constructor:
            raise ValueError(
                f"{scheduler} takes no table of noise levels (trained_betas) and prediction_type; schedulers that do, "
                "such as DDIMScheduler, DPMSolverMultistepScheduler and UniPCMultistepScheduler, can be wrapped."
            )
        check_settings(scheduler, settings or {}, [name for name in constructor if name not in OURS])
        check_settings(scheduler + ".step", step_settings or {}, [name for name in step if name not in STEP_INPUTS])
        for name in ("use_flow_sigmas", "rescale_betas_zero_snr"):
            if (settings or {}).get(name):
                raise ValueError(
                    f"{name} leaves the noise levels of our schedule; leave it out of {scheduler}'s settings."
                )
        chosen: dict[str, Any] = {name: value for name, value in DEFAULTS.items() if name in constructor} | (
            settings or {}
        )
        self._settings = chosen
        self._step_settings = dict(step_settings or {})
        self.order = int(chosen.get("solver_order", constructor.get("solver_order", 1)))
        self._probe()

    @classmethod
    def wrap(cls, scheduler: Any, **step_settings: Any) -> DiffusersSampler:
        """From a scheduler object, which is left as it is: its class and the settings that were chosen for it.

        Its betas give way to our table. ``prediction_type`` must be "sample", or left at its default.
        """
        name, config, constructor = type(scheduler).__name__, scheduler.config, parameters(type(scheduler).__init__)
        if config.get("prediction_type") not in ("sample", constructor.get("prediction_type")):
            raise ValueError(
                f"{name} has prediction_type={config.prediction_type!r}, and the pipeline predicts the clean sample; "
                'build it with prediction_type="sample".'
            )
        left_alone = config.get("_use_default_values", ())
        settings = {
            key: value
            for key, value in config.items()
            if key in constructor
            and key not in (*OURS, "beta_start", "beta_end", "beta_schedule")
            and (value != constructor[key] or (key in DEFAULTS and key not in left_alone))
        }
        return cls(
            scheduler=name
            if getattr(diffusers, name, None) is type(scheduler)
            else f"{type(scheduler).__module__}.{name}",
            settings=settings or None,
            step_settings=step_settings or None,
            num_train_timesteps=config.get("num_train_timesteps", 1000),
        )

    @classmethod
    def named(cls, scheduler: str, num_train_timesteps: int = 1000, **settings: Any) -> DiffusersSampler:
        """From a class name and settings, each of which goes to ``__init__`` or ``step``, whichever knows it."""
        allowed = [name for name in parameters(named_class(scheduler).step) if name not in STEP_INPUTS]
        for_step = {name: value for name, value in settings.items() if name in allowed}
        rest = {name: value for name, value in settings.items() if name not in allowed}
        return cls(
            scheduler=scheduler,
            settings=rest or None,
            step_settings=for_step or None,
            num_train_timesteps=num_train_timesteps,
        )

    def deterministic(self) -> DiffusersSampler:
        """Itself if it draws no noise.

        Raises:
            ValueError: if it does; which setting turns it off is the scheduler's business.
        """
        if self.stochastic:
            raise ValueError(f"How to turn off the noise of {self._name} is not known; choose its settings.")
        return self

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        """Builds the scheduler anew for this grid; see `Sampler.set_timesteps`.

        Raises:
            ValueError: also if the scheduler's own check of the number of steps fails.
        """
        schedule = self._need_schedule()
        schedule.steps(num_inference_steps)  # its check of N
        size = -(-self._table_size // num_inference_steps) * num_inference_steps
        table = schedule.alphas_cumprod(size)
        self._scheduler = self._build(table)
        self._scheduler.set_timesteps(num_inference_steps, device=device)
        gammas = self._gammas(schedule)
        u = torch.cat([schedule.progress(gammas[:-1]), gammas.new_zeros(1)])
        u[gammas > schedule.gamma(torch.ones((), dtype=torch.float64)) - 1e-4] = 1.0  # the table is in float32
        self._set_grid(u, gammas, device)
        if self.num_steps != num_inference_steps:
            raise ValueError(
                f"{self._name} walks {self.num_steps} levels when asked for {num_inference_steps} steps; "
                "schedulers that evaluate the network once a step can be wrapped."
            )
        self._arguments = (num_inference_steps, device)
        self._next = 0

    def advance(self, clean: Tensor, i: int, latents: Tensor, noise: Tensor | None) -> Tensor:
        """See class. A step that does not follow the one taken last starts a new history."""
        if i != self._next:
            self.set_timesteps(*self._arguments)
            if hasattr(self._scheduler, "set_begin_index"):
                self._scheduler.set_begin_index(i)
        scheduler, timestep = self._scheduler, self._scheduler.timesteps[i]
        sample = latents / self._scale(i)
        with GivenNoise(noise, self._name) as given:
            moved = scheduler.step(clean, timestep, sample, return_dict=False, **self._step_settings)[0]
        self._next, self._drew = i + 1, given.used
        return moved * self._scale(i + 1)

    def select(self, rows: Tensor) -> None:
        """Re-orders every tensor of the scheduler's state that has the latents' three axes; see `Sampler.select`."""

        def chosen(value: Any) -> Any:
            if isinstance(value, list):
                return [chosen(entry) for entry in value]
            if isinstance(value, Tensor) and value.dim() == 3:
                return value.index_select(0, rows.to(value.device))
            return value

        for name, value in vars(self._scheduler).items():
            setattr(self._scheduler, name, chosen(value))

    def _build(self, table: Tensor) -> Any:
        previous = torch.cat([table.new_ones(1), table[:-1]])
        betas = (1 - table / previous).tolist()
        return self._class(
            num_train_timesteps=len(betas), trained_betas=betas, prediction_type="sample", **self._settings
        )

    def _gammas(self, schedule: NoiseSchedule) -> Tensor:
        """The levels that the scheduler will walk, (N + 1,), as it holds them."""
        scheduler = self._scheduler
        steps = len(scheduler.timesteps)
        sigmas = getattr(scheduler, "sigmas", None)
        if isinstance(sigmas, Tensor) and len(sigmas) == steps + 1:  # of sigma / alpha, 0 for clean
            gammas = 2 * torch.log(sigmas.double().cpu())
        else:
            table = scheduler.alphas_cumprod.double()[scheduler.timesteps.long().cpu()]
            clean = torch.full((1,), schedule.gamma_min, dtype=torch.float64)
            gammas = torch.cat([torch.log1p(-table) - torch.log(table), clean])
        inside = gammas[:-1].clamp(schedule.gamma_min, schedule.gamma_max)
        if not torch.allclose(inside, gammas[:-1], atol=0.05):
            raise ValueError(
                f"{self._name} walks noise levels from {gammas[0]:.2f} to {gammas[-2]:.2f}, outside of the "
                f"schedule's {schedule.gamma_min} to {schedule.gamma_max}; leave out the setting that moves them."
            )
        if bool((inside[1:] > inside[:-1]).any()):
            raise ValueError(f"{self._name} walks towards noise; give a scheduler that denoises.")
        return torch.cat([inside, gammas[-1:].clamp(min=schedule.gamma_min)])

    def _scale(self, i: int) -> Tensor | float:
        """Factor from the scheduler's latents to ours at step i: alpha where it keeps z / alpha, else 1."""
        scheduler = self._scheduler
        if i < len(scheduler.timesteps):
            return scheduler.scale_model_input(torch.ones((), dtype=torch.float64), scheduler.timesteps[i])
        keeps_ratio = float(scheduler.init_noise_sigma) != 1.0
        return torch.rsqrt(1 + scheduler.sigmas[-1].double().cpu() ** 2) if keeps_ratio else 1.0

    def _probe(self) -> None:
        """Walks a latent of one number once, to learn whether the scheduler works at all and whether it draws noise."""
        self.set_schedule(InformationSchedule())
        name, latents, draws = self._name, torch.ones(1, 1, 1), []
        try:
            self.set_timesteps(8)
            for i in range(self.num_steps):
                latents = self.advance(0.5 * latents, i, latents, torch.zeros_like(latents))
                draws.append(self._drew)
        except Exception as error:
            raise ValueError(f"{name} cannot step from a clean estimate with these settings: {error}") from error
        if not bool(torch.isfinite(latents).all()):
            raise ValueError(f"{name} gives no finite latent with these settings; choose others.")
        self.stochastic = any(draws)
        self.schedule = self.u = self.gammas = None

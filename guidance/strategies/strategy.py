"""Strategies as plain settings, and the one place where a string becomes one. What they do is in the file of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from diffusionlm.errors import suggestion

if TYPE_CHECKING:
    from diffusionlm.guidance.guidance import Guidance


@dataclass(frozen=True)
class Strategy:
    """How a plugin's energy acts on the model. A subclass has settings and is frozen."""

    name: ClassVar[str] = ""
    needs_gradient: ClassVar[bool] = True
    reference: ClassVar[str] = ""  # as in `Guidance`

    def check(self, plugin: Guidance) -> None:
        """Raises ValueError if the plugin cannot be used this way."""
        if self.needs_gradient and not plugin.differentiable:
            raise ValueError(
                f"{plugin.title!r} declares that it is not differentiable, and the strategy {self.name!r} needs gradients; "
                "use strategy='particles', which needs none."
            )

    def to_dict(self) -> Any:
        """Its name, or a mapping of name and settings where these are not the defaults."""
        own = asdict(self)
        return self.name if self == type(self)() else {"name": self.name, **own}


@dataclass(frozen=True)
class Tilt(Strategy):
    """Posterior tilt by mirror descent; see `diffusionlm.guidance.strategies.tilt`.

    Args:
        inner_steps: gradient evaluations at each denoising step; 1 is exact for energies that are linear in the tokens.
    """

    name: ClassVar[str] = "tilt"
    reference: ClassVar[str] = (
        "Beck and Teboulle 2003, Mirror descent and nonlinear projected subgradient methods for convex optimization"
    )
    inner_steps: int = 1

    def __post_init__(self) -> None:
        _count("Tilt", "inner_steps", self.inner_steps)

    def check(self, plugin: Guidance) -> None:
        """Also refuses energies that do not depend on the posterior."""
        super().check(plugin)
        if not {"probs", "clean", "unprompted"} & set(plugin.reads):
            raise ValueError(
                f"{plugin.title!r} reads {list(plugin.reads)}, not the token posterior, so there is nothing to tilt; use "
                f"strategy={'latent' if 'latents' in plugin.reads else 'particles'!r}."
            )


@dataclass(frozen=True)
class Latent(Strategy):
    """Gradient step on the noisy embeddings; see `diffusionlm.guidance.strategies.latent`.

    Args:
        through: "denoiser": the energy of the clean estimate or posterior, differentiated through the network; "latents":
            the energy reads the noisy embeddings themselves; "auto": by what the plugin reads.
        halvings: how often a step that leaves the trust region is halved before it is given up for this denoising step.
    """

    name: ClassVar[str] = "latent"
    reference: ClassVar[str] = (
        "Dhariwal and Nichol 2021, Diffusion models beat GANs on image synthesis, algorithm 2; "
        "Chung et al. 2023, Diffusion posterior sampling, eq. 16"
    )
    through: str = "auto"
    halvings: int = 5

    def __post_init__(self) -> None:
        if self.through not in ("auto", "denoiser", "latents"):
            raise ValueError(f"Latent.through must be 'auto', 'denoiser' or 'latents', got {self.through!r}.")
        _count("Latent", "halvings", self.halvings)


@dataclass(frozen=True)
class Particles(Strategy):
    """Several candidates for each sample, weighted and resampled; see `diffusionlm.guidance.strategies.particles`.

    Args:
        count: candidates for each sample.
        threshold: candidates are resampled when the effective sample size falls below this share of ``count``.
        every: denoising steps between two scorings, for scorers that are slow.
    """

    name: ClassVar[str] = "particles"
    needs_gradient: ClassVar[bool] = False
    reference: ClassVar[str] = (
        "Singhal et al. 2025, A general framework for inference-time scaling and steering of diffusion models"
    )
    count: int = 4
    threshold: float = 0.5
    every: int = 1

    def __post_init__(self) -> None:
        _count("Particles", "count", self.count)
        _count("Particles", "every", self.every)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"Particles.threshold must lie in [0, 1], got {self.threshold!r}.")


@dataclass(frozen=True)
class Exact(Strategy):
    """Automaton constraint that always holds; see `diffusionlm.guidance.constraints.constraint`.

    Example:
        >>> Phrases(include=["pub"]).how
        Exact()
    """

    name: ClassVar[str] = "constraint"
    reference: ClassVar[str] = (
        "Rabin and Scott 1959, Finite automata and their decision problems; "
        "Baum et al. 1970, A maximization technique; Viterbi 1967, Error bounds for convolutional codes"
    )

    def check(self, plugin: Guidance) -> None:
        """Only constraints can be exact, and a constraint that always holds needs no goal."""
        if not hasattr(plugin, "automata"):
            raise ValueError(
                f"{plugin.title!r} is an energy, and only constraints made of automata can hold exactly; use "
                "strategy='tilt', or derive it from diffusionlm.guidance.Constraint."
            )
        if plugin.below is not None or plugin.above is not None:
            raise ValueError(f"{plugin.title!r} always holds, so a goal has no meaning for it; drop below and above.")


STRATEGIES: dict[str, type[Strategy]] = {kind.name: kind for kind in (Tilt, Latent, Particles, Exact)}


def make_strategy(strategy: str | Strategy | Mapping[str, Any]) -> Strategy:
    """A strategy from its name, from ``{"name": ..., settings}``, or as it is.

    Raises:
        ValueError: if the name or a setting is unknown.
    """
    if isinstance(strategy, Strategy):
        return strategy
    if isinstance(strategy, Mapping) and "name" in strategy:
        settings = dict(strategy)
        kind = _kind(settings.pop("name"))
        unknown = set(settings) - set(kind.__dataclass_fields__)
        if unknown:
            name = sorted(unknown)[0]
            hint = suggestion(name, kind.__dataclass_fields__)
            raise ValueError(f"The strategy {kind.name!r} has no setting {name!r}; {hint}")
        return kind(**settings)
    if isinstance(strategy, str):
        return _kind(strategy)()
    raise ValueError(f"A strategy is a name ({', '.join(STRATEGIES)}) or one of their objects, not {strategy!r}.")


def _kind(name: Any) -> type[Strategy]:
    if name not in STRATEGIES:
        raise ValueError(f"There is no strategy {name!r}; {suggestion(str(name), STRATEGIES)}")
    return STRATEGIES[name]


def _count(kind: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{kind}.{name} must be a whole number of at least 1, got {value!r}.")
